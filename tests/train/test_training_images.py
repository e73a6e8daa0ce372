"""Whether a network is evaluated on the images that it was trained on."""

from __future__ import annotations

from typing import Any

import pytest

from pinas_zoo.data.options import Data
from pinas_zoo.data.splits import load_split, load_splits
from pinas_zoo.train.training_images import digits_split, was_trained_on


def facts(**data: Any) -> dict[str, Any]:
    return {"config": {"data": {"type": "timm", "name": "", "train_split": "train", **data}}}


def test_a_folder_is_recognised_by_its_place(tmp_path, monkeypatch):
    for split in ("train", "val"):
        (tmp_path / "photos" / split).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    recorded = facts(root="photos")
    for root in ("photos", tmp_path / "photos", "./photos/", "link"):
        assert was_trained_on(recorded, Data(root=str(root)), "train")
        assert was_trained_on(recorded, Data(root=str(root)), "training")  # timm's other name
        assert not was_trained_on(recorded, Data(root=str(root)), "val")
    assert not was_trained_on(recorded, Data(root="others"), "train")
    assert not was_trained_on(recorded, Data(root="photos", name="torch/cifar10"), "train")
    assert was_trained_on(
        facts(root="photos", name="torch/cifar10"), Data(root="photos", name="torch/cifar10"), "train"
    )


def test_digits():
    digits = {"config": {"data": {"type": "digits", "train_split": "train"}}}
    assert was_trained_on(digits, Data(type="digits"), "train")
    assert not was_trained_on(digits, Data(type="digits"), "validation")
    named = {"config": {"data": {"type": "digits", "train_split": "validation", "test_split": "other"}}}
    assert was_trained_on(named, Data(type="digits"), "train")
    assert not was_trained_on(named, Data(type="digits"), "validation")


@pytest.mark.parametrize("streams", [1, 2])
def test_digits_are_split_as_in_the_training(streams):
    data = Data(type="digits", image_size=8, val_per_class=5)
    record: dict[str, Any] = {"seed": 3, "data": {"type": "digits"}, "explore": {}, "streams": streams}
    assert digits_split({"config": record}) == (3, streams)
    trained = {image.numpy().tobytes() for image in load_splits(data, 3, streams).trainval.pixels}
    tested = {image.numpy().tobytes() for image in load_split(data, "validation", 3, streams)[0].pixels}
    assert len(tested - trained) > 340  # of 350; a few digits are there twice
    assert len({image.numpy().tobytes() for image in load_split(data, "validation")[0].pixels} & trained) > 250


def test_the_split_of_digits_without_a_usable_record_is_that_of_a_new_run():
    digits = {"type": "digits"}
    assert digits_split({"config": {"seed": 3, "data": digits}}) == (3, 2)  # a recipe
    assert digits_split({"config": {"seed": 3, "data": digits, "explore": {}}}) == (3, 1)  # a search of version 0.1
    for strange in ({}, {"config": {"seed": 3, "data": {"type": "timm"}}}, {"config": {"seed": -1, "data": digits}},
                    {"config": {"seed": "3", "data": digits}}, {"config": [3]}):  # fmt: skip
        assert digits_split(strange) == (0, 2)


@pytest.mark.parametrize(
    "strange", [{}, {"config": 3}, {"config": {"data": []}}, facts(root=3), facts(train_split=None)]
)
def test_facts_of_another_form_are_no_record(strange):
    assert not was_trained_on(strange, Data(root="photos"), "train")
