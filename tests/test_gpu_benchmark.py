"""The command for a card on a CPU: every row is answered at tiny sizes, a killed run resumes, the baseline is ours."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from tests.networks import ROOT

BENCHMARKS = ROOT / "benchmarks"
TINY: dict[str, Any] = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
MACHINE = {"card": "a card", "torch": "2.9"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def by_name(name: str) -> ModuleType:
        return importlib.import_module(name)

    return by_name


def command(out: Path, *words: str) -> list[str]:
    return [sys.executable, str(BENCHMARKS / "gpu.py"), "--out", str(out), "--smoke", "--minutes", "60", *words]


def rows(out: Path, stage: str) -> dict[str, Any]:
    path = out / f"{stage}.json"
    return json.loads(path.read_text())["rows"] if path.is_file() else {}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> tuple[Path, str, dict[str, Any]]:
    """A run that was killed in its second stage and resumed: folder, output, and rows from before the kill."""
    out = tmp_path_factory.mktemp("gpu") / "out"
    first = subprocess.Popen(command(out), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    while first.poll() is None and not rows(out, "table2"):
        time.sleep(0.05)
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 128 + signal.SIGTERM
    before = {stage: rows(out, stage) for stage in ("right", "table2")}
    result = subprocess.run(command(out), capture_output=True, text=True, timeout=3600, check=False)
    assert result.returncode == 0, result.stderr
    return out, result.stdout, before


def test_every_row_is_answered(smoke, load):
    out, printed, _ = smoke
    stages = load("gpu_stages.plan").STAGES
    for stage, plan in stages.items():
        found = rows(out, stage)
        assert set(found) == set(plan.questions)
        assert {name: row["error"] for name, row in found.items() if "error" in row} == {}
        assert all(row["met"] is None for row in found.values())  # tiny sizes say nothing of a goal
    assert (out / "gpu.md").read_text() in printed
    assert "| open" not in printed
    assert "tiny: the figures mean nothing" in printed


def test_a_killed_run_resumes_after_its_last_row(smoke):
    out, printed, before = smoke
    assert "right        complete already" in printed
    assert rows(out, "right") == before["right"]
    again = rows(out, "table2")
    assert before["table2"]
    assert all(again[name] == row for name, row in before["table2"].items())
    assert f"table2       {len(again) - len(before['table2'])} of" in printed


def test_the_stage_of_a_killed_run_ends_too(smoke):
    out, *_ = smoke
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            assert str(out) not in (folder / "cmdline").read_text()


def test_rows_of_another_machine_are_dropped(load, tmp_path):
    results = load("gpu_stages.results").StageResults
    one = results.load(tmp_path, "explore", MACHINE)
    one.start("candidates")
    one.add("candidates", {"text": "7 a minute", "met": True})
    assert results.load(tmp_path, "explore", MACHINE).is_complete()
    assert results.load(tmp_path, "explore", {**MACHINE, "torch": "2.10"}).rows == {}


def test_a_row_that_ended_its_process_is_measured_again_last(load, tmp_path):
    results = load("gpu_stages.results").StageResults
    one = results.load(tmp_path, "data", MACHINE)
    one.start("files")
    again = results.load(tmp_path, "data", MACHINE)
    assert again.blame("its process ended with code -9")
    assert results.load(tmp_path, "data", MACHINE).open_rows() == ["device", "files"]
    text = load("gpu_stages.page").page(MACHINE, {"data": again}, "COMMAND")
    assert "| open: its process ended with code -9 |" in text


def test_a_stage_that_no_longer_fits_is_open(load, tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert load("gpu").main(["--out", str(tmp_path), "--smoke", "--minutes", "0.01", "--only", "explore"]) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert re.search(r"explore +open: \d+ s left of 0.01 minutes", capsys.readouterr().out)
    assert not (tmp_path / "explore.json").exists()


def test_a_missing_table_is_an_error_at_once(load, tmp_path, capsys):
    with pytest.raises(SystemExit) as error:
        load("gpu").main(["--out", str(tmp_path), "--truth", str(tmp_path / "absent.csv")])
    assert error.value.code == 2
    assert "expected --truth to exist, got" in capsys.readouterr().err


def test_the_baseline_computes_what_ours_does(load):
    """One group of batch statistics, in which the order of images does not matter."""
    released = load("gpu_stages.released_step").ReleasedStep
    views = torch.randn(8, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    methods = []
    for _ in range(2):
        torch.manual_seed(0)
        methods.append(PiNASMethod(ResNeSt50Space(**TINY), queue_size=32).train())
    ours, theirs = methods
    optimizer = torch.optim.SGD(ours.student.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
    loss = ours.losses(Batch(views, torch.zeros(8)), 0, Phase("weights"))["loss"]
    loss.backward()
    optimizer.step()
    step = released(theirs, 8, None)
    step(views, 0)
    assert step.log[0]["loss"] == pytest.approx(loss.item(), rel=1e-5)
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        if name not in ("queue_filled", "low_steps"):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-5, msg=name)


def test_a_folder_for_a_machine_without_internet_is_counted(load, tmp_path, capsys):
    (tmp_path / "cifar.npz").write_bytes(b"0" * 2_000_000)
    (tmp_path / "nb201.csv").write_bytes(b"0" * 1_000_000)
    main = load("gpu_folder").main
    words = ["--no-wheels", "--images", str(tmp_path / "cifar.npz"), "--truth", str(tmp_path / "nb201.csv")]
    assert main([str(tmp_path / "folder"), *words]) == 0
    assert "3.00 MB  together" in capsys.readouterr().out
    (tmp_path / "cifar.npz").write_bytes(b"0" * 60_000_000)
    assert main([str(tmp_path / "folder"), *words]) == 1


def test_docs_name_every_stage(load):
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    for stage, plan in load("gpu_stages.plan").STAGES.items():
        assert f"| `{stage}` |" in text
        assert plan.asks in text


def test_the_kept_page_shows_the_kept_rows_and_the_docs_count_them(load):
    kept = ROOT / "benchmarks" / "results" / "gpu"
    stages = load("gpu_stages.plan").STAGES
    machine = json.loads((kept / "right.json").read_text(encoding="utf-8"))["machine"]
    results = {name: load("gpu_stages.results").StageResults.load(kept, name, machine) for name in stages}
    page = load("gpu_stages.page").page(machine, results, "python benchmarks/gpu.py --out FOLDER")
    assert (ROOT / "benchmarks" / "results" / "gpu.md").read_text(encoding="utf-8").startswith(page)
    answered = sum("error" not in row for stage in results.values() for row in stage.rows.values())
    asked = sum(len(plan.questions) for plan in stages.values())
    for name in ("README.md", "docs/gpu.md", "docs/results.md"):
        text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        assert re.search(rf"{answered} of (the|its) {asked} questions", text), name
