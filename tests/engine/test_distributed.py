"""Two real processes, started by torchrun, do what one does; the paper's stages go on in one run folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from tests.search.test_pipeline import ROOT, search, tiny

SHARED = {
    "learn.steps": "4",
    "linear.steps": "4",
    "learn.options.batch_norm_images": "4",
    "linear.batch_norm_images": "8",
    "data.val_per_class": "30",  # rounding grows step by step; the tolerances are those of these images
}


def torchrun(count: int, *words: str, home) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    config = str(ROOT / "configs" / "search" / "digits.py")
    environment = {**os.environ, "PINAS_ZOO_HOME": str(home), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*command, "-m", "pinas_zoo.cli", "search", config, *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400,
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same search by one process, until the linear stage, and by two processes to the end."""
    root = tmp_path_factory.mktemp("ranks")
    one = search("--work-dir", str(root / "one"), *tiny(**SHARED, until="linear"), home=root / "home")
    assert one.returncode == 0, one.stderr
    two = torchrun(2, "--work-dir", str(root / "two"), *tiny(**SHARED), home=root / "home")
    assert two.returncode == 0, two.stderr
    return root, one, two


def curve(path) -> list[list[float]]:
    return [[float(value) for value in line.split(",")] for line in path.read_text().splitlines()[1:]]


@pytest.mark.parametrize("stage", ["learn", "linear"])
def test_two_processes_log_the_losses_of_one(runs, stage):
    root, *_ = runs
    one, two = (torch.tensor(curve(root / name / stage / "curve.csv")) for name in ("one", "two"))
    assert len(one) == 4
    columns = slice(0, 3)  # step, rate, loss; the spread that learn logs is that of a process's images
    torch.testing.assert_close(two[:, columns], one[:, columns], rtol=2e-3, atol=2e-3)


def test_two_processes_learn_the_weights_of_one(runs):
    root, *_ = runs
    one, two = (load_file(root / name / "learn" / "supernet.safetensors") for name in ("one", "two"))
    from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

    start = ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
    torch.manual_seed(0)
    fresh = start.supernet().state_dict()
    moved = 0
    for name, value in one.items():
        if "running" in name or "num_batches" in name:  # of the first process's images
            continue
        step = (value - fresh[name]).abs().max()
        moved += bool(step > 0)
        torch.testing.assert_close(two[name], value, rtol=0, atol=max(0.02 * float(step), 1e-6), msg=name)
    assert moved > 50


def test_only_the_first_process_speaks_and_writes(runs):
    root, _, two = runs
    assert two.stdout.count("learn    4 steps") == 1
    assert two.stdout.count("report   ") == 1
    assert "2 processes share each batch: 16 images in learn, 8 each" in two.stdout
    assert (root / "two" / "trained" / "model.safetensors").is_file()
    assert len((root / "two" / "explore" / "ranking.csv").read_text().splitlines()) == 7
    assert not [p.name for p in (root / "two").rglob(".*")]


def test_a_run_that_stopped_after_a_stage_goes_on(runs):
    root, one, _ = runs
    assert "stopped  after linear" in one.stdout
    assert not (root / "one" / "explore").exists()
    rest = search("--work-dir", str(root / "one"), *tiny(**SHARED, until="explore"), home=root / "home")
    assert rest.returncode == 0, rest.stderr
    assert "learn    complete already" in rest.stdout
    assert (root / "one" / "explore" / "ranking.csv").is_file()


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path):
    result = torchrun(2, "--work-dir", str(tmp_path / "run"), *tiny(**{"learn.batch_size": "15"}), home=tmp_path)
    assert result.returncode != 0
    assert "expected a batch size that 2 processes can share equally, got 15; 14 or 16 would do" in result.stderr
    assert not (tmp_path / "run").exists()
