"""Views of a batch against torchvision's operations on single images, and as a function of their generator."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.functional as TF

from pinas_zoo.search.config import Data, Views
from pinas_zoo.search.data import load_splits
from pinas_zoo.search.views import BatchViews, _blur, _shift_hue

PLAIN = dict(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0)


def views(**changes) -> BatchViews:
    return BatchViews(Views(**{**PLAIN, **changes}), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def draw(module: BatchViews, pixels: torch.Tensor, count: int = 1, seed: int = 0) -> torch.Tensor:
    return module(pixels, torch.Generator().manual_seed(seed), count)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randint(0, 256, (4, 3, 12, 12), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def test_without_augmentation_a_view_is_the_image(pixels):
    torch.testing.assert_close(draw(views(), pixels)[:, 0], pixels / 255, rtol=0, atol=1e-5)
    normalised = BatchViews(Views(), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)).normalise(pixels)
    expected = TF.normalize(pixels / 255, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    torch.testing.assert_close(normalised, expected)


def test_mirroring(pixels):
    torch.testing.assert_close(draw(views(flip=1.0), pixels)[:, 0], (pixels / 255).flip(3), rtol=0, atol=1e-5)
    many = draw(views(flip=0.5), pixels[:1].expand(2000, -1, -1, -1))[:, 0]
    mirrored = (many - (pixels[0] / 255).flip(2)).abs().amax((1, 2, 3)) < 1e-4
    assert 0.45 < mirrored.float().mean() < 0.55


def test_grey_is_torchvisions(pixels):
    expected = TF.rgb_to_grayscale(pixels / 255, num_output_channels=3)
    torch.testing.assert_close(draw(views(gray_p=1.0), pixels)[:, 0], expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("turn", [-0.4, -0.1, 0.25, 0.5])
def test_hue_is_torchvisions(pixels, turn):
    ours = _shift_hue(pixels / 255, torch.full((4, 1, 1, 1), turn))
    torch.testing.assert_close(ours, TF.adjust_hue(pixels / 255, turn), rtol=0, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_blur_is_torchvisions(sigma):
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    ours = _blur(images, torch.full((2,), sigma), max_sigma=2.0)  # radius 5
    torch.testing.assert_close(ours, TF.gaussian_blur(images, 11, sigma), rtol=0, atol=1e-5)


def test_brightness_contrast_saturation_stay_within_their_ranges(pixels):
    grey = torch.full((500, 3, 8, 8), 100, dtype=torch.uint8)
    factors = draw(views(jitter=(0.4, 0.0, 0.0, 0.0), jitter_p=1.0), grey)[:, 0, 0, 0, 0] / (100 / 255)
    assert 0.6 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4001
    untouched = draw(views(jitter=(0.0, 0.4, 0.4, 0.4), jitter_p=1.0), grey)[:, 0]  # of one grey, nothing to change
    torch.testing.assert_close(untouched, grey / 255, rtol=0, atol=1e-4)


def test_crops_have_the_area_that_was_asked_for():
    """Over a ramp from 0 to 1, a crop's range of values is its width and height; their product its area."""
    ramp = torch.arange(64).mul(4).to(torch.uint8)
    pixels = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64, dtype=torch.uint8)])
    crops = draw(views(scale=(0.2, 0.6), ratio=(0.75, 4 / 3)), pixels.expand(1000, -1, -1, -1))[:, 0]
    per_pixel = (crops[:, 0, 32, 48] - crops[:, 0, 32, 16]) / 32, (crops[:, 1, 48, 32] - crops[:, 1, 16, 32]) / 32
    width, height = (step / (4 / 255) for step in per_pixel)  # fractions of the image's sides
    area = width * height
    assert area.min() == pytest.approx(0.2, abs=0.02)
    assert area.max() == pytest.approx(0.6, abs=0.02)
    assert area.mean() == pytest.approx(0.4, abs=0.02)
    assert (width / height).max() == pytest.approx(4 / 3, abs=0.05)
    assert (width / height).min() == pytest.approx(0.75, abs=0.05)


def test_views_follow_from_the_generator_and_differ_from_each_other():
    pixels = load_splits(Data(type="digits", image_size=16, val_per_class=10), 0).train.pixels[:8]
    module = BatchViews(Views(), (0.5,) * 3, (0.25,) * 3)
    first, again, other = draw(module, pixels, 4), draw(module, pixels, 4), draw(module, pixels, 4, seed=1)
    assert first.shape == (8, 4, 3, 16, 16)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert all(not torch.equal(first[:, 0], first[:, k]) for k in (1, 2, 3))
    assert torch.isfinite(first).all()
