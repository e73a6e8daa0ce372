"""Images of a recipe: which are trained and tested on, what is refused, and views as a function of a seed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pinas_zoo.data.images import ViewsOptions
from pinas_zoo.data.loader import BatchPart
from pinas_zoo.data.options import Views
from pinas_zoo.errors import UserError
from pinas_zoo.train.config import Augment, Recipe
from pinas_zoo.train.images import TransformedImages, located, open_images
from tests.train.pictures import picture_folder

CONFIG = dict(
    input_size=(3, 32, 32), interpolation="bicubic", mean=(0.5,) * 3, std=(0.2,) * 3, crop_pct=0.9, crop_mode="center"
)


def recipe(root: Path, **values: Any) -> Recipe:
    return Recipe.model_validate({"data": {"root": str(root)}, **values})


def test_views_follow_from_seed_step_and_position_and_leave_the_generators_alone(tmp_path):
    images = open_images(recipe(picture_folder(tmp_path))).train
    augment = Augment(auto_augment="rand-m9-n2-mstd0.5", color_jitter=0.4)
    shown = TransformedImages(images, CONFIG, augment)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    one = shown.step_batch(BatchPart(7, 0, [3, 4, 5]), ViewsOptions(Views(), 1, seed=1))["views"]
    drawn = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())  # noqa: NPY002
    part = shown.step_batch(BatchPart(7, 1, [4, 5]), ViewsOptions(Views(), 1, seed=1))["views"]
    assert torch.equal(one[1:], part)  # whichever process makes them
    other = shown.step_batch(BatchPart(8, 0, [3, 4, 5]), ViewsOptions(Views(), 1, seed=1))["views"]
    assert not torch.equal(one, other)
    assert one.shape == (3, 1, 3, 32, 32)
    assert one.dtype == torch.uint8


def test_the_first_of_several_views_is_not_augmented(tmp_path):
    images = open_images(recipe(picture_folder(tmp_path))).train
    plain = TransformedImages(images, CONFIG, Augment(color_jitter=0.0))
    mixed = TransformedImages(images, CONFIG, Augment(color_jitter=0.0, auto_augment="augmix-m3-w3"))
    part = BatchPart(0, 0, [0, 1])
    one = plain.step_batch(part, ViewsOptions(Views(), 1, seed=0))["views"]
    three = mixed.step_batch(part, ViewsOptions(Views(), 3, seed=0))["views"]
    assert torch.equal(one[:, 0], three[:, 0])
    assert not torch.equal(three[:, 1], three[:, 2])


def test_a_folder_of_classes_alone_is_split(tmp_path):
    root = picture_folder(tmp_path) / "train"
    data, split = located(recipe(root).data, "train")
    assert (Path(data.root).name, split) == (tmp_path.name, "train")
    table = Recipe.model_validate({"data": data.model_dump() | {"train_split": split}, "holdout": 0.25})
    splits = open_images(table)
    assert (len(splits.train), len(splits.test)) == (18, 6)
    assert splits.test.labels.bincount().tolist() == [2, 2, 2]
    assert located(recipe(tmp_path).data, "train") == (recipe(tmp_path).data, "train")
    (tmp_path / "validation").rename(tmp_path / "val")
    assert located(recipe(tmp_path).data, "validation") == (recipe(tmp_path).data, "validation")
    assert located(recipe(tmp_path).data, "test") == (recipe(tmp_path).data, "test")  # other splits are no classes


@pytest.mark.parametrize("split", ["train", "validation"])
def test_digits_are_not_tested_on_what_they_train_on(split):
    data = dict(type="digits", image_size=8, train_split=split, test_split=split)
    with pytest.raises(UserError, match="not trained on, got '" + split):
        open_images(Recipe.model_validate({"data": data}))
    held_out = open_images(Recipe.model_validate({"data": data, "holdout": 0.2}))
    assert len(held_out.train) + len(held_out.test) == 1797 - 350


def spoil(root: Path, what: str) -> None:
    if what == "one class":
        for split in ("train", "validation"):
            for name in ("blue", "cyan"):
                for path in (root / split / name).iterdir():
                    path.unlink()
                (root / split / name).rmdir()
    elif what == "no classes":
        for path in (root / "train").rglob("*.png"):
            path.rename(root / "train" / f"{path.parent.name}{path.name}")
        for name in ("amber", "blue", "cyan"):
            (root / "train" / name).rmdir()
    elif what == "classes differ":
        (root / "validation" / "blue").rename(root / "validation" / "navy")
    elif what == "unreadable":
        (root / "train" / "blue" / "3.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("one class", r"at least 2 classes in .*, got 1: amber"),
        ("no classes", r"folder of images for each class in 'train' of .*, got images that lie in none"),
        ("classes differ", r"same classes in 'train' and 'validation' .*'blue', 'navy'"),
        ("unreadable", r"blue.3\.png"),
    ],
)
def test_what_is_wrong_is_said(what, message, tmp_path):
    root = picture_folder(tmp_path)
    spoil(root, what)
    with pytest.raises(UserError, match=message):
        open_images(recipe(root))


def test_unreadable_images_are_left_out_on_request_and_counted(tmp_path):
    root = picture_folder(tmp_path)
    spoil(root, "unreadable")
    splits = open_images(recipe(root, skip_unreadable=True))
    assert len(splits.train) == 23
    assert len(splits.unreadable) == 1
    assert "3.png" in splits.unreadable[0]


def test_one_image_of_a_class_cannot_be_held_out(tmp_path):
    root = picture_folder(tmp_path, train=1)
    with pytest.raises(UserError, match="at least 2 images of every class to hold out 20%, got one of 'amber'"):
        open_images(recipe(root, holdout=0.2))
    assert len(open_images(recipe(root)).train) == 3  # with a test split, one image of a class is enough
