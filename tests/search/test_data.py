"""Images: deterministic splits that do not overlap, batches that follow from the step, files that cannot be read."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Data
from pinas_zoo.search.data import Images, Splits, StepSampler, load_splits
from tests.golden import shared_dir


def cifar_folder(root, per_class: int = 12):
    """An image folder with the first images of each class of the CIFAR-10 pack: train and validation."""
    pack = np.load(shared_dir() / "data" / "cifar10_jpegpack.npz")
    header, body, offsets, labels = (pack[key] for key in ("header", "body", "offsets", "labels"))
    for split, start in (("train", 0), ("validation", 50_000)):
        for label in range(10):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for i in (
                np.flatnonzero(labels[start : start + (50_000 if split == "train" else 10_000)] == label)[:per_class]
                + start
            ):
                data = header.tobytes() + body[offsets[i] : offsets[i + 1]].tobytes()
                Image.open(io.BytesIO(data)).save(folder / f"{i}.png")
    return root


def test_digits_splits_are_disjoint_stratified_and_repeatable():
    options = Data(type="digits", image_size=16, val_per_class=20)
    a, b, c = load_splits(options, 0), load_splits(options, 0), load_splits(options, 1)
    assert len(a.train) + len(a.val) + len(a.test) == 1797
    assert torch.bincount(a.val.labels).tolist() == [20] * 10
    assert torch.equal(a.val.pixels, b.val.pixels)
    assert not torch.equal(a.val.pixels, c.val.pixels)
    rows = [{x.numpy().tobytes() for x in part.pixels} for part in (a.train, a.val, a.test)]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


def test_an_image_folder_through_timm(tmp_path):
    root = cifar_folder(tmp_path)
    splits = load_splits(Data(root=str(root), image_size=32, val_per_class=2), 0)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (100, 20, 120)
    assert splits.class_names == tuple(f"class{k}" for k in range(10))
    expected = np.asarray(Image.open(sorted((root / "validation" / "class0").iterdir())[0]).convert("RGB"))
    assert any(np.array_equal(x.permute(1, 2, 0).numpy(), expected) for x in splits.test.pixels)


def test_larger_images_keep_their_aspect(tmp_path):
    for split in ("train", "validation"):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            for k in range(2):
                picture = np.zeros((40, 80, 3), np.uint8)
                picture[:, 20:60] = 200  # the central square is bright, the sides are dark
                Image.fromarray(picture).save(tmp_path / split / label / f"{k}.png")
    splits = load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1), 0)
    assert splits.train.pixels.shape == (2, 3, 16, 16)
    assert splits.train.pixels.float().mean() > 190


def test_errors_name_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="no folder 'nowhere'"):
        load_splits(Data(root="nowhere"), 0)
    with pytest.raises(UserError, match=r"data\.type 'digits' or 'timm', got 'tinm'"):
        load_splits(Data(type="tinm"), 0)
    with pytest.raises(UserError, match="lower it"):
        load_splits(Data(type="digits", image_size=8, val_per_class=1000), 0)
    for split in ("train", "validation"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a" / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 not an image")
    with pytest.raises(UserError, match=r"torn\.jpg cannot be read"):
        load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1), 0)


def test_a_split_that_is_not_there_is_not_the_whole_folder(tmp_path):
    """timm reads every image below the root when no folder has the split's name; training images would be tested on."""
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(tmp_path / split / "a" / "1.png")
        Image.new("RGB", (16, 16)).save(tmp_path / split / "a" / "2.png")
    with pytest.raises(UserError, match="expected the folder 'validation'"):
        load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1), 0)
    assert len(load_splits(Data(root=str(tmp_path), image_size=16, val_per_class=1, test_split="test"), 0).test) == 2


def test_normalisation_sees_every_class():
    pixels = torch.cat([torch.zeros(6000, 3, 32, 32), torch.full((6000, 3, 32, 32), 255.0)]).to(torch.uint8)
    images = Images(pixels, torch.zeros(12000, dtype=torch.long))
    mean, _ = Splits(images, images, images, ("a",)).normalisation()
    assert mean == pytest.approx((0.5, 0.5, 0.5), abs=0.01)


def test_batches_follow_from_seed_and_step_wherever_one_starts():
    whole = list(StepSampler(10, 3, seed=1, start=0, stop=9))
    assert list(StepSampler(10, 3, seed=1, start=4, stop=9)) == whole[4:]
    for epoch in range(3):
        seen = [i for batch in whole[3 * epoch : 3 * epoch + 3] for i in batch]
        assert len(set(seen)) == 9  # no image twice in an epoch; the incomplete batch is left out
    assert whole != list(StepSampler(10, 3, seed=2, start=0, stop=9))
    with pytest.raises(UserError, match="expected at least one batch"):
        StepSampler(2, 3, seed=0, start=0, stop=1)


def test_no_batch_of_one_image():
    images = Images(torch.zeros(9, 3, 4, 4, dtype=torch.uint8), torch.arange(9))
    assert [len(b["labels"]) for b in images.batches(4)] == [4, 5]
    assert torch.cat([b["labels"] for b in images.batches(4)]).tolist() == list(range(9))
