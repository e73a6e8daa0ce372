"""Run folders, registry entries and model folders that version 0.1.0 wrote open and resume.

Weights are random (see fixtures.py), so accuracies mean nothing. Only the command line, the files that it documents and
timm's functions are used.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
import timm
import torch
from safetensors.torch import load_file

from pinas_zoo import cli
from tests.compat.fixtures import decode_tensor, materialise

VERSION = "0.1.0"
STAGES = ("learn", "linear", "explore", "winner", "train")
# run: the stages that are complete in it, the stage that was stopped, and those that are left to do after that one
RUNS: dict[str, tuple[tuple[str, ...], str | None, tuple[str, ...]]] = {
    "pinas_in_learn": ((), "learn", ("linear", "explore", "winner", "train")),
    "pinas_in_linear": (("learn",), "linear", ("explore", "winner", "train")),
    "spos_in_explore": (("learn",), "explore", ("winner", "train")),
    "fairnas_in_train": (("learn", "explore", "winner"), "train", ()),
    "pinas_complete": (("learn", "explore", "winner", "train"), None, ()),
}
CHECKPOINT_STEP = 2


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Resumed:
    """A run folder of the earlier version, after `pinas-zoo search` with its configuration."""

    folder: Path
    before: dict[str, bytes]  # files by relative path
    scored_before: dict[str, float | None]  # accuracy by architecture; None where a worker had claimed it only
    said: Said
    seconds: float


def command(*words: str | Path) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(word) for word in words])
    return Said(code, out.getvalue(), err.getvalue())


def files(folder: Path) -> dict[str, bytes]:
    """Content by relative path; of a database, its rows."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("study.db-")):
        content = path.read_bytes()
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as database:
                content = "\n".join(database.iterdump()).encode()
        found[path.relative_to(folder).as_posix()] = content
    return found


def scores(study: Path) -> dict[str, float | None]:
    if not study.is_file():
        return {}
    trials = optuna.load_study(study_name="explore", storage=f"sqlite:///{study}").get_trials()
    return {trial.user_attrs["arch"]: trial.value for trial in trials if "arch" in trial.user_attrs}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_ZOO_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Resumed]:
    """Gives the resumed run of a fixture; each is resumed once."""
    done: dict[str, Resumed] = {}

    def resume(name: str) -> Resumed:
        if name not in done:
            place = materialise(name, tmp_path_factory.mktemp(name), VERSION)
            folder = place / "run"
            known = scores(folder / "explore" / "study.db")
            before = files(folder)
            started = time.perf_counter()
            said = command("search", place / "config.py", "--work-dir", folder, "--register-anyway")
            done[name] = Resumed(folder, before, known, said, time.perf_counter() - started)
        return done[name]

    return resume


@pytest.mark.parametrize("name", RUNS)
def test_a_run_resumes_and_completes(name, resumed):
    run = resumed(name)
    complete, stopped, left = RUNS[name]
    assert run.said.code == 0, run.said.err
    said = [stage for stage in STAGES if re.search(rf"^{stage}\b.*\bcomplete already\b", run.said.out, re.MULTILINE)]
    assert said == list(complete)
    for stage in (*complete, *([stopped] if stopped else []), *left):
        assert (run.folder / stage / "done.json").is_file(), stage
        assert not (run.folder / stage / "checkpoint.pth").exists(), stage
    assert "<svg" in (run.folder / "report.html").read_text()
    assert f'timm.create_model("{name}_winner", pretrained=True)' in run.said.out


@pytest.mark.parametrize("name", RUNS)
def test_a_stage_that_was_complete_is_not_touched(name, resumed):
    run = resumed(name)
    complete = [*RUNS[name][0], *(["trained"] if "train" in RUNS[name][0] else [])]
    after = files(run.folder)
    for path, content in run.before.items():
        if path.split("/")[0] in complete:
            assert after.get(path) == content, path
    assert {p for p in after if p.split("/")[0] in complete} == {p for p in run.before if p.split("/")[0] in complete}


@pytest.mark.parametrize("name", [name for name, (_, stopped, _) in RUNS.items() if stopped not in (None, "explore")])
def test_a_curve_goes_on_after_the_checkpoint(name, resumed):
    """Rows up to the checkpoint of the stopped run are kept; later rows are replaced."""
    run = resumed(name)
    path = f"{RUNS[name][1]}/curve.csv"
    old, new = run.before[path].decode().splitlines(), (run.folder / path).read_text().splitlines()
    steps = [int(row.split(",")[0]) for row in new[1:]]
    assert steps == list(range(1, len(steps) + 1))
    assert len(old) > 1 + CHECKPOINT_STEP
    assert len(new) > len(old)
    assert new[: 1 + CHECKPOINT_STEP] == old[: 1 + CHECKPOINT_STEP]
    assert new[1 + CHECKPOINT_STEP] != old[1 + CHECKPOINT_STEP]  # of other weights
    rates = [[row.split(",")[1] for row in rows[1 : len(old)]] for rows in (new, old)]
    assert rates[0] == rates[1]  # the schedule goes on
    assert all(math.isfinite(float(value)) for row in new[1:] for value in row.split(","))


def test_learning_starts_from_the_weights_and_the_momentum_of_the_checkpoint(resumed):
    """The stem runs twice a step, and counts it: two steps are in the checkpoint, four are new."""
    supernet = load_file(resumed("pinas_in_learn").folder / "learn" / "supernet.safetensors")
    assert supernet["conv1.1.num_batches_tracked"].item() == 2 * 6
    shape = list(supernet["conv1.0.weight"].shape)
    start = decode_tensor("conv1.0.weight", [shape, "float32"])
    change = supernet["conv1.0.weight"] - start
    assert 0 < change.norm() / start.norm() < 0.7  # 1.4 between networks that have nothing to do with each other
    momentum = decode_tensor("optimizer.state.0.momentum_buffer", [shape, "float32"])
    assert torch.cosine_similarity(change.flatten(), -momentum.flatten(), 0) > 0.3  # 0.1 without the momentum


def test_linear_evaluation_starts_from_the_classifier_of_the_checkpoint(resumed):
    """The configuration's learning rate is 1e-9, so the classifier ends where the checkpoint has it."""
    run = resumed("pinas_in_linear")
    classifier = load_file(run.folder / "linear" / "classifier.safetensors")
    for key, value in classifier.items():
        kept = decode_tensor(f"model.network.fc.{key}", [list(value.shape), "float32"])  # its name in the checkpoint
        torch.testing.assert_close(value, kept, rtol=0, atol=1e-5)


def test_training_starts_from_the_weights_of_the_checkpoint(resumed):
    run = resumed("fairnas_in_train")
    counted = [load_file(run.folder / where / "model.safetensors")["bn1.num_batches_tracked"].item() for where in
               ("winner", "trained")]  # fmt: skip
    assert counted[1] - counted[0] == len(table(run.folder / "train" / "curve.csv"))


def test_exploration_keeps_scores_and_takes_over_what_an_ended_worker_had_claimed(resumed):
    run = resumed("spos_in_explore")
    scored = {arch: value for arch, value in run.scored_before.items() if value is not None}
    claimed = set(run.scored_before) - set(scored)
    assert (len(scored), len(claimed)) == (6, 2)
    ranking = {row["arch"]: float(row["accuracy"]) for row in table(run.folder / "explore" / "ranking.csv")}
    assert len(ranking) == 12
    assert {arch: ranking[arch] for arch in scored} == pytest.approx(scored, abs=1e-5)
    assert claimed <= set(ranking)
    assert run.seconds < 55  # whether a worker of another machine has ended shows after a minute only


@pytest.mark.parametrize("name", RUNS)
def test_the_networks_of_a_run_load_from_their_folders(name, resumed):
    folder = resumed(name).folder
    for where in ("winner", "trained"):
        model = timm.create_model(f"local-dir:{folder / where}", pretrained=True).eval()
        with torch.no_grad():
            assert model(torch.randn(2, 3, 16, 16)).isfinite().all()
    assert timm.is_model(f"{name}_winner")


def test_a_complete_run_opens_by_the_configuration_that_it_keeps(resumed):
    folder = resumed("pinas_complete").folder
    before = files(folder)
    said = command("search", folder / "config.json", "--work-dir", folder)
    assert said.code == 0, said.err
    assert said.out.count("complete already") == 4
    after = files(folder)
    assert {p for p in {**before, **after} if before.get(p) != after.get(p)} <= {"report.html", "config.json"}


def test_rank_and_similarity_of_a_complete_run(resumed):
    folder = resumed("pinas_complete").folder
    kept = json.loads((folder / "rank.json").read_text())
    assert (
        "Ranking against networks trained from scratch" in (folder / "report.html").read_text()
    )  # from the kept rank.json
    said = command("rank", folder, "--truth", folder.parent / "truth.csv")
    assert said.code == 0, said.err
    again = json.loads((folder / "rank.json").read_text())
    assert {key: again[key] for key in ("count", "best", "score")} == {
        key: kept[key] for key in ("count", "best", "score")
    }
    said = command("similarity", folder, "--images", "16", "--paths", "2")
    assert said.code == 0, said.err
    assert "nan" not in (folder / "similarity.csv").read_text()


def test_a_folder_without_keys_that_were_added_since_is_accepted(tmp_path):
    """Keys that its config.json lacks have their defaults; other values are another configuration."""
    place = materialise("pinas_complete", tmp_path, VERSION)
    path = place / "run" / "config.json"
    kept = json.loads(path.read_text())
    del kept["learn"]["warmup"], kept["linear"]["batch_norm_images"], kept["data"]["crop_pct"], kept["log"]
    path.write_text(json.dumps(kept))
    before = files(place)
    refused = command("search", place / "config.py", "--work-dir", place / "run", "--set", "learn.lr=0.5")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "learn.lr" in refused.err
    assert files(place) == before
    said = command("search", place / "config.py", "--work-dir", place / "run")
    assert said.code == 0, said.err
    assert said.out.count("complete already") == 4


LOAD = """
import contextlib, io, json, sys
import timm, torch
import pinas_zoo
from pinas_zoo.cli import main

out = io.StringIO()
with contextlib.redirect_stdout(out):
    assert main(["list", "--mine", "--json"]) == 0
torch.manual_seed(0)
found = {"list": json.loads(out.getvalue())}
for name, size, pretrained in json.loads(sys.argv[1]):
    model = timm.create_model(name, pretrained=pretrained).eval()
    with torch.no_grad():
        outputs = model(torch.randn(1, *size))
    first = next(model.parameters())
    found[name] = [outputs.shape[1], bool(outputs.isfinite().all()), first.flatten()[:4].tolist()]
print(json.dumps(found))
"""


def test_registry_entries_load_in_a_new_process(tmp_path):
    place = materialise("registry", tmp_path / "kept", VERSION)
    small, cells = [3, 16, 16], [3, 32, 32]
    asked = [
        ("compat_tiny", small, True),
        ("compat_cells", small, True),
        ("compat_arch", [1, 32, 32], False),
        ("compat_cells_arch", cells, False),
        ("pinas_beta", [3, 64, 64], False),
        ("pinas_alpha", [3, 64, 64], True),
        (f"local-dir:{place / 'tiny'}", small, True),
        (f"local-dir:{place / 'cells'}", small, True),
    ]
    process = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(asked)],
        env={**os.environ, "PINAS_ZOO_HOME": str(place / "home")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "skipped" not in process.stderr
    found = json.loads(process.stdout)
    rows = {row["name"]: row for row in found["list"]}
    assert set(rows) == {name for name, *_ in asked if not name.startswith("local-dir:")}
    assert {name for name, row in rows.items() if row["weights"] == "local"} == {
        "compat_tiny", "compat_cells", "pinas_alpha"
    }  # fmt: skip
    assert rows["compat_arch"]["arch"] == "0123"
    assert rows["compat_cells_arch"]["arch"] == "012340"
    assert rows["pinas_beta"]["arch"] == "0123012301230123"
    assert rows["pinas_alpha"]["arch"] == "3013231203213032"
    classes = {name: found[name][0] for name, *_ in asked}
    assert list(classes.values()) == [10, 10, 7, 10, 1000, 1000, 10, 10]
    assert all(found[name][1] for name in classes)
    for name, where in (("compat_tiny", "tiny"), ("compat_cells", "cells"), ("pinas_alpha", "alpha")):
        weights = load_file(place / where / "model.safetensors")
        first = weights.get("conv1.0.weight", weights.get("conv1.weight"))
        assert found[name][2] == first.flatten()[:4].tolist(), name
