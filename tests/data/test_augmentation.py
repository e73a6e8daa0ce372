"""Views of a batch against torchvision's operations on single images, and as a function of their generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torchvision import transforms as T

from pinas_zoo.data.augmentation import BatchViews, ImageViews, _blur, _saturate, _shift_hue, _turn_hue, crop_box
from pinas_zoo.data.splits import load_splits
from pinas_zoo.search.config import Data, Views

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


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Smooth shapes in several colours with some noise: 120 x 160 x 3."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
        (160, 120), Image.Resampling.BICUBIC
    )
    return np.clip(np.asarray(coarse) + rng.normal(0, 12, (120, 160, 3)), 0, 255).astype(np.uint8)


def same_distribution(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    """Means within four standard errors of each other, and standard deviations within a tenth."""
    error = np.sqrt(ours.var(0) / len(ours) + theirs.var(0) / len(theirs))
    assert (np.abs(ours.mean(0) - theirs.mean(0)) < 4 * error + 1e-9).all(), (what, ours.mean(0), theirs.mean(0))
    np.testing.assert_allclose(ours.std(0), theirs.std(0), rtol=0.1, err_msg=what)


@pytest.mark.parametrize("shape", [(375, 500), (500, 333), (100, 1000)], ids=str)  # few crops fit in the last
@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.08, 1.0)], ids=str)
def test_crops_are_distributed_as_torchvisions(shape, scale):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    blank = torch.empty(3, *shape)
    ours = np.array([crop_box(*shape, scale, (0.75, 4 / 3), rng) for _ in range(3000)], float)
    theirs = np.array([T.RandomResizedCrop.get_params(blank, scale, (0.75, 4 / 3)) for _ in range(3000)], float)

    def facts(boxes: np.ndarray) -> np.ndarray:
        top, left, height, width = boxes.T
        return np.stack([top, left, height, width, height * width, np.log(width / height)], 1)

    same_distribution(facts(ours), facts(theirs), f"top, left, height, width, area, log aspect of {shape}")


@pytest.mark.parametrize("operation", ["saturation", "hue", "grey", "brightness", "contrast", "blur"])
def test_operations_on_uint8_are_torchvisions_on_pillow(photo, operation):
    picture, factor = Image.fromarray(photo), 1.3

    class Fixed(np.random.Generator):  # every draw is the factor
        def uniform(self, low=0.0, high=1.0, size=None):
            return factor

        def random(self, *args):
            return 0.0

    rng = Fixed(np.random.PCG64(0))
    one = ["brightness", "contrast", "saturation", "hue"]
    jitter = tuple(0.4 * (operation == name) for name in one)
    views = ImageViews(Views(jitter=jitter), 8)
    if operation == "blur":
        factor = 1.5
        import cv2

        ours, theirs = cv2.GaussianBlur(photo, (0, 0), factor), TF.gaussian_blur(picture, 23, factor)
    elif operation == "grey":
        ours, theirs = _saturate(photo, 0.0), TF.rgb_to_grayscale(picture, 3)
    elif operation == "hue":
        ours, theirs = _turn_hue(photo, -0.3), TF.adjust_hue(picture, -0.3)
    else:
        ours, theirs = views._jitter(photo, rng), getattr(TF, f"adjust_{operation}")(picture, factor)
    difference = np.abs(ours.astype(int) - np.asarray(theirs).astype(int))
    assert difference.mean() < 1.0, difference.mean()  # of 255: each rounds in its own way
    assert np.percentile(difference, 99) <= (8 if operation == "hue" else 4)  # a step of hue is up to six levels
    assert np.abs(ours.astype(int) - photo).mean() > 4  # there is something to compare


def test_views_of_an_image_are_distributed_as_torchvisions(photo):
    """Means, spread, sharpness and colourfulness of whole views, over the draws of all parameters."""
    picture, count, size = Image.fromarray(photo), 800, 48
    pipeline = T.Compose(
        [
            T.RandomResizedCrop(size, scale=(0.2, 1.0)),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.4)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.RandomApply([T.GaussianBlur(11, (0.1, 2.0))], p=0.5),
            T.RandomHorizontalFlip(),
        ]
    )
    torch.manual_seed(0)
    theirs = np.stack([np.asarray(pipeline(picture)) for _ in range(count)])
    ours = ImageViews(Views(), size)(photo, np.random.default_rng(0), count)

    def facts(views: np.ndarray) -> np.ndarray:
        x = views.astype(float)  # n x H x W x 3
        side = x[:, :, size // 2 :].mean((1, 2)) - x[:, :, : size // 2].mean((1, 2))
        sharpness = np.abs(np.diff(x, axis=1)).mean((1, 2, 3)), np.abs(np.diff(x, axis=2)).mean((1, 2, 3))
        colour = (x.max(3) - x.min(3)).mean((1, 2))
        return np.concatenate([x.mean((1, 2)), x.std((1, 2)), side, np.stack([*sharpness, colour, colour < 1], 1)], 1)

    same_distribution(facts(ours), facts(theirs), "mean, std, right minus left, sharpness, colour")


def test_views_of_an_image_follow_from_the_generator(photo):
    views = ImageViews(Views(), 32)
    first, again = (views(photo, np.random.default_rng(5), 4) for _ in range(2))
    assert first.shape == (4, 32, 32, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    plain = ImageViews(Views(**PLAIN), 120)(photo[:, :120], np.random.default_rng(0), 1)[0]
    assert np.array_equal(plain, photo[:, :120])


def test_views_are_made_where_the_pixels_are(pixels):
    made = draw(BatchViews(Views(), (0.5,) * 3, (0.2,) * 3), pixels.to("meta"), 2)
    assert (made.device.type, made.shape) == ("meta", (len(pixels), 2, *pixels.shape[1:]))


def test_a_batch_is_the_same_however_many_ranks_share_it(pixels):
    module = BatchViews(Views(), (0.5,) * 3, (0.25,) * 3)
    whole = module(pixels, torch.Generator().manual_seed(3), 2)
    halves = [module(pixels[2 * r : 2 * r + 2], torch.Generator().manual_seed(3), 2, r, 2) for r in range(2)]
    torch.testing.assert_close(torch.cat(halves), whole)
