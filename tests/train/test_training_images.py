"""Whether a network is evaluated on the images that it was trained on."""

from __future__ import annotations

from typing import Any

import pytest

from pinas_zoo.data.options import Data
from pinas_zoo.train.training_images import was_trained_on


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


@pytest.mark.parametrize(
    "strange", [{}, {"config": 3}, {"config": {"data": []}}, facts(root=3), facts(train_split=None)]
)
def test_facts_of_another_form_are_no_record(strange):
    assert not was_trained_on(strange, Data(root="photos"), "train")
