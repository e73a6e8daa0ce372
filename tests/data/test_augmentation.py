"""Views of both executors against torchvision's and each other's, and as a function of what they are drawn from."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from torchvision import transforms as T

from pinas_zoo.data.augmentation import (
    BatchViews,
    ViewDraws,
    draw_views,
    image_views,
    per_batch,
    per_image,
    view_uniforms,
)
from pinas_zoo.data.augmentation.draw import IDENTITY, UNIFORMS, crop_boxes
from pinas_zoo.data.images import Images, ViewsOptions
from pinas_zoo.data.loader import BatchPart
from pinas_zoo.data.splits import load_splits
from pinas_zoo.search.config import Data, Views

PLAIN = dict(scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0)


def views(**changes) -> BatchViews:
    return BatchViews(Views(**{**PLAIN, **changes}), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def draw(module: BatchViews, pixels: torch.Tensor, count: int = 1, seed: int = 0) -> torch.Tensor:
    return module(pixels, torch.Generator().manual_seed(seed), count)


def drawn(options: Views, shape: tuple[int, int], size: int, views: tuple[int, ...], seed: int = 0) -> ViewDraws:
    return draw_views(options, *shape, np.random.default_rng(seed).random((*views, UNIFORMS)), size)


@pytest.fixture
def whole_batches(monkeypatch):
    """Views are made for a whole batch even where one image at a time would be faster."""
    monkeypatch.setattr(per_batch, "ON_CPU", (10**6, 10**6))


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
    grey = draw(views(gray_p=1.0), pixels)[:, 0]
    torch.testing.assert_close(grey, expected, rtol=0, atol=0.5 / 255 + 1e-3)  # rounded to a level
    assert torch.equal(grey[:, 0], grey[:, 2])


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5])
def test_blur_is_torchvisions(sigma):
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    matrices = per_batch.blur_matrices(np.array([sigma, 2.0]), 24)
    radius = (round(6 * sigma + 1) | 1) // 2
    expected = TF.gaussian_blur(images, 2 * radius + 1, sigma)
    torch.testing.assert_close(matrices[0] @ images @ matrices[0].T, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_blur_wider_than_the_view_is_opencvs(size):
    image = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    x = torch.from_numpy(image).permute(2, 0, 1).float().unsqueeze(0)
    per_batch.blur(x, np.array([2.5]))
    theirs = cv2.GaussianBlur(image, (0, 0), 2.5)  # with weights of 8 bits
    assert np.abs(x[0].permute(1, 2, 0).numpy() - theirs).max() <= 2


def test_brightness_contrast_saturation_stay_within_their_ranges(pixels):
    grey = torch.full((500, 3, 8, 8), 100, dtype=torch.uint8)
    factors = draw(views(jitter=(0.4, 0.0, 0.0, 0.0), jitter_p=1.0), grey)[:, 0, 0, 0, 0] / (100 / 255)
    assert 0.5999 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4001
    untouched = draw(views(jitter=(0.0, 0.4, 0.4, 0.4), jitter_p=1.0), grey)[:, 0]  # of one grey, nothing to change
    torch.testing.assert_close(untouched, grey / 255, rtol=0, atol=1e-4)


def test_crops_have_the_area_that_was_asked_for():
    """Over a ramp from 0 to 1, a crop's range of values is its width and height; their product its area."""
    ramp = torch.arange(64).mul(4).to(torch.uint8)
    pixels = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), torch.zeros(64, 64, dtype=torch.uint8)])
    crops = draw(views(scale=(0.2, 0.6), ratio=(0.75, 4 / 3)), pixels.expand(1000, -1, -1, -1))[:, 0]
    per_pixel = (crops[:, 0, 32, 56] - crops[:, 0, 32, 8]) / 48, (crops[:, 1, 56, 32] - crops[:, 1, 8, 32]) / 48
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


@pytest.mark.parametrize(
    "shape", [(375, 500), (500, 333), (100, 1000), (3000, 1), (32, 32)], ids=str
)  # in some few fit
@pytest.mark.parametrize("scale", [(0.2, 1.0), (0.08, 1.0)], ids=str)
def test_crops_are_distributed_as_torchvisions(shape, scale):
    uniforms = np.random.default_rng(0).random((3000, UNIFORMS))
    torch.manual_seed(0)
    blank = torch.empty(3, *shape)
    ours = crop_boxes(scale, (0.75, 4 / 3), *shape, uniforms).astype(float)
    theirs = np.array([T.RandomResizedCrop.get_params(blank, scale, (0.75, 4 / 3)) for _ in range(3000)], float)

    def facts(boxes: np.ndarray) -> np.ndarray:
        top, left, height, width = boxes.T
        return np.stack([top, left, height, width, height * width, np.log(width / height)], 1)

    same_distribution(facts(ours), facts(theirs), f"top, left, height, width, area, log aspect of {shape}")


@pytest.mark.parametrize("operation", ["saturation", "hue", "grey", "brightness", "contrast", "blur"])
def test_operations_on_uint8_are_torchvisions_on_pillow(photo, operation):
    picture, factor = Image.fromarray(photo), np.float32(1.3)
    if operation == "blur":
        ours, theirs = cv2.GaussianBlur(photo, (0, 0), 1.5), TF.gaussian_blur(picture, 23, 1.5)
    elif operation == "grey":
        ours, theirs = per_image.saturate(photo, 0.0), TF.rgb_to_grayscale(picture, 3)
    elif operation == "hue":
        ours, theirs = per_image.turn_hue(photo, np.float32(-0.3)), TF.adjust_hue(picture, -0.3)
    else:
        number = ["brightness", "contrast", "saturation"].index(operation)
        ours, theirs = per_image.jitter(photo, number, factor), getattr(TF, f"adjust_{operation}")(picture, factor)
    difference = np.abs(ours.astype(int) - np.asarray(theirs).astype(int))
    assert difference.mean() < 1.0, difference.mean()  # of 255: each rounds in its own way
    assert np.percentile(difference, 99) <= (8 if operation == "hue" else 4)  # a step of hue is up to six levels
    assert np.abs(ours.astype(int) - photo).mean() > 4  # there is something to compare


@pytest.mark.parametrize("operation", range(4), ids=["brightness", "contrast", "saturation", "hue"])
def test_operations_on_a_batch_are_those_on_uint8(photo, operation):
    """Equal, but for OpenCV's arithmetic in few bits: of the saturation a level in 10 % of the values at most, and of
    the hue, whose steps are up to six levels, in 1 %."""
    factors = np.array([-0.4, -0.1, 0.25, 0.4] if operation == 3 else [0.0, 0.6, 1.3, 1.9], np.float32)
    batch = torch.from_numpy(photo).permute(2, 0, 1).float().expand(4, -1, -1, -1).clone()
    made = per_batch.OPERATIONS[operation](batch, torch.from_numpy(factors).view(-1, 1, 1, 1))  # 4 x 3 x H x W
    ours = made.permute(0, 2, 3, 1).numpy()
    theirs = np.stack([per_image.jitter(photo, operation, factor) for factor in factors])
    assert (ours != theirs).mean() <= (0, 0, 0.1, 0.01)[operation]
    assert np.abs(ours - theirs).mean() <= (0, 0, 0.1, 0.02)[operation]


SHAPES = [(32, 32, 32), (32, 32, 16), (24, 24, 33), (120, 160, 48), (7, 90, 24), (300, 2, 24), (1, 1, 8), (500, 20, 32)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)  # height, width, size of a view
@pytest.mark.parametrize("options", [{}, dict(jitter_p=0.0, gray_p=0.0, blur_p=0.0)], ids=["all", "crop"])
def test_both_executors_make_the_same_views(shape, options, whole_batches):
    """Of noise, where neighbours differ most: within a quarter of a level on average (measured: 0.15), and 99 % of the
    values within two. Only cropped: within 1/20 on average and two everywhere, since uint8 takes weights of 16 bits."""
    *sides, size = shape
    images = torch.randint(0, 256, (12, 3, *sides), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    draws = drawn(Views(**options), tuple(sides), size, (12, 4))
    batch = BatchViews(Views(), (0.0,) * 3, (1 / 255,) * 3).views(images, draws).numpy()
    each = np.stack([image_views(x.permute(1, 2, 0).numpy(), draws[n]) for n, x in enumerate(images)])
    difference = np.abs(batch - each.transpose(0, 1, 4, 2, 3))
    assert difference.mean() < 0.25
    assert np.percentile(difference, 99) <= 2
    if options:
        assert difference.mean() < 0.05
        assert difference.max() <= 2.01


def test_which_executor_makes_views_of_a_batch_depends_on_the_size_alone(whole_batches, monkeypatch):
    pixels = torch.randint(0, 256, (3, 3, 50, 60), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    draws, module = drawn(Views(), (50, 60), 24, (3, 2)), BatchViews(Views(), (0.0,) * 3, (1 / 255,) * 3)
    batch = module.views(pixels, draws)
    monkeypatch.setattr(per_batch, "ON_CPU", (0, 0))
    one_at_a_time = module.views(pixels, draws)
    assert (batch - one_at_a_time).abs().mean() < 0.25
    each = np.stack([image_views(x.permute(1, 2, 0).numpy(), draws[n]) for n, x in enumerate(pixels)])
    torch.testing.assert_close(one_at_a_time, torch.from_numpy(each).permute(0, 1, 4, 2, 3).float())


def test_views_of_a_batch_do_not_depend_on_how_many_are_made_at_once(pixels, monkeypatch):
    draws, module = drawn(Views(), (12, 12), 16, (4, 3)), BatchViews(Views(), (0.0,) * 3, (1 / 255,) * 3)
    at_once = module.views(pixels, draws)
    monkeypatch.setattr(per_batch, "CHUNK", 1)
    assert (module.views(pixels, draws) - at_once).abs().mean() < 0.01  # products of another shape round otherwise


def test_what_is_drawn_is_distributed_as_asked():
    options = Views(jitter=(0.4, 0.8, 1.5, 0.3), flip=0.3, gray_p=0.25, jitter_p=0.6, blur_p=0.7, blur_sigma=(0.5, 2.0))
    draws = drawn(options, (40, 40), 32, (20000,))
    changed = (draws.factors != IDENTITY).all(1)
    shares = draws.flip.mean(), draws.grey.mean(), changed.mean(), (draws.sigma > 0).mean()
    assert shares == pytest.approx((0.3, 0.25, 0.6, 0.7), abs=0.02)
    factors, sigma = draws.factors[changed], draws.sigma[draws.sigma > 0]
    assert factors.min(0) == pytest.approx((0.6, 0.2, 0.0, -0.3), abs=0.01)
    assert factors.max(0) == pytest.approx((1.4, 1.8, 2.5, 0.3), abs=0.01)
    assert factors.mean(0) == pytest.approx((1, 1, 1.25, 0), abs=0.03)
    assert (sigma.min(), sigma.max(), sigma.mean()) == pytest.approx((0.5, 2.0, 1.25), abs=0.02)
    orders, counts = np.unique(draws.order, axis=0, return_counts=True)
    assert len(orders) == 24
    assert (np.abs(counts / 20000 - 1 / 24) < 0.01).all()
    parameters = np.stack([*draws.factors[changed].T, draws.flip[changed], draws.grey[changed], draws.sigma[changed]])
    assert np.abs(np.corrcoef(parameters) - np.eye(7)).max() < 0.05


@pytest.mark.parametrize("executor", ["image", "batch"])
def test_views_of_an_image_are_distributed_as_torchvisions(photo, executor, whole_batches):
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
    draws = drawn(Views(), photo.shape[:2], size, (1, count))
    if executor == "image":
        ours = image_views(photo, draws[0])
    else:
        one = torch.from_numpy(photo).permute(2, 0, 1).unsqueeze(0)
        ours = BatchViews(Views(), (0.0,) * 3, (1 / 255,) * 3).views(one, draws)[0].permute(0, 2, 3, 1).numpy()

    def facts(views: np.ndarray) -> np.ndarray:
        x = views.astype(float)  # n x H x W x 3
        side = x[:, :, size // 2 :].mean((1, 2)) - x[:, :, : size // 2].mean((1, 2))
        sharpness = np.abs(np.diff(x, axis=1)).mean((1, 2, 3)), np.abs(np.diff(x, axis=2)).mean((1, 2, 3))
        colour = (x.max(3) - x.min(3)).mean((1, 2))
        return np.concatenate([x.mean((1, 2)), x.std((1, 2)), side, np.stack([*sharpness, colour, colour < 1], 1)], 1)

    same_distribution(facts(ours), facts(theirs), "mean, std, right minus left, sharpness, colour")


def test_views_of_an_image_follow_from_seed_step_and_position(photo):
    def made(seed: int, step: int, position: int) -> np.ndarray:
        (uniforms,) = view_uniforms(seed, step, [position], 4)
        return image_views(photo, draw_views(Views(), *photo.shape[:2], uniforms, 32))

    first, again = made(5, 1, 2), made(5, 1, 2)
    assert first.shape == (4, 32, 32, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert all(not np.array_equal(first, made(*other)) for other in [(6, 1, 2), (5, 2, 2), (5, 1, 3)])
    plain = image_views(photo[:, :120], drawn(Views(**PLAIN), (120, 120), 120, (1,)))[0]
    assert np.array_equal(plain, photo[:, :120])


def test_views_are_made_where_the_pixels_are(pixels):
    made = draw(BatchViews(Views(), (0.5,) * 3, (0.2,) * 3), pixels.to("meta"), 2)
    assert (made.device.type, made.shape) == ("meta", (len(pixels), 2, *pixels.shape[1:]))


def test_a_batch_is_the_same_however_many_ranks_share_it(pixels):
    module, images = BatchViews(Views(), (0.5,) * 3, (0.25,) * 3), Images(pixels, torch.arange(4))

    def made(part: BatchPart) -> torch.Tensor:
        batch = images.step_batch(part, ViewsOptions(Views(), 2, seed=3))
        return module.views(batch["pixels"], batch["draws"])

    whole = made(BatchPart(7, 0, [3, 1, 0, 2]))
    halves = [made(BatchPart(7, 0, [3, 1])), made(BatchPart(7, 2, [0, 2]))]
    torch.testing.assert_close(torch.cat(halves), whole)
