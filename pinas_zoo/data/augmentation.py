"""Augmented views of images: random resized crop, mirroring, colour jitter, grey, blur (sec. 4.1), in two ways.

:class:`ImageViews`  images that are decoded as they are needed: one at a time, at full size, in the loader's workers.
                     One decoding serves all views; the operations are Pillow's, as torchvision applies them, on uint8.
:class:`BatchViews`  small images that are held in memory at the network's size: a whole batch at once, on the device
                     where the network runs; also what normalises.

Either way a view is a function of (run seed, step, position in the global batch): processes hold no random state, and
it does not matter how many of them share a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.data.options import Views

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as PIL converts to grey
CROP_ATTEMPTS = 10  # torchvision's


class ImageViews:
    """One decoded image to several views; nothing is kept between calls.

    Crops are resampled as Pillow does (a triangle as wide as the step between samples); each operation of the jitter
    rounds and clips to uint8 before the next, as Pillow's do.

    Args:
        options: Distribution of the augmentation.
        size: Height and width of a view in pixels.
    """

    def __init__(self, options: Views, size: int):
        self.options, self.size = options, size

    def __call__(self, image: np.ndarray, rng: np.random.Generator, num_views: int) -> np.ndarray:
        """uint8 H x W x 3 in RGB to uint8 V x size x size x 3."""
        planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)  # 1 x 3 x H x W, channels last
        return np.stack([self._view(planes, rng) for _ in range(num_views)])

    def _view(self, planes: torch.Tensor, rng: np.random.Generator) -> np.ndarray:
        o = self.options
        top, left, height, width = crop_box(planes.shape[2], planes.shape[3], o.scale, o.ratio, rng)
        crop = planes[:, :, top : top + height, left : left + width]
        x = F.interpolate(crop, (self.size, self.size), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
        if rng.random() < o.jitter_p:
            x = self._jitter(x, rng)
        if rng.random() < o.gray_p:
            x = _saturate(x, 0.0)
        if rng.random() < o.blur_p:
            x = cv2.GaussianBlur(x, (0, 0), rng.uniform(*o.blur_sigma))
        if rng.random() < o.flip:
            x = cv2.flip(x, 1)
        return x  # size x size x 3

    def _jitter(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Brightness, contrast, saturation and hue, in random order."""
        values = np.arange(256, dtype=np.float32)
        for operation in rng.permutation(4):
            strength = self.options.jitter[operation]
            if not strength:
                continue
            factor = rng.uniform(max(0.0, 1 - strength), 1 + strength)
            if operation == 0:
                x = cv2.LUT(x, np.clip(values * factor, 0, 255).astype(np.uint8))
            elif operation == 1:
                middle = int(np.dot(LUMA, cv2.mean(x)[:3]) + 0.5)
                x = cv2.LUT(x, np.clip(middle + (values - middle) * factor, 0, 255).astype(np.uint8))
            elif operation == 2:
                x = _saturate(x, factor)
            else:
                x = _turn_hue(x, rng.uniform(-strength, strength))
        return x


def crop_box(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Top, left, height and width of a random crop, distributed as torchvision's ``RandomResizedCrop``.

    Area (relative to the image) uniform in ``scale``, aspect log-uniform in ``ratio``, drawn again when it does not
    fit; after ten times, the largest central crop of an aspect within ``ratio``.
    """
    for _ in range(CROP_ATTEMPTS):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    aspect = min(max(width / height, ratio[0]), ratio[1])
    w, h = min(width, round(height * aspect)), min(height, round(width / aspect))
    return (height - h) // 2, (width - w) // 2, h, w


def _saturate(x: np.ndarray, factor: float) -> np.ndarray:
    """Blend of grey (0) and the image (1): uint8 H x W x 3."""
    matrix = factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1))
    return cv2.transform(x, matrix.astype(np.float32))


def _turn_hue(x: np.ndarray, turn: float) -> np.ndarray:
    """Turn the hue of HSV by ``turn`` full circles: uint8 H x W x 3."""
    hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV_FULL)  # hue in 256 steps a circle, as Pillow's
    hsv[..., 0] += np.uint8(int(turn * 255) % 256)  # wraps
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


class BatchViews(nn.Module):
    """uint8 N x 3 x H x W to normalised float N x V x 3 x H x W.

    Images are bilinearly sampled without a low-pass filter, and a crop that does not fit in the image is cut to its
    side, where torchvision draws again: both matter little at the size of the network's input, where this is used.

    Args:
        options: Distribution of the augmentation.
        mean: Per channel, of pixel values in 0..1.
        std: Likewise.
    """

    def __init__(self, options: Views, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.options = options
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.luma: torch.Tensor
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, -1, 1, 1), persistent=False)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Without augmentation: uint8 … x 3 x H x W to float of that shape."""
        self.to(pixels.device)
        planes = pixels.contiguous().float()  # broadcasting over interleaved channels takes twice as long
        return planes.sub_(self.mean * 255).div_(self.std * 255)

    @torch.no_grad()
    def forward(
        self, pixels: torch.Tensor, generator: torch.Generator, num_views: int, rank: int = 0, world: int = 1
    ) -> torch.Tensor:
        """Views of this rank's share of the batch; draws are made for the whole of it, so that they do not depend on
        how it is shared."""
        self.to(pixels.device)
        x = pixels.float() / 255

        def uniform(low: float = 0.0, high: float = 1.0) -> torch.Tensor:
            drawn = torch.rand(len(x) * world, generator=generator)[rank * len(x) : (rank + 1) * len(x)]
            return (drawn * (high - low) + low).to(x.device).view(-1, 1, 1, 1)  # N x 1 x 1 x 1

        views = [(self._augment(x, uniform, generator) - self.mean) / self.std for _ in range(num_views)]
        return torch.stack(views, 1)

    def _augment(self, x: torch.Tensor, uniform, generator: torch.Generator) -> torch.Tensor:  # type: ignore[no-untyped-def]

        o = self.options
        x = self._crop(x, uniform)
        if o.jitter_p > 0 and any(o.jitter):
            x = torch.where(uniform() < o.jitter_p, self._jitter(x, uniform, generator), x)
        if o.gray_p > 0:
            x = torch.where(uniform() < o.gray_p, self._gray(x).expand_as(x), x)
        if o.blur_p > 0:
            x = torch.where(uniform() < o.blur_p, _blur(x, uniform(*o.blur_sigma).flatten(), o.blur_sigma[1]), x)
        return x

    def _crop(self, x: torch.Tensor, uniform) -> torch.Tensor:  # type: ignore[no-untyped-def]
        """Random resized crop and mirroring in one bilinear sampling."""
        o = self.options
        area = uniform(*o.scale).flatten()
        aspect = torch.exp(uniform(math.log(o.ratio[0]), math.log(o.ratio[1])).flatten())
        height_per_width = x.shape[2] / x.shape[3]
        width = (area * aspect * height_per_width).sqrt().clamp(max=1.0)  # fractions of the image's sides
        height = (area / aspect / height_per_width).sqrt().clamp(max=1.0)
        centre_x = (uniform(-1, 1).flatten()) * (1 - width)
        centre_y = (uniform(-1, 1).flatten()) * (1 - height)
        mirror = torch.where(uniform().flatten() < o.flip, -1.0, 1.0)
        zero = torch.zeros_like(width)
        theta = torch.stack(
            [torch.stack([width * mirror, zero, centre_x], 1), torch.stack([zero, height, centre_y], 1)], 1
        )  # N x 2 x 3
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)  # N x H x W x 2
        return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)

    def _gray(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.luma).sum(1, keepdim=True)  # N x 1 x H x W

    def _jitter(self, x: torch.Tensor, uniform, generator: torch.Generator) -> torch.Tensor:  # type: ignore[no-untyped-def]
        """Brightness, contrast, saturation and hue in an order drawn for the batch; strengths drawn per image."""
        brightness, contrast, saturation, hue = self.options.jitter
        for operation in torch.randperm(4, generator=generator).tolist():
            if operation == 0 and brightness:
                x = x * uniform(max(0.0, 1 - brightness), 1 + brightness)
            elif operation == 1 and contrast:
                middle = self._gray(x).mean((2, 3), keepdim=True)
                x = torch.lerp(middle, x, uniform(max(0.0, 1 - contrast), 1 + contrast))
            elif operation == 2 and saturation:
                x = torch.lerp(self._gray(x).expand_as(x), x, uniform(max(0.0, 1 - saturation), 1 + saturation))
            elif operation == 3 and hue:
                x = _shift_hue(x, uniform(-hue, hue))
            x = x.clamp(0, 1)
        return x


def _shift_hue(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn the hue of HSV by ``turn`` (N x 1 x 1 x 1, in full circles); x is N x 3 x H x W in 0..1."""
    high, low = x.amax(1), x.amin(1)  # N x H x W
    chroma = (high - low).clamp(min=1e-8)
    r, g, b = x.unbind(1)
    hue = torch.where(high == r, (g - b) / chroma, torch.where(high == g, 2 + (b - r) / chroma, 4 + (r - g) / chroma))
    hue = hue + 6 * turn.squeeze(1)  # sixths of a circle
    offsets = x.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1)
    k = (offsets + hue.unsqueeze(1)) % 6  # N x 3 x H x W
    return high.unsqueeze(1) - (high - low).unsqueeze(1) * torch.minimum(k, 4 - k).clamp(0, 1)


def _blur(x: torch.Tensor, sigma: torch.Tensor, max_sigma: float) -> torch.Tensor:
    """Separable Gaussian blur, one sigma (pixels) an image: N x C x H x W, N."""
    n, c, h, w = x.shape
    radius = min(max(1, math.ceil(2.5 * max_sigma)), h - 1, w - 1)
    at = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-0.5 * (at / sigma.view(-1, 1)) ** 2)  # N x K
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)  # NC x K
    y = F.pad(x.reshape(1, n * c, h, w), (radius,) * 4, mode="reflect")
    y = F.conv2d(y, kernel.view(n * c, 1, -1, 1), groups=n * c)
    return F.conv2d(y, kernel.view(n * c, 1, 1, -1), groups=n * c).view(n, c, h, w)
