"""A run's images are those with which it began: later stages compare what its folder records."""

from __future__ import annotations

import json
import os

import pytest

from pinas_zoo.data.image_record import FILE, check_images
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from tests.data.test_class_folders import write_root

RECORD = {
    "classes": ["cat", "dog"],
    "train": {"images": 8, "digest": "a"},
    "test": {"images": 4, "digest": "b"},
}


def changed(**changes) -> dict:
    return {**RECORD, **changes}


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (changed(classes=["bird", "cat", "dog"]), r"1 class not there before \('bird'\)"),
        (changed(classes=["cat"]), r"1 class no longer there \('dog'\)"),
        (
            changed(classes=["dog", "zebra"]),
            r"1 class not there before \('zebra'\) and 1 class no longer there \('cat'\)",
        ),
        (changed(classes=["dog", "cat"]), "their classes have another order"),
        (changed(train={"images": 7, "digest": "a"}), "7 training images, 8 before"),
        (changed(test={"images": 4, "digest": "c"}), "test images of other names, labels or sizes"),
    ],
)
def test_other_images_are_refused(tmp_path, now, message):
    check_images(tmp_path, RECORD, write=True)
    check_images(tmp_path, RECORD, write=True)
    with pytest.raises(UserError, match=f"expected the images with which the run .* began, got others: {message}"):
        check_images(tmp_path, now, write=True)
    assert json.loads((tmp_path / FILE).read_text()) == RECORD


def test_digits_have_a_record_of_their_own(tmp_path):
    """Scikit-learn's images do not change."""
    check_images(tmp_path, {"classes": ["0"]}, write=True)
    check_images(tmp_path, {"classes": ["0"]}, write=False)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"classes": 3}', b"[" * 100_000, b'{"classes": [], "train": 3}']
)
def test_a_damaged_record_is_one_line(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"images\.json.*, got .*; delete it if they are the same"):
        check_images(tmp_path, RECORD, write=True)


def test_a_record_that_is_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(UserError, match="is a named pipe, and no file; delete it if they are the same"):
        check_images(tmp_path, RECORD, write=False)


def test_a_class_renamed_between_stages_is_found(tmp_path):
    """The order of the classes changes with it: every score would be wrong. A folder without a record gets one."""
    root = write_root(tmp_path / "data")
    config = dict(
        name="record",
        until="learn",
        space=dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4),
        data=dict(root=str(root), image_size=32, val_per_class=1),
        learn=dict(method="pinas", options=dict(queue_size=8, dim=8), steps=1, batch_size=4),
        linear=dict(steps=1, batch_size=4),
    )
    lines: list[str] = []
    folder = tmp_path / "run"
    search(config, work_dir=folder, say=lines.append)
    written = (folder / FILE).read_bytes()
    (folder / FILE).unlink()  # as in a folder of an earlier version
    search({**config, "until": "linear"}, work_dir=folder, say=lines.append)
    assert (folder / FILE).read_bytes() == written
    for split in ("train", "validation"):
        (root / split / "cat").rename(root / split / "zebra")
    with pytest.raises(UserError, match=r"not there before \('zebra'\)"):
        search({**config, "until": "explore"}, work_dir=folder, say=lines.append)
    assert not (folder / "explore").exists()
