"""``pinas-zoo evidence``: a tiny real measurement from images to tables, and what is refused before it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pinas_zoo.arch import Arch
from pinas_zoo.cli import main
from pinas_zoo.engine.folder_lock import hold_folder
from pinas_zoo.errors import UserError
from pinas_zoo.search.context import Context
from pinas_zoo.search.evidence import budget
from pinas_zoo.search.evidence.budget import TIMED, WARM, learning_step, step_seconds, steps_within
from pinas_zoo.search.evidence.measure import _ends, scored_archs
from pinas_zoo.search.evidence.plan import PlannedRun, find_evidence, load_evidence
from pinas_zoo.search.evidence.replacements import replacements
from pinas_zoo.search.evidence.results import SCORES, read_run
from pinas_zoo.search.evidence.teacher import trained_teacher
from pinas_zoo.search.evidence.training_free import read_training_free
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from tests.search.evidence.made_up_runs import CONFIG, write_truth

TINY = f"""
_base_ = [{str(CONFIG)!r}]
search = dict(space=dict(channels=4), data=dict(val_per_class=4), learn=dict(batch_size=8), explore=dict(batch_size=8))
training_free, recommended = ("flops",), ()
sums = (("consistency", "squared_error", "flops"),)
report = dict(resamples=20)
"""


def tiny_images(folder: Path) -> Path:
    """Two classes that differ in brightness."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 12), ("validation", 2)):
        for name, level in (("dark", 60), ("light", 190)):
            (folder / split / name).mkdir(parents=True)
            for k in range(count):
                pixels = (level + rng.integers(-50, 50, size=(16, 16, 3))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{k}.png")
    return folder


def test_a_run_is_learned_scored_kept_and_skipped_the_next_time(tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(TINY)
    results = tmp_path / "results" / "tiny"
    words = ["evidence", str(tmp_path / "tiny.py"), "--truth", str(write_truth(tmp_path / "truth.csv"))]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "spos", "--sizes", "729", "--seeds", "3"]
    words += ["--minutes", "0.002", "--threads", "1", "--count", "30", "--results", str(results), "--json"]
    words += ["--work-dir", str(tmp_path / "work")]
    assert main(words) == 0
    told = capsys.readouterr()
    printed = json.loads(told.out)
    name = "spos_729_0.002x1_3_of_30"
    assert [(run["name"], run["scored"], run["seed"]) for run in printed["runs"]] == [(name, 30, 3)]
    assert "a step, " in told.err
    run = read_run(results / f"{name}.json")
    space = NASBench201Space(operations=("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"))
    assert list(run.scores) == [str(space.operations_of(arch)) for arch in scored_archs(space, space.operations, 30)]
    scores = np.array(list(run.scores.values()))
    assert scores.shape == (30, len(SCORES))
    assert np.isfinite(scores[:, :-1]).all()  # a supervised method has a classifier
    assert np.isnan(scores[:, -1]).all()  # and no score of its own
    assert len({row.tobytes() for row in scores}) > 20
    assert run.facts["accuracy"] == pytest.approx(scores[:, 0].mean(), abs=1e-3)
    assert run.facts["config"]["learn"]["method"] == "spos"
    assert run.facts["steps"] == run.facts["config"]["learn"]["steps"] >= 1
    assert f"| SPOS | 3 | 0.002 x 1 | {run.facts['steps']} |" in results.with_suffix(".md").read_text()
    assert (results / f"{name}.svg").is_file()

    kept = (results / f"{name}.csv").read_bytes()
    assert main(words) == 0
    assert f"{name}: measured already" in capsys.readouterr().err
    (results / f"{name}.json").unlink()
    assert main(words) == 0  # the supernet is there: only scored again
    assert "learn    complete already" in capsys.readouterr().err
    assert (results / f"{name}.csv").read_bytes() == kept
    assert read_run(results / f"{name}.json").facts["steps"] == run.facts["steps"]

    (free,) = read_training_free(results)
    assert (free.kind, free.size, list(free.values)) == ("flops", 729, list(run.scores))
    assert "| SPOS | 3 | 0.002 x 1 | consistency + probe + flops | 30 |" in results.with_suffix(".md").read_text()
    costs = {arch: space.cost(space.from_operations(Arch.parse(arch)), 16)[1] for arch in free.values}
    assert sorted(costs, key=lambda a: costs[a]) == sorted(free.values, key=lambda a: (free.values[a], costs[a]))

    page = results.with_suffix(".md").read_bytes()
    assert main([*words[:4], "--results", str(results), "--report"]) == 0  # needs no images
    assert results.with_suffix(".md").read_bytes() == page
    assert capsys.readouterr().out.startswith("# Ranking on NAS-Bench-201\n")


def test_a_supernet_of_all_operations_is_scored_on_the_space_of_three_and_on_its_own(tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(f"{TINY}search['linear'] = dict(steps=2, batch_size=8)\n")
    results = tmp_path / "results" / "tiny"
    words = [
        "evidence",
        str(tmp_path / "tiny.py"),
        "--truth",
        str(write_truth(tmp_path / "truth.csv", operations="01234")),
    ]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "pinas", "--sizes", "15625", "--seeds", "3"]
    words += ["--minutes", "0.002", "--threads", "1", "--count", "30", "--results", str(results)]
    words += ["--work-dir", str(tmp_path / "work")]
    assert main([*words, "--subspace", "729"]) == 0
    inside = read_run(results / "pinas_15625_0.002x1_3_on_729_of_30.json")
    assert set("".join(inside.scores)) <= set("234")
    assert (inside.size, inside.scored, inside.facts["linear_steps"], inside.estimates) == (15625, 729, 2, {})
    assert np.isfinite(
        np.array(list(inside.scores.values()))[:, :-1]
    ).all()  # the linear stage has trained a classifier
    capsys.readouterr()

    assert main(words) == 0
    told = capsys.readouterr()
    assert "learn    complete already" in told.out  # the same supernet
    whole = read_run(results / "pinas_15625_0.002x1_3_of_30.json")
    assert set("".join(whole.scores)) == set("01234")
    accuracies = {arch: scores[SCORES.index("classifier_accuracy")] for arch, scores in whole.scores.items()}
    assert {arch: whole.estimates[arch] for arch in accuracies} == pytest.approx(accuracies, abs=1e-4)
    assert set(whole.estimates) == {*accuracies, *(one.after for one in replacements(accuracies))}
    assert "## 729 architectures ranked by supernets of 15,625" in told.out
    assert "## Replacing one operation by a skip connection (Figure 7)" in told.out


def test_a_budget_of_steps_is_the_same_for_every_run_and_a_changed_regime_is_told(tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(TINY)
    results = tmp_path / "results" / "tiny"
    words = ["evidence", str(tmp_path / "tiny.py"), "--truth", str(write_truth(tmp_path / "truth.csv"))]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "pinas", "spos", "--sizes", "729"]
    words += ["--steps", "3", "--threads", "1", "--count", "30", "--scores", "consistency", "--seeds", "0"]
    words += ["--results", str(results), "--work-dir", str(tmp_path / "work")]
    assert main(words) == 0
    for name in ("pinas", "spos"):
        run = read_run(results / f"{name}_729_3steps_0_of_30.json")
        assert (run.facts["steps"], run.budget) == (3, "3 steps")
        assert run.core_minutes > 0
    assert "| SPOS | 0 | 3 steps | consistency | 30 |" in capsys.readouterr().out

    assert main(words) == 0
    assert "spos_729_3steps_0_of_30: measured already\n" in capsys.readouterr().out
    (tmp_path / "tiny.py").write_text(TINY + "runs = dict(spos=dict(learn=dict(lr=0.3)))\n")
    assert main(words) == 0
    told = capsys.readouterr().out
    line = "spos_729_3steps_0_of_30: measured already, but with learn.lr: 0.2 then, 0.3 now; delete its two files in "
    assert f"{line}{results} and the folder {tmp_path / 'work' / 'spos_729_3steps_0'} to measure it again\n" in told
    assert "pinas_729_3steps_0_of_30: measured already\n" in told
    for path in results.glob("spos_*"):
        path.unlink()
    shutil.rmtree(tmp_path / "work" / "spos_729_3steps_0")
    assert main(words) == 0
    assert read_run(results / "spos_729_3steps_0_of_30.json").facts["config"]["learn"]["lr"] == 0.3

    capsys.readouterr()
    more = "runs = dict(pinas=dict(learn=dict(options=dict(mean_teacher=False))))\nsearch['data']['image_size'] = 24\n"
    (tmp_path / "tiny.py").write_text(TINY + more)
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "learn.options.mean_teacher: None then, False now, data.image_size: 16 then, 24 now; delete" in told


TEACHER = """
runs = dict(dna=dict(teacher=dict(
    model_args=dict(channels=4, cells=1), batch_size=8, schedule=dict(epochs=2, warmup_epochs=1), eval_every=1
)))
"""


def test_a_run_with_a_teacher_trains_it_once_and_is_ranked_by_its_own_score(tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(TINY + TEACHER)
    results, work = tmp_path / "results" / "tiny", tmp_path / "work"
    words = ["evidence", str(tmp_path / "tiny.py"), "--truth", str(write_truth(tmp_path / "truth.csv"))]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "dna", "--sizes", "729"]
    words += ["--minutes", "0.002", "--threads", "1", "--count", "30", "--results", str(results)]
    words += ["--work-dir", str(work)]
    assert main([*words, "--seeds", "0"]) == 0
    (teacher,) = work.glob("teacher_dna_*")
    done = json.loads((teacher / "done.json").read_text())
    told = capsys.readouterr().out
    assert "network  teacher nasbench201: new weights" in told
    assert main([*words, "--seeds", "1"]) == 0
    assert f"complete already: {done['summary']}" in capsys.readouterr().out
    first, second = (read_run(results / f"dna_729_0.002x1_{seed}_of_30.json") for seed in (0, 1))
    assert first.known_scores == second.known_scores == ["own"]
    assert first.values("own") != second.values("own")
    assert len(set(first.values("own").values())) > 20
    assert (first.facts["teacher_seconds"], first.facts["teacher_accuracy"]) == (done["seconds"], done["top1"])
    assert "similarity" not in first.facts
    assert "linear_seconds" not in first.facts
    assert not first.estimates
    kept = "".join(path.read_text() for path in results.glob("dna*"))
    assert str(tmp_path) not in kept
    assert first.facts["config"]["teacher"]["model_args"]["cells"] == 1
    searched = json.loads((work / "dna_729_0.002x1_1" / "config.json").read_text())
    assert searched["learn"]["options"]["teacher"] == f"local-dir:{teacher / 'trained'}"
    cfg = json.loads((teacher / "trained" / "config.json").read_text())["pretrained_cfg"]
    assert (searched["data"]["mean"], searched["data"]["std"]) == (cfg["mean"], cfg["std"])  # both see the same images
    page = results.with_suffix(".md").read_text()
    assert "| DNA | 1 | 0.002 x 1 | the method's own score | 30 |" in page


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("epochs=3", "the teacher of run dna: unknown key 'epochs'"),
        ("model='no_such_network'", "the teacher of dna: expected"),
        ("model_args=dict(arch='5')", "the teacher of dna: expected"),
        ("data=3", "the teacher of run dna: "),
        ("start='weights'", "the teacher of run dna as timm's name of a network that starts from scratch"),
    ],
)
def test_a_wrong_teacher_is_one_line(teacher, message, tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(f"{TINY}runs = dict(dna=dict(teacher=dict({teacher})))\n")
    words = ["evidence", str(tmp_path / "tiny.py"), "--truth", str(write_truth(tmp_path / "truth.csv"))]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "dna", "--sizes", "729"]
    words += ["--results", str(tmp_path / "results"), "--work-dir", str(tmp_path / "work")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1]


def test_phases_that_end_early_have_no_last_loss():
    nothing = float("nan")
    curve = {"loss": [3.0, 2.0, nothing], "stage2.loss": [nothing, nothing, 1.0], "drift": [0.25, 0.75]}
    assert _ends(curve) == {"drift": 0.5}


def test_a_teacher_is_trained_by_one_process_while_another_waits(tmp_path, monkeypatch):
    (tmp_path / "tiny.py").write_text(TINY + TEACHER)
    planned = PlannedRun(load_evidence(tmp_path / "tiny.py"), "dna", 729, 0, 1.0, 1)
    images, said = tiny_images(tmp_path / "images"), []
    monkeypatch.setattr("pinas_zoo.search.evidence.teacher.WAIT", 0.0)
    first = trained_teacher(planned, images, tmp_path / "work", lambda text: None)
    folder = first.folder.parent
    (folder / "done.json").unlink()
    with hold_folder(folder) as lock:
        monkeypatch.setattr("time.sleep", lambda seconds: lock.release())
        assert trained_teacher(planned, images, tmp_path / "work", said.append).folder == first.folder
    assert said[0] == f"waiting for the teacher that another process trains in {folder}"


@pytest.mark.parametrize(
    ("file", "key", "value"), [("done.json", "top1", 3), ("done.json", "seconds", None), ("config.json", "mean", None)]
)
def test_a_damaged_teacher_is_one_line_with_a_cure(file, key, value, tmp_path):
    (tmp_path / "tiny.py").write_text(TINY + TEACHER)
    planned = PlannedRun(load_evidence(tmp_path / "tiny.py"), "dna", 729, 0, 1.0, 1)
    images = tiny_images(tmp_path / "images")
    folder = trained_teacher(planned, images, tmp_path / "work", lambda text: None).folder.parent
    path = folder / file if file == "done.json" else folder / "trained" / file
    facts = json.loads(path.read_text())
    inner = facts if file == "done.json" else facts["pretrained_cfg"]
    inner[key] = value
    if value is None:
        del inner[key]
    path.write_text(json.dumps(facts))
    with pytest.raises(UserError, match=rf"the teacher of dna: expected .*; delete {folder} to train it again"):
        trained_teacher(planned, images, tmp_path / "work", lambda text: None)


def test_a_teacher_of_the_configuration_is_not_replaced_by_a_change(tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(TINY + TEACHER)
    words = ["evidence", str(tmp_path / "tiny.py"), "--truth", str(write_truth(tmp_path / "truth.csv"))]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "dna"]
    words += ["--results", str(tmp_path / "results")]
    for key, value in (("learn.options.teacher", "vgg11"), ("data.mean", "[0.5,0.5,0.5]")):
        assert main([*words, "--set", f"{key}={value}", "--work-dir", str(tmp_path / "work")]) == 2
        assert f"expected no --set of {key}, which the teacher of run dna decides" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_each_measured_step_of_the_budget_learns(tmp_path, monkeypatch):
    planned = PlannedRun(load_evidence(find_evidence(str(CONFIG))), "pinas", 729, 0, 1.0, 1)
    planned.evidence.search.update(space=dict(type="nasbench201", channels=4, cells=1), data=dict(val_per_class=4))
    context = Context.of(planned.search_config(tiny_images(tmp_path / "images"), 1), tmp_path / "run")
    method = context.method()
    monkeypatch.setattr(Context, "method", lambda self: method)
    step = learning_step(context)
    for k in (0, WARM, WARM + TIMED - 1):
        before = [p.detach().clone() for p in method.parameters()]
        step(k)
        assert any((p != old).any() for p, old in zip(method.parameters(), before, strict=True)), k


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "5"), "expected --count of at least 30"),
        (("--minutes", "0"), "expected a positive number as --minutes, got 0"),
        (("--minutes", "nan"), "expected a positive number as --minutes, got nan"),
        (("--threads", "0"), "expected --threads of 1 to "),
        (("--steps", "0"), "expected --steps of 1 to 1,000,000,000, got 0"),
        (
            ("--steps", "9", "--set", "learn.steps=3"),
            "expected --steps alone to say .* got --set learn.steps=3",
        ),
        (("--steps", "9", "--minutes", "2"), "expected --minutes or --steps, got both: 2 and 9; leave one out"),
        (("--runs", "darts"), "expected --runs of pinas, spos, .*, got darts"),
        (("--sizes", "64"), "expected --sizes of 729, 4096, 15625, got 64"),
        (("--subspace", "15625"), "expected --sizes that contain the --subspace 15625: 15625, got 729"),
        (("--sizes", "15625", "--subspace", "64"), "expected --subspace of 729, 4096, 15625, got 64"),
        ((), "expected a CSV table of trained networks in absent.csv, found no file"),
    ],
)
def test_budgets_that_make_no_sense_are_refused_before_anything_is_learned(
    words, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["evidence", str(CONFIG), "--truth", "absent.csv", *words]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not list(tmp_path.iterdir())


def test_without_images_only_a_report_can_be_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth = write_truth(tmp_path / "truth.csv")
    assert main(["evidence", str(CONFIG), "--truth", str(truth)]) == 2
    assert "expected --images, CIFAR-10 as a folder or an .npz of JPEGs, got none" in capsys.readouterr().err


def test_an_unknown_key_of_a_trial_is_refused_before_anything_is_learned(tmp_path, capsys):
    words = ["evidence", str(CONFIG), "--truth", str(write_truth(tmp_path / "truth.csv")), "--set", "learn.rate=1"]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--work-dir", str(tmp_path / "work")]
    assert main([*words, "--results", str(tmp_path / "results")]) == 2
    assert "unknown key 'learn.rate'" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


@pytest.mark.gpu
def test_the_steps_of_a_budget_run_on_the_card(tmp_path, monkeypatch):
    planned = PlannedRun(load_evidence(find_evidence(str(CONFIG))), "pinas", 729, 0, 1.0, 1)
    planned.evidence.search.update(space=dict(type="nasbench201", channels=4, cells=1), data=dict(val_per_class=4))
    context = Context.of(planned.search_config(tiny_images(tmp_path / "images"), 1), tmp_path / "run")
    method = context.method()
    monkeypatch.setattr(Context, "method", lambda self: method)
    (seconds,) = step_seconds(learning_step(context))
    assert seconds > 0
    assert {p.device.type for p in method.parameters()} == {"cuda"}


def test_threads_share_no_time_on_a_device(monkeypatch):
    monkeypatch.setattr(budget, "get_device", lambda: "cuda")
    assert steps_within(1, 4, 0.5) == 120


def test_a_budget_buys_steps_by_their_cpu_seconds():
    assert steps_within(minutes=2, threads=3, seconds=0.5) == 720
    assert steps_within(minutes=0.001, threads=1, seconds=10) == 1


def test_a_training_free_score_is_averaged_over_the_initialisations_of_its_kind(tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(
        TINY.replace('("flops",)', '("flops", "zen", "naswot")') + "initialisations = dict(zen=2)\n"
    )
    words = ["evidence", str(tmp_path / "tiny.py"), "--truth", str(write_truth(tmp_path / "truth.csv"))]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--sizes", "729", "--count", "30", "--threads", "1"]
    words += ["--training-free", "--work-dir", str(tmp_path / "work")]
    assert main([*words, "--results", str(tmp_path / "two")]) == 0
    (tmp_path / "tiny.py").write_text((tmp_path / "tiny.py").read_text().replace("zen=2", "zen=1"))
    assert main([*words, "--results", str(tmp_path / "one")]) == 0
    found = {}
    for folder in ("one", "two"):
        facts = [json.loads(path.read_text()) for path in sorted((tmp_path / folder / "training_free").glob("*.json"))]
        found[folder] = {one["kind"]: one["initialisations"] for one in facts}
    assert found == {"one": dict(flops=1, naswot=1, zen=1), "two": dict(flops=1, naswot=1, zen=2)}
    one, two = ({k.kind: k.values for k in read_training_free(tmp_path / folder)} for folder in ("one", "two"))
    assert one["naswot"] == two["naswot"]
    assert one["zen"] != two["zen"]


def test_training_free_scores_take_networks_of_their_own_size_and_are_measured_anew_if_it_changes(tmp_path, capsys):
    config, results = tmp_path / "tiny.py", tmp_path / "results"
    tiny = TINY + "training_free_space = dict(cells=CELLS)\n"
    words = ["evidence", str(config), "--truth", str(write_truth(tmp_path / "truth.csv")), "--results", str(results)]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--sizes", "729", "--count", "30", "--threads", "1"]
    words += ["--training-free", "--work-dir", str(tmp_path / "work")]
    found = {}
    for cells in (2, 1):
        config.write_text(tiny.replace("CELLS", f"{cells}").replace('("flops",)', '("flops", "naswot")'))
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "measured already" not in said
        anew = "naswot_729_of_30: measured anew, of 1 cells a stage, 4 channels, 16 x 16 pixels in place of 2 cells"
        assert (anew in said) == (cells == 1)
        found[cells] = {one.kind: one for one in read_training_free(results)}["naswot"]
        assert found[cells].network == {"channels": 4, "cells": cells, "image_size": 16}
    assert all(found[2].values[arch] > value for arch, value in found[1].values.items())  # twice the rectifiers
    assert main(words) == 0
    assert "naswot_729_of_30: measured already" in capsys.readouterr().out
    config.write_text(config.read_text().replace("cells=1", "cells=3"))
    assert main([*words[:4], "--results", str(results), "--report"]) == 0
    assert "Left out, since they are of networks of another size" in capsys.readouterr().out
    for wrong, message in (
        ("cells=0", "expected cells of at least 1, got 0"),
        ("type='resnest50'", "got type='resnest50'"),
    ):
        config.write_text(tiny.replace("cells=CELLS", wrong))
        assert main(words) == 2
        assert f"training_free_space: {'space' if 'cells' in wrong else 'expected'}" in (
            said := capsys.readouterr().err
        )
        assert message in said


def test_a_supernet_that_is_learned_is_scored_again_after_the_size_of_training_free_networks_changed(tmp_path, capsys):
    config, results = tmp_path / "tiny.py", tmp_path / "results"
    words = ["evidence", str(config), "--truth", str(write_truth(tmp_path / "truth.csv")), "--results", str(results)]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "spos", "--sizes", "729", "--seeds", "3"]
    words += ["--minutes", "0.002", "--threads", "1", "--work-dir", str(tmp_path / "work")]
    for cells, count in ((1, "30"), (2, "40")):
        config.write_text(TINY + f"training_free_space = dict(cells={cells})\n")
        assert main([*words, "--count", count]) == 0
    assert len(read_run(results / "spos_729_0.002x1_3_of_40.json").scores) == 40


def test_only_the_wanted_scores_are_measured_and_no_classifier_is_trained_for_others(tmp_path, capsys):
    (tmp_path / "tiny.py").write_text(TINY)
    results = tmp_path / "results" / "tiny"
    words = ["evidence", str(tmp_path / "tiny.py"), "--truth", str(write_truth(tmp_path / "truth.csv"))]
    words += ["--images", str(tiny_images(tmp_path / "images")), "--runs", "pinas", "--sizes", "729", "--seeds", "3"]
    words += ["--minutes", "0.002", "--threads", "1", "--count", "30", "--results", str(results)]
    words += ["--work-dir", str(tmp_path / "work")]
    assert main([*words, "--scores", "accuracy"]) == 2
    assert "expected --scores of consistency, identification" in capsys.readouterr().err
    assert main([*words, "--scores", "identification"]) == 0
    told = capsys.readouterr().out
    run = read_run(results / "pinas_729_0.002x1_3_of_30.json")
    assert "linear   left out" in told
    assert run.known_scores == ["consistency", "identification"]  # tables rank by consistency
    assert "| Π-NAS | 3 | 0.002 x 1 |" in told
