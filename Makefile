# Everything installs into .venv; PYTHON names the interpreter to make it with (3.10 or newer).
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
export MPLCONFIGDIR := $(CURDIR)/.venv/matplotlib

.PHONY: demo test test-all chaos bench evidence-nb201 wheel help clean

# one thread is faster for networks this narrow: benchmarks/results/demo.md, "Time"
demo: export OMP_NUM_THREADS ?= 1
# threads that wait sleep: spinning beside another busy program, they took 40 times as long
demo: export OMP_WAIT_POLICY ?= PASSIVE
demo: $(READY) ## search a cell on scikit-learn's digits, and compare it with ResNet's and random ones
	$(BIN)/pinas-zoo search configs/search/digits_cells.py

test: $(READY) ## lint, format, types, import rules and the tests that are not slow
	$(BIN)/python tools/check.py

test-all: $(READY) ## the same with the slow tests; they build, install and try the wheel
	$(BIN)/python tools/check.py --all

# ARGS: more, such as ARGS="--seed 1 --kills 1000 --minutes 60"
chaos: $(READY) ## kill every long command at random moments and run it again; a table of broken promises
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(READY) ## speed beside peers and bare limits, as one table
	$(BIN)/python benchmarks/bench.py

# IMAGES: CIFAR-10 as a folder or an .npz of JPEGs; TABLE: a CSV of NAS-Bench-201's accuracies (docs/nasbench201.md);
# ARGS: more, such as ARGS="--sizes 729 --minutes 30"
evidence-nb201: $(READY) ## rank NAS-Bench-201's networks: IMAGES=cifar10.npz TABLE=nb201.csv
	$(if $(and $(IMAGES),$(TABLE)),,$(error expected IMAGES=... and TABLE=..., as in: make evidence-nb201 IMAGES=cifar10.npz TABLE=nb201.csv))
	$(BIN)/pinas-zoo evidence nasbench201 --images $(IMAGES) --truth $(TABLE) $(ARGS)

# the same commit gives the same bytes: its time, or without git a fixed one, is that of every file in the two archives
wheel: export SOURCE_DATE_EPOCH ?= $(or $(if $(wildcard .git),$(shell git log -1 --format=%ct)),1580601600)
wheel: $(READY) ## dist/pinas_zoo-VERSION-py3-none-any.whl and the sdist
	$(BIN)/python -m build --no-isolation

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# as variables, which pip also hands to the build of a package in an environment of its own
$(READY): export PIP_CONSTRAINT := constraints.txt
$(READY): export PIP_BUILD_CONSTRAINT := constraints.txt
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "expected Python 3.10 or newer, got " + sys.version.split()[0] + "; try make PYTHON=python3.11")'
	@echo "set-up   .venv with the versions of constraints.txt; the first time takes minutes and about 6 GB of disk"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	@touch $@

clean: ## remove .venv, work_dirs and built packages
	rm -rf .venv work_dirs build dist *.egg-info
