"""Folders of images: what is a class, what is left out and said, and what links may do."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from pinas_zoo.data.class_folders import MAX_DEPTH, ClassFolders, natural_key
from pinas_zoo.data.options import Data
from pinas_zoo.data.splits import load_splits
from pinas_zoo.errors import UserError


def write_images(folder, count=4, ending="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        Image.new("RGB", (8, 8), (k, len(folder.name), 0)).save(folder / f"{k}.{ending}")


def write_root(root, classes=("cat", "dog")):
    for split in ("train", "validation"):
        for name in classes:
            write_images(root / split / name)
    return root


def options(root, **changes) -> Data:
    return Data(root=str(root), image_size=8, val_per_class=1, **changes)


def test_the_class_is_the_folder_below_the_split(tmp_path):
    for name, time in (("cat", "day"), ("cat", "night/late"), ("dog", "day")):
        write_images(tmp_path / name / time, 2)
    write_images(tmp_path / "dog", 1)
    found = ClassFolders(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert found.names == [
        "cat/day/0.png", "cat/day/1.png", "cat/night/late/0.png", "cat/night/late/1.png",
        "dog/0.png", "dog/day/0.png", "dog/day/1.png",
    ]  # fmt: skip
    assert found.targets == [0, 0, 0, 0, 1, 1, 1]
    assert found.note() == ""


def test_order_is_natural_and_does_not_depend_on_the_disk(tmp_path):
    for name in ("10", "9", "b", "B", "²", "١٢"):
        write_images(tmp_path / name, 11)
    names = ClassFolders(tmp_path).class_names
    assert names[:2] == ("9", "10")
    assert names.index("B") + 1 == names.index("b")
    assert ClassFolders(tmp_path).names[:3] == ["9/0.png", "9/1.png", "9/2.png"]
    assert natural_key("a" + "9" * 4000)[1] == int("9" * 4000)


def test_what_is_left_out_is_counted_and_said(tmp_path):
    root = write_root(tmp_path)
    cat = root / "train" / "cat"
    write_images(cat / ".ipynb_checkpoints")
    write_images(root / "train" / "__MACOSX" / "cat")
    write_images(root / "train" / ".cache")
    (cat / "._0.png").write_bytes(b"\0")
    (cat / "labels.txt").touch()
    (cat / "drawing.eps").touch()
    (root / "train" / "bird").mkdir()
    write_images(root / "train", 1)
    splits = load_splits(options(root), 0)
    assert splits.class_names == ("cat", "dog")
    assert len(splits.trainval) == 8
    (note,) = splits.notes
    for part in ("hidden files or folders (4)", ".txt (1)", ".eps (1)", "(1: 'bird')", "outside the class folders (1)"):
        assert part in note


@pytest.mark.parametrize("ending", ["webp", "bmp", "tif", "gif", "JPEG"])
def test_every_extension_is_read(tmp_path, ending):
    root = write_root(tmp_path)
    for split in ("train", "validation"):
        write_images(root / split / "bird", ending=ending)
    assert load_splits(options(root), 0).class_names == ("bird", "cat", "dog")


def test_a_class_without_an_image_that_is_read_is_an_error(tmp_path):
    root = write_root(tmp_path)
    for split in ("train", "validation"):
        (root / split / "bird").mkdir()
        (root / split / "bird" / "1.heic").touch()
    with pytest.raises(UserError, match=r"class folder .*train/bird, got 1 files of other kinds \(1 \.heic\)"):
        load_splits(options(root), 0)


@pytest.mark.parametrize("target", ["..", "../..", "/", ".", "../dog"])
def test_links_do_not_multiply_images(tmp_path, target):
    root = write_root(tmp_path)
    (root / "train" / "cat" / "loop").symlink_to(target)
    (root / "train" / "dog" / "more").symlink_to("../cat/loop")
    found = ClassFolders(root / "train")
    assert len(found) == 8
    assert found.class_names == ("cat", "dog")
    assert "links to folders that are read already or contain this one (2)" in found.note()


def test_links_to_files_and_to_other_folders_are_followed(tmp_path):
    write_images(tmp_path / "elsewhere" / "deep")
    root = write_root(tmp_path / "data")
    (root / "train" / "cat" / "a.png").symlink_to(tmp_path / "elsewhere" / "deep" / "0.png")
    (root / "train" / "bird").symlink_to(tmp_path / "elsewhere")
    found = ClassFolders(root / "train")
    assert found.class_names == ("bird", "cat", "dog")
    assert np.bincount(found.targets).tolist() == [4, 5, 4]


def test_test_images_are_not_trained_on(tmp_path):
    root = write_root(tmp_path)
    for changes, message in (
        (dict(train_split=".."), "expected a split as the name of a folder"),
        (dict(train_split="."), "expected a split as the name of a folder"),
        (dict(train_split="train/../validation"), "expected a split as the name of a folder"),
        (dict(train_split=str(root / "train")), "expected a split as the name of a folder"),
        (dict(test_split="train/"), "expected a test split that is not trained on"),
        (dict(test_split="train/cat"), "expected a test split that is not trained on"),
    ):
        with pytest.raises(UserError, match=message):
            load_splits(options(root, **changes), 0)
    (root / "train" / "cat" / "more").symlink_to("../../validation/cat")
    with pytest.raises(UserError, match=r"expected a test split that is not trained on, got .*validation/cat in both"):
        load_splits(options(root), 0)


def test_an_entry_with_an_images_name_is_a_file(tmp_path):
    for make, what in (
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "no file"),
        (lambda path: path.symlink_to("/dev/zero"), "no file"),
        (lambda path: path.symlink_to("/nonexistent"), "a link to nothing"),
        (lambda path: path.symlink_to(path.name), "a link to nothing"),
    ):
        write_images(tmp_path / "train" / "cat")
        path = tmp_path / "train" / "cat" / "x.png"
        make(path)
        with pytest.raises(UserError, match=rf"expected an image, got .*x\.png, which is {what}"):
            ClassFolders(tmp_path / "train")
        path.rmdir() if path.is_dir() else path.unlink()


def test_folders_inside_each_other_are_limited(tmp_path):
    write_images(tmp_path / "cat")
    (tmp_path / "cat" / "/".join("d" * (MAX_DEPTH + 3))).mkdir(parents=True)
    with pytest.raises(UserError, match=f"at most {MAX_DEPTH} folders inside each other"):
        ClassFolders(tmp_path)


def test_names_of_any_encoding_can_be_written_as_json(tmp_path):
    root = write_root(tmp_path)
    for split in ("train", "validation"):
        os.rename(os.fsencode(root / split / "cat"), os.fsencode(root / split) + b"/caf\xe9")
    os.rename(os.fsencode(root / "train" / "dog" / "0.png"), os.fsencode(root / "train" / "dog") + b"/\xff.png")
    splits = load_splits(options(root), 0)
    assert splits.class_names == ("caf\\xe9", "dog")
    json.dumps(splits.record, ensure_ascii=False).encode()
    assert len(splits.trainval) == 8


def test_labels_and_classes_of_both_splits_agree(tmp_path):
    root = write_root(tmp_path)
    write_images(root / "train" / "bird")
    with pytest.raises(UserError, match=r"expected the same classes in 'train' and 'validation' .*\['bird'\] differ"):
        load_splits(options(root), 0)


def test_too_few_images_of_a_class_say_what_helps(tmp_path):
    root = write_root(tmp_path)
    few = options(root).model_copy(update={"val_per_class": 4})
    with pytest.raises(UserError, match=r"= 4, got 4 of class 'cat'; lower it to 3 or less, or add images"):
        load_splits(few, 0)
    for k in (1, 2, 3):
        (root / "train" / "cat" / f"{k}.png").unlink()
    with pytest.raises(UserError, match=r"= 1, got 1 of class 'cat'; add images to the class"):
        load_splits(options(root), 0)


def test_a_mean_needs_its_deviation(tmp_path):
    root = write_root(tmp_path)
    for changes in (dict(mean=(0.5, 0.5, 0.5)), dict(std=(0.5, 0.5, 0.5))):
        with pytest.raises(UserError, match=r"expected data\.mean and data\.std together"):
            load_splits(options(root, **changes), 0)
    for changes in (
        dict(mean=(float("inf"), 0, 0)),
        dict(mean=(float("nan"), 0, 0)),
        dict(memory_gib=float("nan")),
        dict(workers=10**9),
        dict(root="caf\udce9"),
    ):
        with pytest.raises(ValueError, match=r"validation error"):
            Data(**changes)


def test_the_record_of_images_follows_from_them_alone(tmp_path):
    record = load_splits(options(write_root(tmp_path / "a")), 0).record
    root = write_root(tmp_path / "b")
    assert load_splits(options(root), 1).record == record
    first, second = root / "train" / "cat" / "0.png", root / "train" / "cat" / "1.png"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())  # of as many bytes
    assert load_splits(options(root), 0).record != record
    first.write_bytes(content)
    first.rename(first.with_name("00.png"))
    assert load_splits(options(root), 0).record["train"]["images"] == record["train"]["images"] == 8
    assert load_splits(options(root), 0).record != record
