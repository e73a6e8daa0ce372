"""The folder of a training: one process writes to it, through no link, and it knows its images."""

from __future__ import annotations

import json

import pytest

from pinas_zoo.data.image_record import FILE
from pinas_zoo.engine.folder_lock import LOCK, Holder
from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import process_space, process_start
from pinas_zoo.train.run import LOG, train
from tests.train.pictures import picture_folder
from tests.train.test_run import START, recipe


class Stopped(Exception):
    pass


def stop_after_one_epoch(text: str) -> None:
    if text.startswith("epoch 1"):
        raise Stopped


def test_a_resumed_training_compares_its_images(tmp_path):
    """A class that is renamed so that the order changes would be trained as another one."""
    root, run = picture_folder(tmp_path / "images"), tmp_path / "run"
    with pytest.raises(Stopped):
        train(recipe(root), START, run, stop_after_one_epoch)
    kept = json.loads((run / FILE).read_text())
    assert kept["classes"] == ["amber", "blue", "cyan"]
    assert not (run / LOCK).exists()
    for split in ("train", "validation"):
        (root / split / "amber").rename(root / split / "zinc")
    with pytest.raises(UserError, match=r"got others: 1 class not there before \('zinc'\) and 1 class no longer there"):
        train(recipe(root), START, run, lambda text: None)
    for split in ("train", "validation"):
        (root / split / "zinc").rename(root / split / "amber")
    assert train(recipe(root), START, run, lambda text: None) is not None
    assert json.loads((run / FILE).read_text()) == kept


def test_images_that_are_left_out_do_not_change_the_record(tmp_path):
    root = picture_folder(tmp_path / "images")
    (root / "train" / "amber" / "empty.png").write_bytes(b"")
    table = recipe(root, skip_unreadable=True, schedule=dict(epochs=1, warmup_epochs=0))
    assert train(table, START, tmp_path / "run", lambda text: None) is not None


@pytest.mark.parametrize("name", [LOG, "config.json", "train/curve.csv", "train/epochs.csv", "trained", "done.json"])
def test_nothing_is_written_through_a_link(tmp_path, name):
    root, run, target = picture_folder(tmp_path / "images"), tmp_path / "run", tmp_path / "target"
    target.write_text("mine")
    (run / "train").mkdir(parents=True)
    (run / "config.json").write_text(recipe(root).model_dump_json())
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(target)
    with pytest.raises(UserError, match=r"expected files in run folder .*, got a symbolic link at"):
        train(recipe(root), START, run, lambda text: None)
    assert target.read_text() == "mine"


def test_a_second_training_in_the_folder_is_refused(tmp_path):
    """Process 1 lives as long as the test."""
    root, run = picture_folder(tmp_path / "images"), tmp_path / "run"
    run.mkdir()
    other = Holder(pid=1, place=process_space(), started=process_start(1), token="x")
    (run / LOCK).write_text(other.model_dump_json())
    with pytest.raises(UserError, match=r"no other process uses, got .* process 1 on .* uses; let it finish"):
        train(recipe(root), START, run, lambda text: None)
    assert [path.name for path in run.iterdir()] == [LOCK]
