"""What is found in a folder with index masks: pairs, splits, classes and numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmseg")
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.new_config.mask_classes import look
from tests.openmmlab.new_config.made_folders import image, mask

THREE = (0, 1, 2)


def fill(root: Path, images: str, masks: str, names: str = "abcde", numbers: tuple[int, ...] = THREE) -> Path:
    """Pairs; ``images`` and ``masks`` are paths with * for the name."""
    for name in names:
        image(root / images.replace("*", name))
        mask(root / masks.replace("*", name), numbers)
    return root


LAYOUTS = {  # image, mask; {} is the split
    "ade20k": ("images/{}ing/*.jpg", "annotations/{}ing/*.png", ("train", "validation")),
    "masks": ("images/{}/*.jpg", "masks/{}/*.png", ("train", "val")),
    "inside": ("{}/images/*.jpg", "{}/labels/*.png", ("train", "valid")),
    "mmseg": ("img_dir/{}/*.jpg", "ann_dir/{}/*.png", ("train", "val")),
    "camvid": ("{}/*.png", "{}annot/*.png", ("train", "val")),
    "suffix": ("{}/*.jpg", "{}_masks/*_mask.png", ("train", "val")),
    "beside": ("{}/*.jpg", "{}/*_mask.png", ("train", "val")),
    "cities": ("images/{}/rome/*.jpg", "masks/{}/rome/*.png", ("train", "val")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_usual_layouts(layout: str, tmp_path: Path) -> None:
    images, masks, splits = LAYOUTS[layout]
    for split, names in zip(splits, ("abcd", "e"), strict=True):
        fill(tmp_path, *(part.format(split).replace("validationing", "validation") for part in (images, masks)), names)
    found = look(tmp_path)
    assert found.images == (4, 1)
    (train,), (val,) = found.train, found.val
    assert (train.names, val.names) == (("a", "b", "c", "d"), ("e",))
    for group in (train, val):
        assert not group.listed
        for name in group.names:
            assert (group.images / f"{name}{group.image_suffix}").is_file()
            assert (group.masks / f"{name}{group.mask_suffix}").is_file()
    assert found.classes == ("class_0", "class_1", "class_2")
    assert found.stored is None
    assert set(found.sizes) == {(64, 48)}


@pytest.mark.parametrize("name", ["ADEChallengeData2016", "scenes"])
def test_ade20k_is_known_by_the_name_of_its_folder(name: str, tmp_path: Path) -> None:
    found = look(fill(tmp_path / name, "images/training/*.jpg", "annotations/training/*.png"))
    ade = name.startswith("ADE")
    assert (found.ignore_zero, found.classes[0], len(found.classes)) == (
        (True, "wall", 150) if ade else (False, "class_0", 3)
    )
    assert any("ADE20K" in note for note in found.notes) == ade


def test_voc_lists_and_what_has_no_mask(tmp_path: Path) -> None:
    fill(tmp_path, "JPEGImages/*.jpg", "SegmentationClass/*.png")
    image(tmp_path / "JPEGImages" / "f.jpg")
    for split, names in (("train", "a\nb\nc\n"), ("val", "d\ne\n")):
        path = tmp_path / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(names)
    found = look(tmp_path)
    (train,), (val,) = found.train, found.val
    assert (train.names, val.names) == (("a", "b", "c"), ("d", "e"))
    assert train.listed
    assert found.notes[0] == "1 images and masks without their counterpart are left out, such as JPEGImages/f.jpg"


def test_without_a_split_some_are_held_out_and_mixed_suffixes_are_groups(tmp_path: Path) -> None:
    fill(tmp_path, "images/*.jpg", "masks/*.png", "abcdefgh")
    fill(tmp_path, "images/*.JPG", "masks/*.png", "ij")
    found = look(tmp_path)
    assert found.images == (8, 2)
    names = [[name for group in groups for name in group.names] for groups in (found.train, found.val)]
    assert sorted(names[0] + names[1]) == list("abcdefghij")
    assert {group.image_suffix for group in (*found.train, *found.val)} == {".jpg", ".JPG"}
    assert look(tmp_path).val == found.val
    assert any(note.startswith("no validation split: 2 of 10 images are held out") for note in found.notes)


@pytest.mark.parametrize(
    ("numbers", "names", "classes", "stored", "ignore_zero"),
    [
        ((0, 255), None, ("background", "object"), (0, 255), False),
        ((0, 255), "road", ("background", "road"), (0, 255), False),
        ((0, 1, 255), None, ("class_0", "class_1"), None, False),
        ((1, 2, 3), None, ("class_1", "class_2", "class_3"), None, True),
        ((0, 1, 2, 3), "a\nb\nc", ("a", "b", "c"), None, True),
        ((0, 2), "a\nb\nc", ("a", "b", "c"), None, False),
        ((0, 100, 200), None, ("class_0", "class_100", "class_200"), (0, 100, 200), False),
        ((0, 100, 200), "a\nb\nc", ("a", "b", "c"), (0, 100, 200), False),
    ],
)
def test_numbers_and_names(
    numbers: tuple[int, ...],
    names: str | None,
    classes: tuple[str, ...],
    stored: tuple[int, ...] | None,
    ignore_zero: bool,
    tmp_path: Path,
) -> None:
    fill(tmp_path, "images/*.jpg", "masks/*.png", "ab", numbers)
    if names:
        (tmp_path / "classes.txt").write_text(names)
    found = look(tmp_path)
    assert (found.classes, found.stored, found.ignore_zero) == (classes, stored, ignore_zero)
    ignored = [note for note in found.notes if "pixels are ignored" in note]
    assert bool(ignored) == (numbers in ((0, 1, 255), (0, 1, 2, 3)))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "\ufeffroad\nsky\n\ntree\n"),
        ("labels.txt", "0 road\n1 sky\n2: tree\n"),
        ("classes.json", json.dumps(["road", "sky", "tree"])),
        ("classes.json", json.dumps({"2": "tree", "0": "road", "1": "sky"})),
        ("labels.json", json.dumps({"road": 0, "tree": 2, "sky": 1})),
        ("names.json", json.dumps([{"id": 1 + k, "name": n} for k, n in enumerate(("road", "sky", "tree"))])),
        ("objectInfo150.txt", "Idx\tRatio\tVal\tName\n1\t0.1\t9\troad, street\n2\t0.1\t9\tsky\n3\t0.1\t9\ttree"),
    ],
)  # fmt: skip
def test_files_of_names(file: str, text: str, tmp_path: Path) -> None:
    fill(tmp_path, "images/*.jpg", "masks/*.png", "ab")
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert look(tmp_path).classes == ("road", "sky", "tree")


def test_what_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected images with index masks in .*, there are no images"):
        look(tmp_path)
    image(tmp_path / "images" / "a.jpg")
    with pytest.raises(UserError, match="no image has a mask"):
        look(tmp_path)
    mask(tmp_path / "masks" / "a.png", [3])
    with pytest.raises(UserError, match=r"two classes and more in the masks, got 3 alone"):
        look(tmp_path)
    (tmp_path / "classes.txt").write_text("a\na\n")
    with pytest.raises(UserError, match=r"class names in .*classes.txt.* got some twice"):
        look(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"numbers from 0 to 1 in the masks, the 2 names in .*, got 3; name all"):
        look(tmp_path)
    mask(tmp_path / "masks" / "a.png", [0, 1], size=(20, 20))
    with pytest.raises(UserError, match=r"a\.png of 48 x 64 pixels, the size of .*a\.jpg, got 20 x 20"):
        look(tmp_path)
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "masks" / "a.png")
    with pytest.raises(UserError, match=r"one number a pixel, the class index, .* got an image of mode RGB"):
        look(tmp_path)
