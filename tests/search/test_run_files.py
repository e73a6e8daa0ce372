"""Every file of a run folder may be torn, of another type or somebody else's: one clear line, or it is made anew."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pinas_zoo import cli
from pinas_zoo.arch import Arch
from pinas_zoo.engine.checkpoint import CHECKPOINT, load_checkpoint
from pinas_zoo.engine.curve import CURVE, Curve, read_curve
from pinas_zoo.errors import UserError
from pinas_zoo.search import open_run, search
from pinas_zoo.search.pipeline import open_context, stored_scores
from pinas_zoo.search.run_files import read_facts, read_matrix, read_rank_facts, read_ranking
from pinas_zoo.search.run_folder import DONE, STAGES, check_folder, sweep

CONFIG: dict[str, Any] = dict(
    name="files",
    space=dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4),
    data=dict(type="digits", image_size=16, val_per_class=10, max_train=200),
    learn=dict(options=dict(queue_size=32, dim=16), steps=3, batch_size=16, checkpoint_every=2),
    linear=dict(steps=2, batch_size=16, lr=1.0),
    explore=dict(evaluations=4, recalibration_images=32, batch_size=64),
    train=dict(epochs=1, batch_size=64),
)
HEAD = "rank,arch,accuracy,loss,params_m,flops_g\n"
DEEP = b"[" * 100_000
FACTS = (b'"seconds": NaN', b'"test_accuracy": 1e300', b'"winner": 3', b'"references": {"a": "b"}')


@pytest.fixture(scope="module")
def complete(tmp_path_factory) -> Path:
    """A complete run, and the checkpoint of its learn stage beside it."""
    from pinas_zoo.engine import hooks

    folder = tmp_path_factory.mktemp("complete") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hooks, "save_checkpoint", lambda stage, state: torch.save(state, folder.parent / CHECKPOINT))
        search(CONFIG, work_dir=folder, say=lambda text: None)
    return folder


@pytest.fixture
def run(complete, tmp_path) -> Path:
    return Path(shutil.copytree(complete, tmp_path / "run"))


def resume(run: Path, stage: str = "") -> None:
    """Search again from a stage on."""
    for later in STAGES[STAGES.index(stage) :] if stage else ():
        (run / later / DONE).unlink()
    search(CONFIG, work_dir=run, say=lambda text: None)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b'{"summary": 3}', b"\xff", DEEP, *(b'{"summary": "", %s}' % fact for fact in FACTS)],
)
def test_damaged_facts(tmp_path, content):
    (tmp_path / DONE).write_bytes(content)
    with pytest.raises(UserError, match=r"expected the results of a stage in .*; a cure$"):
        read_facts(tmp_path / DONE, "a cure")


def test_a_ranking_has_each_architecture_once(tmp_path):
    path = tmp_path / "ranking.csv"
    row = "0123,0.5,1.0,1.0,0.5"
    path.write_text(f"rank,arch,accuracy,loss,params_m,flops_g\n1,{row}\n2,{row}\n")
    with pytest.raises(UserError, match=r"expected each architecture once in .*, got that of row 2 twice; delete"):
        read_ranking(path)


@pytest.mark.parametrize(
    "row",
    ["1,0123,nan,1,1,1", "1,0123,1e308,1,1,1", "1,0123,1", "1,0123,1,1,1,1,1,1", "x,0123,1,1,1,1", "", "1,,1,1,1,1"],
)
def test_a_damaged_ranking(tmp_path, row):
    (tmp_path / "ranking.csv").write_text(HEAD + (row and row + "\n"))
    with pytest.raises(UserError, match=r"got (row 1|no row).*delete .*done.json to write it anew"):
        read_ranking(tmp_path / "ranking.csv")


@pytest.mark.parametrize("text", ["", "a,b\nc,d", "1,2", "1,2\n3", "nan,1\n1,1", "1,1e13\n5,1"])
def test_a_damaged_matrix(tmp_path, text):
    (tmp_path / "similarity.csv").write_text(text)
    with pytest.raises(UserError, match="square table"):
        read_matrix(tmp_path / "similarity.csv")


def test_points_of_different_lengths(tmp_path):
    tau = {"value": 0.5, "low": 0.0, "high": 1.0}
    facts = {"count": 3, "column": "c", "truth": "t", "score": tau, "flops": tau, "difference": tau}
    (tmp_path / "rank.json").write_text(json.dumps(facts))
    assert read_rank_facts(tmp_path / "rank.json").points is None
    points = {"arch": ["0"], "score": [1.0], "flops_g": [1.0], "truth": [1.0, 2.0]}
    (tmp_path / "rank.json").write_text(json.dumps({**facts, "points": points}))
    with pytest.raises(UserError, match="different lengths"):
        read_rank_facts(tmp_path / "rank.json")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"step,lr\n1,x\n", b"step,lr\n1\n", b"lr\n1\n"])
def test_a_damaged_curve_is_named_and_a_resumed_stage_begins_it_anew(tmp_path, content):
    (tmp_path / CURVE).write_bytes(content)
    with pytest.raises(UserError, match=r"curve of a stage in .*curve\.csv"):
        read_curve(tmp_path)
    curve = Curve(tmp_path, done=4)
    curve.add({"step": 5, "lr": 0.5})
    curve.close()
    assert read_curve(tmp_path) == {"step": [5.0], "lr": [0.5]}


def test_a_curve_is_kept_up_to_its_first_damaged_row(tmp_path):
    (tmp_path / CURVE).write_text("step,lr\n1,0.1\n2,0.2\n3,0.x\n4,0.4\n")
    Curve(tmp_path, done=4).close()
    assert read_curve(tmp_path)["step"] == [1.0, 2.0]


@pytest.mark.parametrize(
    "place",
    [
        "learn/curve.csv",
        "explore/study.db",
        "explore/done.json",
        "rank.svg",
        "report.html",
        "learn",
        ".winner.x",
        ".lock",
    ],
)
def test_nothing_is_written_through_a_link(run, tmp_path, place):
    target = tmp_path / "target"
    target.mkdir() if place == "learn" else target.write_text("kept")
    path = run / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    with pytest.raises(UserError, match=r"expected files in run folder .* got a symbolic link at"):
        resume(run)
    with pytest.raises(UserError, match="got a symbolic link"):
        open_run(run)
    assert list(target.iterdir()) == [] if target.is_dir() else target.read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize("place", ["learn/done.json", "explore/study.db", "config.json"])
def test_a_pipe_is_not_waited_for(run, place):
    (run / place).unlink()
    os.mkfifo(run / place)
    with pytest.raises(UserError, match="got a named pipe at"):
        resume(run)


def test_a_run_folder_that_is_reached_through_a_link_is_one(run, tmp_path):
    (tmp_path / "link").symlink_to(run)
    assert open_run(tmp_path / "link").winner is not None


def test_a_link_among_the_rests_of_a_kill_is_removed_without_its_target(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "run" / ".winner.0123456789ab.tmp").symlink_to(tmp_path / "target")
    sweep(tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    assert (tmp_path / "target").is_dir()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", DEEP])
def test_a_damaged_configuration(run, content):
    (run / "config.json").write_bytes(content)
    with pytest.raises(UserError):
        open_run(run)
    with pytest.raises(UserError):
        resume(run)


@pytest.mark.parametrize("space", ["evil", "../../os", "..os", "os:system", "evil.py"])
def test_a_configuration_that_names_another_space_executes_nothing(run, space):
    values = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**values, "space": {"type": space}}))
    (run / "evil.py").write_text("raise SystemExit")
    with pytest.raises(UserError, match=r"space\.type"):
        open_run(run)


def change(run: Path, **values: Any) -> None:
    path = run / "explore" / DONE
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("winner", ["../../x", "33333", None])
@pytest.mark.parametrize("stage", ["winner", "train"])
def test_a_winner_that_is_no_architecture(run, winner, stage):
    change(run, winner=winner)
    with pytest.raises(UserError, match=r"expected a winner of this space in .*done\.json"):
        resume(run, stage)


def test_a_stage_without_a_test_accuracy(run):
    facts = json.loads((run / "train" / DONE).read_text())
    (run / "train" / DONE).write_text(json.dumps({**facts, "test_accuracy": None}))
    with pytest.raises(UserError, match="expected a test accuracy in"):
        resume(run)


def tensors(path: Path, work: Callable[[dict[str, torch.Tensor]], object]) -> None:
    found = load_file(path)
    work(found)
    save_file(found, path)


FILES = {"linear": "learn/supernet", "explore": "linear/classifier", "train": "winner/model"}
DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "no weights": lambda path: path.write_bytes(b"\xff" * 100),
    "shape": lambda path: tensors(path, lambda t: t.update({next(iter(t)): torch.zeros(7)})),
    "unknown": lambda path: tensors(path, lambda t: t.update(evil=torch.zeros(7))),
    "NaN": lambda path: tensors(path, lambda t: [v.mul_(torch.nan) for k, v in t.items() if k.endswith("weight")]),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("stage", FILES)
def test_damaged_weights_are_found_before_they_are_used(run, stage, damage):
    DAMAGE[damage](run / f"{FILES[stage]}.safetensors")
    with pytest.raises(UserError, match=FILES[stage]):
        resume(run, stage)
    assert not (run / stage / DONE).exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b'{"architecture": "pinas", "model_args": {"arch": "0000"}}', DEEP]
)
def test_a_winner_of_another_network(run, content):
    (run / "winner" / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"winner.*delete .*done.json to write it anew"):
        resume(run, "train")


def in_optimizers(change: Callable[[Any], object]) -> Callable[[Any], object]:
    return lambda state: [change(one) for one in state["optimizers"].values()]


CHECKPOINTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "before": lambda s: s.pop("optimizers"),
    "step 3": lambda s: s.update(step=3),
    "step -1": lambda s: s.update(step=-1),
    "step True": lambda s: s.update(step=True),
    "seconds": lambda s: s.update(seconds=float("nan")),
    "Missing key": lambda s: s["model"].popitem(),
    "another or": lambda s: s.update(model=[1]),
    "optimizers are": lambda s: s.update(optimizers={}),
    "schedulers are": lambda s: s.update(schedulers={}),
    "a scheduler's values": lambda s: s.update(schedulers={"weights": [{"step": 3}]}),
    "last_step is 'x'": lambda s: s["schedulers"]["weights"][0].update(last_step="x"),
    "lr is nan": in_optimizers(lambda o: o["param_groups"][0].update(lr=float("nan"))),
    "has shape": in_optimizers(lambda o: [v.update(momentum_buffer=torch.ones(7)) for v in o["state"].values()]),
}


@pytest.mark.parametrize("problem", CHECKPOINTS)
def test_a_checkpoint_that_does_not_fit(run, complete, problem):
    state = torch.load(complete.parent / CHECKPOINT, weights_only=True)
    CHECKPOINTS[problem](state)
    torch.save(state, run / "learn" / CHECKPOINT)
    with pytest.raises(UserError, match=r"(?s)delete it") as error:
        resume(run, "learn")
    assert problem == "before" or problem in str(error.value)


def test_a_sound_checkpoint_goes_on(run, complete):
    shutil.copy(complete.parent / CHECKPOINT, run / "learn")
    state = load_checkpoint(run / "learn", 3)
    assert state is not None
    assert state["step"] == 2
    before = load_file(run / "learn" / "supernet.safetensors")
    resume(run, "learn")
    after = load_file(run / "learn" / "supernet.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)


STUDIES = {
    "without architecture": "delete from trial_user_attributes where key = 'arch'",
    "another architecture": "update trial_user_attributes set value_json = '\"9999\"' where key = 'arch'",
    "a number": "update trial_user_attributes set value_json = '3' where key = 'arch'",
    "infinite": "update trial_values set value = null, value_type = 'INF_POS'",
    "losses": "update trial_user_attributes set value_json = '[]' where key = 'scored'",
    "choices": "delete from trial_params",
    "torn JSON": "update trial_user_attributes set value_json = '{' where key = 'arch'",
    "state": "update trials set state = 'EVIL'",
    "no table": "drop table trial_values",
}


@pytest.mark.parametrize("damage", STUDIES)
def test_a_study_of_other_values(run, damage):
    """It is named before anything is scored; a complete stage's scores are those of its ranking."""
    with closing(sqlite3.connect(run / "explore" / "study.db")) as database:
        database.execute(STUDIES[damage])
        database.commit()
    scores = stored_scores(open_context(run, None))
    assert len(scores) == 4
    with pytest.raises(UserError, match=r"study\.db"):
        resume(run, "explore")


def test_scores_of_a_study_that_is_gone_are_those_of_the_ranking(run):
    context = open_context(run, None)
    before = stored_scores(context)
    for path in (run / "explore").glob("study.db*"):
        path.unlink()
    after = stored_scores(context)
    assert list(after) == list(before)
    for arch, score in before.items():
        assert after[arch].accuracy == pytest.approx(score.accuracy, abs=1e-5)
    assert not (run / "explore" / "study.db").exists()


def test_an_architecture_of_the_wrong_form_is_the_users_error():
    with pytest.raises(UserError, match="one digit per layer"):
        Arch.parse("../x")


def test_a_folder_of_other_files_is_no_run(tmp_path):
    from pinas_zoo.search.config import parse_config

    (tmp_path / ".lock").touch()
    check_folder(parse_config(CONFIG), tmp_path)
    (tmp_path / "other").touch()
    with pytest.raises(UserError, match="expected an empty folder or a run"):
        check_folder(parse_config(CONFIG), tmp_path)


def test_a_checkpoint_that_unpacks_to_more_than_torch_writes(complete, tmp_path):
    """Refused by its directory, before it is unpacked; and a list of more objects than there is memory for."""
    source = complete.parent / CHECKPOINT
    with (
        zipfile.ZipFile(source) as whole,
        zipfile.ZipFile(tmp_path / CHECKPOINT, "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for member in whole.infolist():
            bomb.writestr(
                member.filename, whole.read(member) + bytes(2**26 if member.filename.endswith("data/0") else 0)
            )
    with pytest.raises(UserError, match="cannot be read as tensors and plain values; delete it") as caught:
        load_checkpoint(tmp_path)
    assert "unpack to" in str(caught.value.__cause__)
    (tmp_path / CHECKPOINT).write_bytes(b"\x80\x02" + b"]0" * 2_000_000 + b"].")
    with pytest.raises(UserError, match="delete it") as caught:
        load_checkpoint(tmp_path)
    assert "pickle of more than 2000000 objects" in str(caught.value.__cause__)


@pytest.mark.parametrize("depths", [[10**8, 1, 1, 1], [10**8] * 4, [1, 10**30, 1, 1]])
def test_a_run_of_huge_depths_is_refused_at_once(complete, run, depths, tmp_path, capsys):
    """By the sizes alone, in every command that opens a run."""
    values = json.loads((run / "config.json").read_text())
    values["space"]["depths"] = depths
    (run / "config.json").write_text(json.dumps(values))
    (tmp_path / "truth.csv").write_text("arch,accuracy\n0000,1\n0001,2\n0002,3\n")
    for words in (["rank", str(run), "--truth", str(tmp_path / "truth.csv")], ["similarity", str(run)]):
        started = time.process_time()
        assert cli.main(words) == 2
        assert time.process_time() - started < 10
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "depths" in error


def test_what_a_kill_after_the_end_of_a_stage_leaves_is_removed(run):
    (run / "learn" / CHECKPOINT).touch()
    (run / "linear" / "20261127_041938").mkdir()
    resume(run)
    assert not (run / "learn" / CHECKPOINT).exists()
    assert not (run / "linear" / "20261127_041938").exists()
