"""The whole way as a user goes it: the command on real images, stopped and gone on with, and its errors."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from pinas_zoo import cli
from pinas_zoo.data.decoding import fit
from pinas_zoo.made_with import made_with
from pinas_zoo.search.api import open_run
from pinas_zoo.search.pipeline import open_context, stored_scores
from pinas_zoo.search.stages.explore import build_scorer
from pinas_zoo.search.study.storage import open_study
from tests.data.test_images import cifar_folder

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "pinas_zoo.cli"]
TINY = {
    "space.depths": "(1,1,1,1)",
    "space.widths": "(16,16,16,16)",
    "data.image_size": "16",
    "learn.steps": "6",
    "learn.batch_size": "16",
    "learn.options.queue_size": "64",
    "learn.checkpoint_every": "2",
    "learn.log_every": "1",
    "linear.steps": "6",
    "linear.batch_size": "16",
    "linear.checkpoint_every": "2",
    "linear.log_every": "1",
    "explore.evaluations": "6",
    "explore.population": "3",
    "explore.recalibration_images": "32",
    "train.epochs": "1",
    "train.batch_size": "64",
    "train.checkpoint_every": "5",
    "train.log_every": "1",
    "train.compare.seeds": "0",
}


def tiny(**more: str) -> list[str]:
    return [word for key, value in {**TINY, **more}.items() for word in ("--set", f"{key}={value}")]


def search(
    *words: str, cwd: Path = ROOT, home: Path | None = None, config: str = "digits", anyway: bool = True
) -> SimpleNamespace:
    """The command within this process, which has torch imported; what kills it or must be new starts its own.

    Six steps learn nothing, so that the winner is registered on request alone.
    """
    before, here = {key: os.environ.get(key) for key in environment(home)}, Path.cwd()
    out, err = io.StringIO(), io.StringIO()
    try:
        os.environ.update(environment(home))
        os.chdir(cwd)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            more = ["--register-anyway"] if anyway else []
            code = cli.main(["search", str(ROOT / "configs" / "search" / f"{config}.py"), *words, *more])
    finally:
        os.chdir(here)
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def command(*words: str) -> SimpleNamespace:
    """Another of the commands, within this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(list(words))
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def environment(home: Path | None) -> dict[str, str]:
    return {"PINAS_ZOO_HOME": str(home)} if home else {}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "digits"
    result = search("--work-dir", str(folder), *tiny(), home=folder.parent / "home")
    assert result.returncode == 0, result.stderr
    return folder, result


def test_the_winner_loads_by_name_in_a_new_process_from_any_folder(finished, tmp_path):
    folder, result = finished
    lines = result.stdout.strip().splitlines()
    claimed = float(lines[-1].rsplit(" ", 1)[1].rstrip("%"))
    code = (
        "import timm, pinas_zoo\n"
        'model = timm.create_model("digits_winner", pretrained=True).eval()\n'
        "import torch\n"
        "from pinas_zoo.search.config import Data\n"
        "from pinas_zoo.data.splits import load_splits\n"
        "test = load_splits(Data(type='digits', image_size=16, val_per_class=30), 0).test\n"
        "cfg = model.pretrained_cfg\n"
        "x = (test.pixels.float() / 255 - torch.tensor(cfg['mean']).view(3, 1, 1))"
        " / torch.tensor(cfg['std']).view(3, 1, 1)\n"
        "print(100 * (model(x).argmax(1) == test.labels).float().mean().item())\n"
    )
    assert 'timm.create_model("digits_winner", pretrained=True)' in lines[-1]
    env = {**os.environ, **environment(folder.parent / "home")}
    new = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert new.returncode == 0, new.stderr
    assert float(new.stdout) == pytest.approx(claimed, abs=0.01)


def test_a_search_that_learned_nothing_says_so_and_registers_no_winner(finished, tmp_path):
    folder, result = tmp_path / "digits", finished[1]
    shutil.copytree(finished[0], folder)
    assert "warning  learn ended at a loss of" in result.stdout
    assert re.search(r"\nnoise    \d of 5 other candidates lie within noise of the winner \(binomial", result.stdout)
    again = search("--work-dir", str(folder), *tiny(), home=tmp_path / "home", anyway=False)
    assert again.returncode == 0, again.stderr
    assert "warning  learn ended at a loss of" in again.stdout
    assert "digits_winner is not registered, because the search learned nothing (loss at chance" in again.stdout
    assert f'timm.create_model("local-dir:{folder / "trained"}", pretrained=True)' in again.stdout
    assert not list((tmp_path / "home").rglob("digits_winner*"))
    facts = json.loads((folder / "learn" / "done.json").read_text())
    assert [warning["check"] for warning in facts["warnings"]] == ["loss at chance"]
    assert json.loads((folder / "explore" / "done.json").read_text())["within_noise"]["others"] == 5
    report = (folder / "report.html").read_text()
    assert "learn ended at a loss of" in report[: report.index("<main")]
    assert "--register-anyway" in report
    assert "other candidates lie within noise of the winner" in report
    assert "create_model(" not in report
    assert "create_model(" in (finished[0] / "report.html").read_text()
    assert open_run(folder).warnings[0] == facts["warnings"][0]["text"]


def test_what_a_run_leaves(finished):
    folder, result = finished
    for name in (
        "config.json",
        "learn/supernet.safetensors",
        "learn/curve.csv",
        "linear/classifier.safetensors",
        "explore/study.db",
        "explore/ranking.csv",
        "winner/config.json",
        "winner/model.safetensors",
        "trained/config.json",
        "trained/model.safetensors",
        "report.html",
    ):
        assert (folder / name).stat().st_size > 0, name
    left = [p for p in folder.rglob("*") if p.name == "checkpoint.pth" or p.name.startswith(".")]
    assert left == []
    report = (folder / "report.html").read_text()
    ranking = (folder / "explore" / "ranking.csv").read_text().splitlines()
    assert ranking[1].split(",")[1] in report
    assert "<svg" in report
    assert "src=" not in report
    assert len(ranking) == 1 + 6
    for stage in ("learn", "linear", "explore", "winner", "train"):
        assert f"\n{stage}" in "\n" + result.stdout


def test_the_path_of_resnest_is_scored_beside_the_candidates_and_is_none(finished):
    folder, _ = finished
    done = json.loads((folder / "explore" / "done.json").read_text())
    opened = open_context(folder, "explore")
    resnest = opened.space.references()["resnest"]
    assert str(resnest) == "1" * opened.space.num_layers
    accuracy = build_scorer(opened).scores([resnest])[0].accuracy
    assert done["references"] == {"resnest": accuracy}
    assert f"Acc@S: winner {done_accuracy(folder):.1%}, resnest {accuracy:.1%}" in done["summary"]
    assert "Known architectures in the supernet" in (folder / "report.html").read_text()


def done_accuracy(folder: Path) -> float:
    """The score of the winner in ranking.csv."""
    return float((folder / "explore" / "ranking.csv").read_text().splitlines()[1].split(",")[2])


def test_the_winner_s_transform_prepares_an_image_as_the_run_did(finished):
    import timm
    from timm.data import create_transform, resolve_model_data_config

    folder, _ = finished
    data = json.loads((folder / "config.json").read_text())["data"]
    photo = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    ours = fit(photo, data["image_size"], data["crop_pct"])
    for where in ("winner", "trained"):
        cfg = resolve_model_data_config(timm.create_model(f"local-dir:{folder / where}"))
        transform = create_transform(**{**cfg, "mean": (0, 0, 0), "std": (1, 1, 1)})
        theirs = (transform(Image.fromarray(photo)) * 255).round().permute(1, 2, 0).numpy()
        assert np.abs(theirs - ours).max() <= 1, where


def test_the_winner_says_where_it_came_from_and_its_commands_work(finished, tmp_path, monkeypatch):
    import timm

    folder, _ = finished
    for stage in ("learn", "linear", "explore", "winner", "train"):
        assert json.loads((folder / stage / "done.json").read_text())["made_with"] == made_with()
    report = (folder / "report.html").read_text()
    assert f"code {made_with()['code']}, torch {made_with()['versions']['torch']}, seed 0" in report
    for where in ("winner", "trained"):
        facts = json.loads((folder / where / "provenance.json").read_text())
        assert facts["config"]["explore"]["evaluations"] == 6
        assert facts["seed"] == 0
        assert facts["score"]["rank"] == "1"
        assert {key: facts[key] for key in made_with()} == made_with()
        monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path / where))
        monkeypatch.chdir(folder / where)
        command = shlex.split(facts["commands"]["register"])
        assert (command[0], cli.main(command[1:])) == ("pinas-zoo", 0)
        names: dict = {}
        exec(facts["commands"]["load to train on"], names)
        registered = timm.create_model("digits_winner", pretrained=True)
        for key, value in names["model"].state_dict().items():
            assert torch.equal(value, registered.state_dict()[key]), key


def test_rank_and_similarity_write_their_figures_and_the_report(finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    rows = (folder / "explore" / "ranking.csv").read_text().splitlines()[1:]
    truth = tmp_path / "truth.csv"
    truth.write_text("arch,accuracy\n" + "".join(f"{row.split(',')[1]},{90 - k}\n" for k, row in enumerate(rows)))
    said = command("rank", str(folder), "--truth", str(truth))
    assert said.returncode == 0, said.stderr
    assert "architectures       6 (truth: accuracy of truth.csv)" in said.stdout
    found = json.loads((folder / "rank.json").read_text())
    assert found["count"] == 6
    assert f"tau of effects      {found['effects']['score']['value']:+.3f} [" in said.stdout
    assert f"tau smoothed        {found['smoothed']['score']['value']:+.3f} [" in said.stdout
    report = (folder / "report.html").read_text()
    assert "Ranking against networks trained from scratch" in report
    assert f"main effects of the scores</td><td class=n>{found['effects']['score']['value']:+.3f}" in report
    assert f"scores and main effects, half each</td><td class=n>{found['smoothed']['score']['value']:+.3f}" in report
    assert "What each choice adds" in report
    assert len(report) < 300_000
    said = command("similarity", str(folder), "--images", "8", "--paths", "2")
    assert said.returncode == 0, said.stderr
    assert "mean off the diagonal" in said.stdout
    for name in ("rank.svg", "similarity.svg"):
        ElementTree.parse(folder / name)
    printed = json.loads(command("rank", str(folder), "--truth", str(truth), "--json").stdout)
    assert [Path(path).name for path in printed.pop("written")] == ["rank.json", "rank.svg", "report.html"]
    assert printed == found
    printed = json.loads(command("similarity", str(folder), "--images", "8", "--paths", "2", "--json").stdout)
    assert len(printed["matrix"]) == len(printed["matrix"][0]) == 4
    assert f"mean off the diagonal {printed['mean_off_diagonal']:.4f}" in said.stdout


@pytest.mark.parametrize("words", [("rank", "--truth", "absent.csv"), ("similarity",)])
def test_a_folder_that_wants_to_run_code_is_refused(words, finished, tmp_path):
    """mmengine's reader would follow `_base_` and `custom_imports` of a configuration."""
    folder = shutil.copytree(finished[0], tmp_path / "run")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    values = json.loads((folder / "config.json").read_text())
    for more in ({"_base_": "evil.py"}, {"custom_imports": {"imports": ["evil"]}}):
        (folder / "config.json").write_text(json.dumps({**values, **more}))
        said = command(words[0], str(folder), *words[1:])
        assert said.returncode == 2
        assert said.stderr.count("\n") == 1
        assert "unknown key" in said.stderr
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("words", [("rank", "--truth", "absent.csv"), ("similarity",)])
def test_commands_on_what_is_no_explored_run_are_one_line(words, finished, tmp_path):
    said = command(words[0], str(tmp_path), *words[1:])
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "found no config.json" in said.stderr
    shutil.copy(finished[0] / "config.json", tmp_path)
    said = command(words[0], str(tmp_path), *words[1:])
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "complete" in said.stderr


def test_the_score_of_the_winner_is_what_the_cut_out_network_has(finished):
    """Held-out accuracy in the supernet, recalibrated, equals that of the folder that timm loads."""
    import timm

    from pinas_zoo.search.config import load_config
    from pinas_zoo.search.context import Context
    from pinas_zoo.search.run_files import read_ranking
    from pinas_zoo.search.stages.network_folder import accuracy

    folder, _ = finished
    run = Context.of(load_config(folder / "config.json"), folder, say=lambda text: None)
    model = timm.create_model(f"local-dir:{folder / 'winner'}", pretrained=True)
    best = read_ranking(folder / "explore" / "ranking.csv")[0]
    value = accuracy(model, run.splits.val, run.views(run.config.views).normalise)
    assert value == pytest.approx(float(best["accuracy"]), abs=1e-4)


def test_a_complete_run_is_not_run_again(finished):
    folder, first = finished
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")}
    again = search("--work-dir", str(folder), *tiny())
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("complete already") == 5
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.safetensors")} == before
    assert again.stdout.strip().splitlines()[-1] == first.stdout.strip().splitlines()[-1]


def test_a_worker_waits_for_no_stage_and_writes_none(finished, tmp_path):
    """Not before the supernet is evaluated; in a copy of the folder, with a goal to reach; not after the end."""
    folder, _ = finished
    early = search("--work-dir", str(tmp_path / "new"), "--worker", *tiny())
    assert early.returncode == 2
    assert "expected a complete learn stage" in early.stderr
    assert not (tmp_path / "new").exists()
    late = search("--work-dir", str(folder), "--worker", *tiny())
    assert late.returncode == 0, late.stderr
    assert "explore  complete already" in late.stdout
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("explore", "winner", "train*", "report.html"))
    works = search("--work-dir", str(copy), "--worker", *tiny())
    assert works.returncode == 0, works.stderr
    assert "6 architectures are scored" in works.stdout
    assert {p.name.split("-")[0] for p in (copy / "explore").iterdir()} == {"study.db"}  # SQLite's own beside it
    assert not (copy / "winner").exists()
    whole = search("--work-dir", str(copy), *tiny())  # finds the goal reached, and goes on
    assert whole.returncode == 0, whole.stderr
    assert (copy / "explore" / "ranking.csv").read_text() == (folder / "explore" / "ranking.csv").read_text()


def test_another_configuration_does_not_touch_a_run(finished):
    folder, _ = finished
    result = search("--work-dir", str(folder), *tiny(**{"learn.lr": "0.5"}))
    assert result.returncode == 2
    assert "learn.lr was 0.03, is 0.5" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


SLOWED = {  # enough steps that a kill lands inside the stage
    "learn": {"learn.steps": "60"},
    "linear": {"linear.steps": "200"},
    "explore": {"explore.evaluations": "60"},
    "train": {"train.epochs": "20"},
}


def something_to_go_on_from(folder: Path, stage: str) -> bool:
    if stage != "explore":
        return (folder / stage / "checkpoint.pth").exists()
    try:
        with sqlite3.connect(f"file:{folder / 'explore' / 'study.db'}?mode=ro", uri=True) as db:
            (count,) = db.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()
    except sqlite3.Error:  # not there yet
        return False
    return count >= 8


@pytest.mark.parametrize("stage", SLOWED)
def test_a_killed_run_goes_on_and_ends_where_an_undisturbed_one_does(stage, tmp_path):
    """Killed within the stage once it has something to go on from; the result equals that of a run left alone."""
    options = tiny(**SLOWED[stage])
    results = []
    for name, kill in (("killed", True), ("whole", False)):
        folder = tmp_path / name
        words = ["--work-dir", str(folder), *options]
        if kill:
            command = [*COMMAND, "search", str(ROOT / "configs" / "search" / "digits.py"), *words]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 200
            while not something_to_go_on_from(folder, stage) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert something_to_go_on_from(folder, stage)
            assert not (folder / stage / "done.json").exists()
        result = search(*words)
        assert result.returncode == 0, result.stderr
        results.append(folder)
    killed, whole = results
    if stage != "explore":  # curves agree step by step, across the kill
        assert (killed / stage / "curve.csv").read_text() == (whole / stage / "curve.csv").read_text()
    rank = [(f / "explore" / "ranking.csv").read_text().splitlines() for f in results]
    assert rank[0] == rank[1]
    assert (killed / "trained" / "model.safetensors").exists()


def test_a_run_killed_around_the_winner_stage_goes_on(tmp_path):
    """Killed when exploration is done, before or within the write of the winner."""
    folder = tmp_path / "run"
    command = [*COMMAND, "search", str(ROOT / "configs" / "search" / "digits.py"), "--work-dir", str(folder), *tiny()]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not (folder / "explore" / "done.json").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "winner" / "done.json").exists()
    (folder / ".winner.cut.tmp").mkdir()  # as a kill within the write leaves it
    result = search("--work-dir", str(folder), *tiny())
    assert result.returncode == 0, result.stderr
    assert "explore  complete already" in result.stdout
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_ctrl_c_says_how_to_go_on(tmp_path):
    command = [*COMMAND, "search", str(ROOT / "configs" / "search" / "digits.py"), "--work-dir", str(tmp_path / "r")]
    process = subprocess.Popen(
        [*command, *tiny(**{"learn.steps": "500"})],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what a shell starts with & ignores it
    )
    deadline = time.monotonic() + 200
    while not something_to_go_on_from(tmp_path / "r", "learn") and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"rerun the same command to resume" in stderr
    assert b"Traceback" not in stderr


def test_cifar10_configuration_on_an_image_folder(tmp_path):
    root = cifar_folder(tmp_path / "images")
    words = tiny(**{"data.root": str(root), "data.name": "", "data.val_per_class": "3", "data.image_size": "32"})
    result = search("--work-dir", str(tmp_path / "run"), *words, config="cifar10")
    assert result.returncode == 0, result.stderr
    assert "90 training, 30 held-out and 120 test images" in result.stdout
    labels = json.loads((tmp_path / "run" / "trained" / "config.json").read_text())["label_names"]
    assert labels == [f"class{k}" for k in range(10)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "learn.step=3"], "unknown key 'learn.step'; did you mean 'learn.steps'?"),
        (["--set", "data.type=timm", "--set", "data.root=nowhere"], "no folder 'nowhere'"),
        (["--set", "space.depths=(1,1,1)"], "expected four stages"),
        (["--set", "learn.method=pinass"], "expected learn.method to be one of"),
        (["--set", "learn.options.queue=3"], "queue"),
        (["--set", "learn.lr=-1"], "'learn.lr'"),
        (["--set", "learn.batch_size=1"], "'learn.batch_size'"),
        (["--set", "learn.batch_size=5000"], "expected at least one batch of images"),
        (["--set", "seed=-1"], "'seed'"),
        (["--set", "learn.options.queue_size=0"], "expected queue_size"),
        (["--set", "learn.precision=fp16"], "expected a GPU for learn.precision='fp16'"),
        (["--set", "log.wandb.project=x"], "expected wandb for log.wandb, found none; pip install wandb"),
        (["--launcher", "pytorch"], "expected RANK in the environment, found none; start the processes with `torchrun"),
        (["--set", "nonsense"], "expected --set KEY=VALUE"),
        (["--set", "data.val_per_class=500"], "lower it"),
    ],
)
def test_wrong_input_is_one_line_and_leaves_nothing(words, message, tmp_path):
    folder = tmp_path / "run"
    result = search("--work-dir", str(folder), *words)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not folder.exists()


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    result = search("--work-dir", str(tmp_path), *tiny())
    assert result.returncode == 2
    assert "expected an empty folder or a run" in result.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_unreadable_image_is_named(tmp_path):
    root = cifar_folder(tmp_path / "images", per_class=3)
    bad = next((root / "train" / "class3").iterdir())
    bad.write_bytes(bad.read_bytes()[:100])
    result = search(
        "--work-dir", str(tmp_path / "run"), *tiny(), "--set", f"data.root={root}", "--set", "data.name=",
        "--set", "data.val_per_class=1", config="cifar10",
    )  # fmt: skip
    assert result.returncode == 2
    assert str(bad) in result.stderr
    assert not (tmp_path / "run").exists()


def test_dry_run_writes_nothing(tmp_path):
    result = search("--dry-run", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert '"name": "digits"' in result.stdout
    assert "4 views each" in result.stdout
    assert "MiB" in result.stdout
    assert re.search(r"MiB of weights in explore, and \d+ MiB of activations: 256 images along a path", result.stdout)
    assert "NOT FOUND" not in result.stdout
    assert os.listdir(tmp_path) == []
    absent = search("--dry-run", "--set", "data.root=nowhere", cwd=tmp_path, config="cifar10")
    assert "NOT FOUND: the search needs the folder 'nowhere'" in absent.stdout


def test_dry_run_as_json(tmp_path):
    result = search("--dry-run", "--json", "--set", "learn.steps=7", "--work-dir", "runs/a", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    plan = json.loads(result.stdout)
    assert plan["config"]["learn"]["steps"] == 7
    assert plan["folder"] == "runs/a"
    assert plan["data_found"] is True
    assert not any(stage["complete"] for stage in plan["stages"])
    assert [stage["name"] for stage in plan["stages"]] == ["learn", "linear", "explore", "winner", "train"]
    assert plan["stages"][0]["what"].startswith("7 steps")
    assert os.listdir(tmp_path) == []
    alone = search("--json", cwd=tmp_path)
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1)
    assert "expected --dry-run with --json" in alone.stderr


def test_a_checkpoint_that_wants_to_run_code_is_refused(tmp_path):
    from pinas_zoo.engine.checkpoint import load_checkpoint
    from pinas_zoo.errors import UserError

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"step": Evil()}, tmp_path / "checkpoint.pth")
    with pytest.raises(UserError, match="delete"):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("score", "why", "words"),
    [
        (
            "probe",
            "each candidate has a classifier of its own",
            "top-1 accuracy of a linear probe fitted for each candidate",
        ),
        (
            "consistency",
            "candidates are scored without labels",
            "mean cosine similarity of two views of the same image",
        ),
    ],
)
def test_candidates_scored_by_other_means_need_no_linear_stage(score, why, words, tmp_path):
    options = tiny(
        **{"explore.score": score, "explore.rank_by": "effects", "train.enabled": "False", "learn.warmup": "0.5"}
    )
    ran = search("--work-dir", str(tmp_path / "run"), *options, home=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert f"linear   left out: {why}" in ran.stdout
    assert not (tmp_path / "run" / "linear").exists()
    assert words in (tmp_path / "run" / "report.html").read_text()
    with (tmp_path / "run" / "learn" / "curve.csv").open(newline="") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert 0 < rates[0] < rates[1] < rates[2] == rates[3] == 0.03 > rates[4] > rates[5] > 0
    provenance = json.loads((tmp_path / "run" / "winner" / "provenance.json").read_text())
    assert -1 < float(provenance["score"]["accuracy"]) <= 1
    with (tmp_path / "run" / "explore" / "ranking.csv").open(newline="") as file:
        ranking = list(csv.DictReader(file))
    assert provenance["score"] == ranking[0] == max(ranking, key=lambda row: float(row["effects"]))
    assert "by effects; WARNING: 6 scores are few for main effects" in ran.stdout
    plain = search("--work-dir", str(tmp_path / "plain"), *options, "--set", "explore.rank_by=score", home=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert "best" in plain.stdout
    assert "WARNING" not in plain.stdout


def test_several_scores_are_combined_from_the_command_to_the_report(tmp_path):
    """The classifier's part decides the linear stage and Acc@S; rank and report show each part and the sum."""
    score = '["classifier","consistency",["flops",0.5]]'
    words = ["--work-dir", str(tmp_path / "run"), *tiny(**{"explore.score": score, "train.enabled": "False"})]
    ran = search(*words, home=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "linear   6 steps" in ran.stdout
    assert "combined score " in ran.stdout
    folder = tmp_path / "run"
    with (folder / "explore" / "ranking.csv").open(newline="") as file:
        ranking = list(csv.DictReader(file))
    own = f"Acc@S: winner {float(ranking[0]['classifier']):.1%}, resnest"
    assert own in ran.stdout
    assert [float(row["log_ranks"]) for row in ranking] == sorted(float(row["log_ranks"]) for row in ranking)
    (tmp_path / "truth.csv").write_text(
        "arch,accuracy\n" + "".join(f"{row['arch']},{90 + float(row['flops'])}\n" for row in ranking)
    )
    ranked = command("rank", str(folder), "--truth", str(tmp_path / "truth.csv"))
    assert ranked.returncode == 0, ranked.stderr
    assert "by classifier + consistency + 0.5 flops" in ranked.stdout
    assert "  flops             +1.000 [" in ranked.stdout
    facts = json.loads((folder / "rank.json").read_text())
    assert {name: part["weight"] for name, part in facts["parts"].items()} == {
        "classifier": 1, "consistency": 1, "flops": 0.5,
    }  # fmt: skip
    report = (folder / "report.html").read_text()
    for text in (
        "consistency (rank)",
        "sum of log ranks",
        "of these, flops alone",
        "places from the last by classifier + consistency",
    ):
        assert text in report
    (folder / "explore" / "study.db").unlink()  # the report follows from the ranking alone, to the last digit
    found = stored_scores(open_context(folder, "explore"))
    assert {str(a): f"{s.accuracy:.9f}" for a, s in found.items()} == {r["arch"]: r["accuracy"] for r in ranking}
    first = open_run(folder).ranking[0]
    assert (first.parts["flops"], first.smoothed) == (float(ranking[0]["flops"]), None)
    lines = (folder / "explore" / "ranking.csv").read_text().splitlines()  # as a smoothed ranking has them
    smooth = [f"{line},{'smoothed' if k == 0 else k / 8}" for k, line in enumerate(lines)]
    (folder / "explore" / "ranking.csv").write_text("\n".join(smooth) + "\n")
    assert open_run(folder).ranking[0].smoothed == 0.125


def test_a_list_of_scores_is_no_business_of_a_method_that_scores_paths_itself(tmp_path):
    method = ROOT / "tests" / "search" / "methods" / "examples" / "blockwise.py"
    words = tiny(**{"learn.method": str(method), "explore.score": "['flops']"})
    ran = search("--work-dir", str(tmp_path / "run"), *words, home=tmp_path)
    assert ran.returncode == 2
    assert "scores paths itself, got flops; leave explore.score out" in ran.stderr
    assert not (tmp_path / "run").exists()


def test_scores_by_an_earlier_kind_of_consistency_are_not_ranked_beside_these(tmp_path):
    """Earlier versions set no mark; those that compared a head's outputs kept the head."""
    words = ["--work-dir", str(tmp_path / "run"), *tiny(**{"explore.score": "consistency", "until": "explore"})]
    folder, head = tmp_path / "run" / "explore", tmp_path / "run" / "learn" / "head.safetensors"

    def again(mark: str | None) -> SimpleNamespace:
        (folder / "done.json").unlink()
        open_study("", folder).set_user_attr("consistency", mark)
        return search(*words, home=tmp_path)

    assert search(*words, home=tmp_path).returncode == 0
    assert open_study("", folder).user_attrs["consistency"] == "features"
    assert again(None).returncode == 0
    head.touch()
    assert again("features").returncode == 0  # of another's head, but scored since
    refused = again(None)
    assert refused.returncode == 2
    assert "expected scores by consistency of features" in refused.stderr
    assert f"delete {folder}" in refused.stderr


def test_one_class_has_no_accuracy(tmp_path):
    root = tmp_path / "images"
    cifar_folder(root)
    for kept in root.glob("*/class[1-9]"):
        shutil.rmtree(kept)
    sizes = {"data.val_per_class": "3", "learn.batch_size": "4", "linear.batch_size": "4"}
    words = tiny(**{"data.root": str(root), "data.name": "", "explore.batch_size": "3", **sizes})
    words += ["--work-dir", str(tmp_path / "run"), "--set", "explore.score=consistency"]
    for more in ((), ("--set", "until=explore", "--set", "explore.score=probe")):
        refused = search(*words, *more, config="cifar10")
        assert refused.returncode == 2
        assert "expected images of at least 2 classes" in refused.stderr
        assert not (tmp_path / "run").exists()
    blind = search(*words, "--set", "until=explore", config="cifar10")
    assert blind.returncode == 0, blind.stderr
    assert "held-out consistency" in blind.stdout


def test_a_folder_from_before_a_key_was_added_is_gone_on_with(tmp_path):
    words = ("--work-dir", str(tmp_path / "run"), *tiny(**{"train.enabled": "False"}))
    assert search(*words, home=tmp_path).returncode == 0
    path = tmp_path / "run" / "config.json"
    kept = json.loads(path.read_text())
    del kept["learn"]["warmup"], kept["explore"]["score"]
    path.write_text(json.dumps(kept))
    open_study("", tmp_path / "run" / "explore").set_user_attr("config", "of all keys that there were")
    again = search(*words, home=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "explore  complete already" in again.stdout


def test_a_score_without_training_that_tells_no_candidates_apart_is_said(tmp_path):
    words = tiny(**{"explore.score": "convolutions", "train.enabled": "False"})
    process = search("--work-dir", str(tmp_path / "run"), *words, home=tmp_path / "home", anyway=False)
    assert process.returncode == 0, process.stderr
    said = process.stderr + process.stdout
    assert "candidates have the same convolutions, " in said
    assert "try another explore.score" in said
    assert "is not registered" in said
