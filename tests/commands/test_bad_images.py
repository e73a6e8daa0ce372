"""Folders of images that ``train``, ``eval`` and ``search`` cannot use: one clear line, and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pinas_zoo.cli import main
from tests.networks import TINY, tiny_folder
from tests.train.pictures import picture_folder

CLASSES = ("amber", "blue", "cyan")
SEARCH = [
    f"space={ {'type': 'resnest50', **TINY} !r}", "data.image_size=32", "data.val_per_class=1", "learn.steps=1",
    "learn.batch_size=4", "linear.batch_size=4", "log.tensorboard=False",
]  # fmt: skip
TRAIN = ["schedule.epochs=1", "schedule.warmup_epochs=0", "data.image_size=32", "log.tensorboard=False"]


def spoil(root: Path, what: str) -> None:
    """Make a folder of good pictures one that cannot be used, in both splits where both are read."""
    for split in ("train", "validation"):
        place = root / split
        if what == "no classes":
            for path in list(place.rglob("*.png")):
                path.rename(place / f"{path.parent.name}{path.name}")
            for name in CLASSES:
                (place / name).rmdir()
        elif what == "no images":
            for path in place.rglob("*.png"):
                path.unlink()
        elif what == "torn image":
            (place / "blue" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")
    if what == "another class":
        (root / "validation" / "blue").rename(root / "validation" / "navy")
    elif what == "one image a class":
        for path in (root / "train").rglob("*.png"):
            if path.name != "0.png":
                path.unlink()


def words_of(command: str, root: Path, tmp_path: Path) -> list[str]:
    if command == "search":
        (tmp_path / "config.py").write_text('name = "tiny"\n')
        settings = [*SEARCH, f"data.root={root}"]
        return ["search", str(tmp_path / "config.py"), *(w for s in settings for w in ("--set", s))]
    folder, _ = tiny_folder(tmp_path / "model", num_classes=3)
    if command == "eval":
        return ["eval", str(folder), "--data", str(root)]
    return ["train", str(folder), "--data", str(root), *(word for s in TRAIN for word in ("--set", s))]


@pytest.mark.parametrize(
    ("command", "what", "message"),
    [
        ("train", "no classes", "folder of images for each class"),
        ("train", "no images", "images for each class"),
        ("train", "torn image", "1.png"),
        ("train", "another class", "same classes in 'train' and 'validation'"),
        ("eval", "no classes", "folder of images for each class"),
        ("eval", "no images", "images for each class"),
        ("eval", "torn image", "1.png"),
        ("search", "no classes", "class"),
        ("search", "no images", "images for each class"),
        ("search", "torn image", "1.png"),
        ("search", "another class", "navy"),
        ("search", "one image a class", "val_per_class"),
    ],
)
def test_one_line_and_nothing_is_written(command, what, message, tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images", train=4, test=2)
    spoil(root, what)
    assert main(words_of(command, root, tmp_path)) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert error.startswith(f"pinas-zoo {command}: ")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "work_dirs").exists()


def test_eval_skips_unreadable_images_on_request_and_takes_batches_of_one(tmp_path, zoo_home, capsys):
    root = picture_folder(tmp_path / "images", train=1, test=2)
    spoil(root, "torn image")
    words = words_of("eval", root, tmp_path)
    assert main([*words, "--skip-unreadable", "--batch-size", "1"]) == 0
    captured = capsys.readouterr()
    assert "1 images cannot be decoded and are left out" in captured.err
    assert "of 5 images" in captured.out
    assert "note:" not in captured.err


def test_eval_of_other_classes_and_of_a_checkpoint_of_another_network(tmp_path, zoo_home, capsys):
    root = picture_folder(tmp_path / "images", train=1, test=2, classes=(*CLASSES, "dark"))
    assert main(words_of("eval", root, tmp_path)) == 2
    assert "expected images of the network's 3 classes" in capsys.readouterr().err
    other, _ = tiny_folder(tmp_path / "other", num_classes=3)
    weights = other / "model.safetensors"
    cut: Any = (tmp_path / "model" / "config.json").read_text().replace("3013", "0000")
    (tmp_path / "model" / "config.json").write_text(cut)
    (tmp_path / "model" / "model.safetensors").write_bytes(weights.read_bytes())
    assert main(["eval", str(tmp_path / "model"), "--data", str(root)]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1


def test_eval_on_training_images_prints_a_note(tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images", train=4, test=2)
    assert main([*words_of("train", root, tmp_path), "--name", "mine", "--register-anyway"]) == 0
    capsys.readouterr()
    for data, is_trained in ((root / "train", True), (root / "validation", False)):
        assert main(["eval", "mine", "--data", str(data)]) == 0
        assert ("note: mine was trained on these images" in capsys.readouterr().err) == is_trained
