"""Recalibration images: one random crop of each, the same in every pass, batch size, worker and place."""

from __future__ import annotations

import torch

from pinas_zoo.data.fixed_views import FixedViews
from pinas_zoo.data.images import DecodedImages, Files, Images, ViewsOptions
from pinas_zoo.data.options import Data, Views
from pinas_zoo.data.splits import load_splits
from pinas_zoo.rng import Stream
from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.context import Context
from tests.data.test_images import write_folder

CROPS = Views(scale=(0.08, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)
OPTIONS = ViewsOptions(CROPS, 1, seed=5, stream=Stream.RECALIBRATION_VIEWS)


def noise(count: int = 21, side: int = 40) -> Images:
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0))
    return Images(pixels.to(torch.uint8), torch.arange(count), size=24)


def pixels(views: FixedViews, size: int) -> torch.Tensor:
    batches = list(views.batches(size))
    assert torch.equal(torch.cat([batch["labels"] for batch in batches]), views.images.labels)
    return torch.cat([batch["pixels"] for batch in batches])


def test_views_do_not_depend_on_the_batch_size_or_the_pass():
    images = noise()
    views = FixedViews(images, OPTIONS)
    expected = pixels(views, 21)
    assert expected.shape == (21, 3, 24, 24)
    assert expected.dtype == torch.uint8
    for size in (2, 5, 20, 64):  # 20 would leave a single image, which joins the batch before it
        assert torch.equal(pixels(FixedViews(images, OPTIONS), size), expected)
    assert torch.equal(pixels(views, 5), expected)
    assert [len(batch["labels"]) for batch in views.batches(20)] == [21]


def test_views_are_random_crops_of_the_seed():
    images = noise()
    one, other = (pixels(FixedViews(images, OPTIONS._replace(seed=seed)), 21) for seed in (5, 6))
    centre = torch.cat([batch["pixels"] for batch in images.batches(21)])
    alike = [(one[k] == other[k]).float().mean() for k in range(21)]
    assert max(alike) < 0.1
    assert max((one[k] == centre[k]).float().mean() for k in range(21)) < 0.1


def test_a_view_that_is_the_whole_image_is_the_image():
    """Half of them mirrored, by the number that the stream draws for the place of the image."""
    images = noise(side=24)
    whole = OPTIONS._replace(views=CROPS.model_copy(update={"scale": (1.0, 1.0), "ratio": (1.0, 1.0)}))
    flipped = 0
    for view, image in zip(pixels(FixedViews(images, whole), 21), images.pixels, strict=True):
        mirrored = torch.equal(view, image.flip(2))
        assert mirrored or torch.equal(view, image)
        flipped += mirrored
    assert 4 < flipped < 17


def test_where_images_are_kept_changes_no_view(tmp_path):
    root = write_folder(tmp_path, sizes=((40, 60), (30, 30), (64, 48)) * 2)
    options = Data(root=str(root), image_size=16, val_per_class=2)
    kept = load_splits(options, 0).train
    files = load_splits(options.model_copy(update={"memory_gib": 0.0}), 0).train
    assert isinstance(kept, DecodedImages)
    assert isinstance(files, Files)
    expected = pixels(FixedViews(kept, OPTIONS), 3)
    for workers in (0, 2):
        assert torch.equal(pixels(FixedViews(files, OPTIONS, workers), 3), expected)


def test_a_run_recalibrates_on_the_same_images_with_and_without_views(tmp_path):
    data = dict(type="digits", image_size=16, val_per_class=5)
    made: dict[str, Images | FixedViews] = {}
    for name, views in (("plain", None), ("crops", dict(scale=(0.3, 1.0), flip=0.0))):
        config = SearchConfig.model_validate(
            dict(name="a", seed=4, data=data, explore=dict(recalibration_images=32, recalibration_views=views))
        )
        made[name] = Context.of(config, tmp_path / name).recalibration()
    assert isinstance(made["plain"], Images)
    assert isinstance(made["crops"], FixedViews)
    assert torch.equal(made["crops"].images.pixels, made["plain"].pixels)
    drawn = made["crops"].options
    assert (drawn.seed, drawn.stream, drawn.views.scale) == (4, Stream.RECALIBRATION_VIEWS, (0.3, 1.0))
