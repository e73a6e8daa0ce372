"""What is found in a folder with COCO annotations, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mmdet")
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.new_config.coco_folder import look
from tests.openmmlab.new_config.made_folders import coco, image, write

NAMES = ("apple", "pear")
FOUR = {f"{k}.jpg": [k % 2] for k in range(4)}


def two_splits(root: Path, train_file: str, val_file: str, train: str, val: str) -> Path:
    """The same file names in both splits, as many tools number them."""
    for folder, file, images in ((train, train_file, FOUR), (val, val_file, {"0.jpg": [0, 1]})):
        write(root / file, coco(images, NAMES))
        for name in images:
            image(root / folder / name)
    return root


@pytest.mark.parametrize(
    "files",
    [
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json", "train2017", "val2017"),
        ("annotations/train.json", "annotations/valid.json", "images/train", "images/val"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json", "train", "valid"),
        ("instances_Train.json", "instances_Validation.json", "Train/images", "Validation/images"),
    ],
    ids=" ".join,
)
def test_usual_layouts(files: tuple[str, str, str, str], tmp_path: Path) -> None:
    found = look(two_splits(tmp_path, *files))
    assert found.classes == NAMES
    assert (found.train.images, found.val.images) == (tmp_path / files[2], tmp_path / files[3])
    assert [len(split.coco.images) for split in (found.train, found.val)] == [4, 1]
    assert not found.train.changed
    assert not found.val.changed
    assert found.masks
    assert found.notes == ()


def test_files_of_other_tasks_and_other_json_are_not_taken(tmp_path: Path) -> None:
    two_splits(tmp_path, "annotations/a_train.json", "annotations/a_val.json", "train", "val")
    write(tmp_path / "annotations" / "captions_train.json", coco(FOUR, NAMES))
    write(tmp_path / "package.json", {"name": "x"})
    assert look(tmp_path).train.coco.path.name == "a_train.json"
    write(tmp_path / "annotations" / "all.json", coco(FOUR, NAMES))
    assert look(tmp_path).notes == ("annotations/all.json is not used, neither to train nor to validate",)
    write(tmp_path / "annotations" / "b_train.json", coco(FOUR, NAMES))
    with pytest.raises(
        UserError, match=r"one file of train annotations .*a_train.json, .*b_train.json; .*--annotations"
    ):
        look(tmp_path)
    given = [tmp_path / "annotations" / "b_train.json", tmp_path / "annotations" / "a_val.json"]
    assert look(tmp_path, given).train.coco.path == given[0]


def test_a_broken_file_is_not_passed_over(tmp_path: Path) -> None:
    two_splits(tmp_path, "a_train.json", "a_val.json", "train", "val")
    (tmp_path / "a_train.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"a_train\.json, got a damaged file"):
        look(tmp_path)


def test_one_file_is_split_the_same_way_each_time_with_every_class_in_both(tmp_path: Path) -> None:
    images = {f"{k:02}.jpg": [2 if k in (3, 4) else k % 2] for k in range(20)}
    write(tmp_path / "annotations.json", coco(images, (*NAMES, "quince")))
    for name in images:
        image(tmp_path / "images" / name)
    found, again = look(tmp_path), look(tmp_path)
    assert [len(split.coco.images) for split in (found.train, found.val)] == [16, 4]
    assert found.val.coco.images == again.val.coco.images
    names = [{image["file_name"] for image in split.coco.images} for split in (found.train, found.val)]
    assert not names[0] & names[1]
    assert all({a["category_id"] for a in split.annotations} == {10, 11, 12} for split in (found.train, found.val))
    assert all(split.changed for split in (found.train, found.val))
    assert found.notes == ("no validation split: 4 of 20 images are held out for it, the same ones each time",)


def test_a_class_without_objects_is_left_out_and_said(tmp_path: Path) -> None:
    two_splits(tmp_path, "a_train.json", "a_val.json", "train", "val")
    for split, images in (("train", FOUR), ("val", {"0.jpg": [0]})):
        write(tmp_path / f"a_{split}.json", coco(images, (*NAMES, "quince")))
    found = look(tmp_path)
    assert found.classes == NAMES
    assert "left out, without an object: quince" in found.notes
    assert "without an object in validation, so that no AP is measured: pear" in found.notes


def test_classes_in_another_order_are_put_in_the_training_file_s(tmp_path: Path) -> None:
    two_splits(tmp_path, "a_train.json", "a_val.json", "train", "val")
    write(tmp_path / "a_val.json", coco({"0.jpg": [0]}, ("pear", "apple")))
    found = look(tmp_path)
    assert found.val.changed
    assert found.val.coco.names == NAMES
    (annotation,) = found.val.annotations
    name_of = {category["id"]: category["name"] for category in found.val.coco.categories}
    assert name_of[annotation["category_id"]] == "pear"
    write(tmp_path / "a_val.json", coco({"0.jpg": [0]}, ("plum", "apple")))
    with pytest.raises(UserError, match=r"classes of the training file .* got plum, which it lacks"):
        look(tmp_path)


@pytest.mark.parametrize(("first_id", "more"), [(0, {}), (1, {"iscrowd": None})], ids=["ids from 0", "no iscrowd"])
def test_validation_that_cocos_evaluation_reads_wrong_is_corrected_in_a_copy(
    first_id: int, more: dict[str, object], tmp_path: Path
) -> None:
    two_splits(tmp_path, "a_train.json", "a_val.json", "train", "val")
    write(tmp_path / "a_val.json", coco({"0.jpg": [0, 1]}, NAMES, first_id, **more))
    found = look(tmp_path)
    assert [(a["id"], a["iscrowd"]) for a in found.val.annotations] == [(1, 0), (2, 0)]
    assert found.val.changed
    assert any("copy of a_val.json" in note for note in found.notes)


def test_boxes_alone(tmp_path: Path) -> None:
    two_splits(tmp_path, "a_train.json", "a_val.json", "train", "val")
    write(tmp_path / "a_train.json", coco(FOUR, NAMES, segmentation=[]))
    found = look(tmp_path)
    assert not found.masks
    assert "4 of 6 objects (id 1) have no mask: the detector learns boxes alone" in found.notes


def test_what_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a JSON file of COCO annotations .* found none"):
        look(tmp_path)
    write(tmp_path / "a.json", coco(FOUR, NAMES))
    with pytest.raises(UserError, match=r"expected the images of .*, such as 0.jpg, .* found none"):
        look(tmp_path)
    image(tmp_path / "0.jpg")
    assert "3 of 4 images of a.json are not in" in look(tmp_path).notes[0]
    write(tmp_path / "a.json", coco({"0.jpg": [0]}, NAMES, iscrowd=1))
    with pytest.raises(UserError, match=r"expected objects in .*, got none, or crowds alone"):
        look(tmp_path)
