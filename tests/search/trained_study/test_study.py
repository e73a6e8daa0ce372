"""``pinas-zoo study`` as a whole: its files, resuming, and workers that share it."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pinas_zoo.cli import main
from pinas_zoo.engine.folder_lock import LOCK, Holder
from pinas_zoo.operating_system import process_space, process_start
from pinas_zoo.search.trained_study.config import load_study
from pinas_zoo.search.trained_study.jobs import Study
from tests.networks import ROOT
from tests.search.trained_study.tiny_study import FILES, write_config

SUM = "consistency + 2 reachable_flops"


def run(*words: object, code: int = 0) -> None:
    assert main([str(word) for word in ("study", *words)]) == code


def trained(folder: Path) -> list[Path]:
    """Run folders of trainings that have begun."""
    return sorted(folder.glob("trained/*/seed-*"))


def worker(config: Path, folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.search.trained_study.tiny_study", str(config), str(folder)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The configuration and folder of a complete study."""
    place = tmp_path_factory.mktemp("study")
    config = write_config(place)
    run(config, "--work-dir", place / "whole")
    return config, place / "whole"


def test_scores_are_compared_with_trained_networks(finished):
    _, folder = finished
    facts = json.loads((folder / "report.json").read_text())
    assert facts["complete"]
    archs = {one["arch"]: one for one in facts["architectures"]}
    assert {"1111", "0123"} < set(archs)
    assert archs["1111"]["origin"].startswith("reference resnest")
    assert len(archs) == 3
    for arch, one in archs.items():  # the means of ordinary runs of pinas-zoo train
        for seed in ("0", "1"):
            done = json.loads((folder / "trained" / arch / f"seed-{seed}" / "done.json").read_text())
            assert one["accuracies"][seed] == done["top1"]
    rows = {(row["method"], row["kind"]): row for row in facts["rows"]}
    kinds = ("classifier", "probe", "consistency", "identification")
    assert set(rows) == {*(("spos", kind) for kind in kinds), ("multiply-adds", ""), ("parameters", "")}
    assert all(row["n"] == 3 for row in rows.values())
    text = (folder / "report.md").read_text()
    assert "| SPOS | probe | 0 | 3 |" in text
    assert "Two trainings of the same architectures" in text
    assert "<svg" in (folder / "report.html").read_text()


def test_a_sum_adds_log_places_and_measures_its_parts_alone(finished, tmp_path):
    without, folder = finished
    shutil.copytree(folder, tmp_path / "whole")
    config = tmp_path / "tiny.py"
    sums = "scores = ('consistency',)\nsums = (('consistency', ('reachable_flops', 2)),)"
    config.write_text(without.read_text() + sums)
    run(config, "--work-dir", tmp_path / "whole")
    facts = json.loads((tmp_path / "whole" / "report.json").read_text())
    scores = {one["kind"]: one["values"] for one in facts["scores"]}
    assert list(scores)[:2] == ["consistency", SUM]
    flops = next(one["values"] for one in facts["scores"] if one["method"] == "multiply-adds")

    def place(values, arch):  # from the last of the three
        return sum(values[other] < values[arch] for other in values) + 1

    for arch, value in scores[SUM].items():
        total = math.log(place(scores["consistency"], arch) / 3) + 2 * math.log(place(flops, arch) / 3)
        assert value == pytest.approx(1 + total / (3 * math.log(3)))
    assert any(row["kind"] == SUM and row["n"] == 3 for row in facts["rows"])
    head = (tmp_path / "whole" / "scores" / "spos_seed-0.csv").read_text().splitlines()[0].split(",")
    assert {"classifier", "probe", "identification", "reachable_flops"} < set(head)  # what was measured before stays


def test_scores_are_kept_if_the_supernet_is_gone(finished, tmp_path, capsys):
    """They were replaced by those that need no supernet."""
    without, folder = finished
    shutil.copytree(folder, tmp_path / "whole")
    config = tmp_path / "tiny.py"
    config.write_text(without.read_text() + "sums = (('consistency', 'flops'),)")
    table = tmp_path / "whole" / "scores" / "spos_seed-0.csv"
    before = table.read_text()
    (tmp_path / "whole" / "supernets" / "spos" / "seed-0" / "learn" / "supernet.safetensors").unlink()
    run(config, "--work-dir", tmp_path / "whole", code=2)
    assert "expected the supernet of spos" in capsys.readouterr().err
    assert table.read_text() == before


def test_the_best_of_a_method_is_trained(finished):
    _, folder = finished
    best = json.loads((folder / "supernets" / "spos" / "seed-0" / "explore" / "done.json").read_text())["winner"]
    facts = json.loads((folder / "report.json").read_text())
    assert [one["arch"] for one in facts["architectures"] if "best of spos" in one["origin"]] == [best]


def test_a_complete_study_trains_nothing_again(finished, capsys):
    config, folder = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("trained/*/*/done.json")}
    run(config, "--work-dir", folder)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("trained/*/*/done.json")} == before
    assert "train 1111" not in capsys.readouterr().out


def test_a_training_whose_folder_is_deleted_is_done_again_alone(finished, capsys):
    config, folder = finished
    done = folder / "trained" / "0123" / "seed-1" / "done.json"
    text = done.read_text()
    done.unlink()
    run(config, "--work-dir", folder)
    assert "train 0123 seed 1" in (out := capsys.readouterr().out)
    assert "train 0123 seed 0" not in out
    assert json.loads(done.read_text())["top1"] == json.loads(text)["top1"]


def test_a_training_whose_folder_another_process_holds_is_left_to_it(finished, capsys):
    """As a worker does that was suspended until its lease had ended: its folder is locked, and its process lives."""
    config, folder = finished
    held, free = (folder / "trained" / "0123" / f"seed-{seed}" for seed in (0, 1))
    for run_folder in (held, free):
        (run_folder / "done.json").unlink()
    other = Holder(pid=1, place=process_space(), started=process_start(1), token="x")
    (held / LOCK).write_text(other.model_dump_json())
    run(config, "--work-dir", folder, "--worker")
    out = capsys.readouterr().out
    assert "train 0123 seed 0: left to process 1 on" in out
    assert "1 jobs are left, which other workers do" in out
    assert (free / "done.json").is_file()
    assert not (held / "done.json").is_file()
    (held / LOCK).unlink()  # the other process has ended
    run(config, "--work-dir", folder, "--worker")
    assert (held / "done.json").is_file()


def test_other_results_are_a_row_of_their_own(finished, tmp_path, capsys):
    """The transfer columns of Table 3."""
    config, folder = finished
    others = [one.arch for one in Study(load_study(config), folder, print).architectures()]
    (tmp_path / "box.csv").write_text("architecture,outcome\n" + "".join(f"{a},{k}\n" for k, a in enumerate(others)))
    (tmp_path / "iou.json").write_text(json.dumps({"resnest": 1.0, "0123": 2.0}))
    words = ["--outcome", f"box AP={tmp_path / 'box.csv'}", "--outcome", f"mIoU={tmp_path / 'iou.json'}"]
    run(config, "--work-dir", folder, "--report", "--json", *words)
    facts = json.loads(capsys.readouterr().out)
    rows = [row for row in facts["rows"] if row["outcome"] == "box AP"]
    assert {row["method"] for row in rows} == {"spos", "multiply-adds", "parameters", "trained accuracy"}
    assert all(row["n"] == 3 and row["ranking"] for row in rows)
    few = [row for row in facts["rows"] if row["outcome"] == "mIoU"]
    assert all(row["n"] == 2 and row["ranking"] is None for row in few)
    assert "## Ranking by box AP" in (folder / "report.md").read_text()


def test_a_changed_recipe_is_refused(finished, capsys):
    config, folder = finished
    run(config, "--work-dir", folder, "--set", "recipe.batch_size=4", code=2)
    assert "was made by another recipe (batch_size was 8, is 4)" in capsys.readouterr().err


def test_more_seeds_add_trainings(finished, tmp_path):
    config, folder = finished
    study = Study(load_study(config, {"seeds": [0, 1, 2], "count": 4}), folder, print)
    left = [job.key for job in study.jobs() if not job.is_complete()]
    assert len([key for key in left if key.startswith("train")]) == 3 + 3  # a third seed, and a fourth architecture
    assert "score spos seed 0" in left


@pytest.mark.slow
def test_two_workers_and_a_killed_one_share_the_trainings(finished, tmp_path):
    """A worker is killed within a training; two others then do all jobs, none of them twice."""
    config, whole = finished
    folder = tmp_path / "shared"
    folder.with_suffix(".go").touch()
    first = worker(config, folder)
    while first.poll() is None and not any(folder.glob("trained/*/*/train/curve.csv")):
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert len(trained(folder)) == 1
    workers = [worker(config, folder) for _ in range(2)]
    outputs = [one.communicate(timeout=240)[0] for one in workers]
    assert [one.returncode for one in workers] == [0, 0], outputs
    run(config, "--work-dir", folder)
    done = [line.split(":")[0] for text in outputs for line in text.splitlines() if line.startswith(("train", "learn"))]
    assert len(done) == len(set(done))
    assert len(trained(folder)) == 6
    ours, theirs = (json.loads((place / "report.json").read_text()) for place in (folder, whole))
    assert ours["architectures"] == theirs["architectures"]  # also those of the training that was killed
    assert all((folder / name).is_file() for name in FILES)
