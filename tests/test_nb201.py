"""The report of benchmarks/nb201.py on made-up runs: taus, halves, pairs, ablations; and its refusals."""

from __future__ import annotations

import csv
import importlib
import itertools
import json
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import arch_string

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ARCHS = ["".join(digits) for digits in itertools.product("234", repeat=6)]
TRUTH = dict(zip(ARCHS, np.random.default_rng(0).permutation(len(ARCHS)) / 100 + 85, strict=True))


@pytest.fixture
def nb201(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    module = importlib.import_module("nb201")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results" / "nb201")
    monkeypatch.setattr(module, "correlate", partial(module.correlate, resamples=20))
    return module


def write_table(path: Path, drop: str = "") -> Path:
    names = ["arch_str", "cifar10_test_acc", "cifar10_test_acc_12ep", "cifar10_valid_acc", "flops_computed"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([n for n in names if n != drop])
        for arch, truth in TRUTH.items():
            row = dict(zip(names, [arch_string(arch), truth, -truth, truth, arch.count("3") + 1], strict=True))
            writer.writerow([value for name, value in row.items() if name != drop])
    return path


def write_run(module: ModuleType, name: str, objective: int, error: int) -> None:
    """60 architectures, ranked by truth (1), the other way round (-1) or not at all (0)."""
    module.RESULTS.mkdir(parents=True, exist_ok=True)
    lines = [",".join(["arch", *module.SCORES])]
    lines += [f"{a},0.5,{-error * TRUTH[a]},{-objective * TRUTH[a]}" for a in ARCHS[::12][:60]]
    facts = dict(run=name, title=module.RUNS[name][0], seed=0, architectures=729, scored=60, minutes=2.0, threads=1)
    facts |= dict(steps=60, images_per_step=128, wall_seconds=9.0, accuracy=0.5, similarity=0.9, loss=1.0)
    path = module.RESULTS / f"{name}_729_2x1_0_of_60.csv"
    path.write_text("\n".join(lines) + "\n")
    path.with_suffix(".json").write_text(json.dumps(facts))


def test_the_report_ranks_by_what_the_tuned_half_prefers(nb201, tmp_path):
    write_run(nb201, "pinas", objective=1, error=-1)
    write_run(nb201, "spos", objective=-1, error=0)
    write_run(nb201, "pinas_no_mt", objective=0, error=0)
    nb201.report(nb201.read_rows(write_table(tmp_path / "table.csv")))
    text = nb201.RESULTS.with_suffix(".md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    pinas = next(row for row in rows if row[0] == "Π-NAS" and len(row) == 13)
    assert pinas[2:6] == ["2 x 1", "60", "64", "60"]
    assert pinas[7] == "objective"
    assert pinas[8] == "+1.000 [+1.000, +1.000]"
    assert pinas[11] == "-1.000"
    assert float(pinas[12].rstrip("%")) == pytest.approx(max(TRUTH[a] for a in ARCHS[::12][:60]), abs=0.01)
    spos = next(row for row in rows if row[0] == "SPOS" and len(row) == 13)
    assert spos[7] == "probe"
    assert spos[8].startswith("+0.000")
    assert ["SPOS", "2", "0", "+1.000 [+1.000, +1.000]"] in rows
    assert any(row[0] == "each trained for 12 epochs" and row[8] == "-1.000" for row in rows)
    assert any(row[0] == "Π-NAS without mean teacher" and row[4:] == ["0.900", "–", "–"] for row in rows)
    assert sorted(p.name for p in nb201.RESULTS.glob("*.svg"))[0] == "pinas_729_2x1_0_of_60.svg"


def test_a_table_that_lacks_a_column_is_refused(nb201, tmp_path):
    with pytest.raises(UserError, match="expected cifar10_valid_acc of "):
        nb201.read_rows(write_table(tmp_path / "table.csv", drop="cifar10_valid_acc"))
    with pytest.raises(UserError, match="expected flops_computed of "):
        nb201.read_rows(write_table(tmp_path / "table.csv", drop="flops_computed"))


def test_the_runs_of_the_repository_are_whole(nb201):
    found = nb201.read_found(BENCHMARKS / "results" / "nb201")
    assert found
    assert all(len(f.scores) == f.facts["scored"] for f in found)


def test_too_few_architectures_are_refused_before_anything_is_learned(nb201, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["nb201.py", "--table", "absent.csv", "--count", "5"])
    with pytest.raises(SystemExit) as stopped:
        nb201.main()
    assert stopped.value.code == 2
    assert "expected --count of at least 30" in capsys.readouterr().err
