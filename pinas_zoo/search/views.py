"""Augmented views of a whole batch at once, on the device where the network runs.

The operations are those of sec. 4.1: random resized crop, mirroring, colour jitter, grey, blur. Each image of each
view draws its own parameters from a generator that the caller seeds by step, so that a view is a function of
(run seed, step, rank) and loader processes hold no random state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.search import config

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as PIL converts to grey


class BatchViews(nn.Module):
    """uint8 N x 3 x H x W to normalised float N x V x 3 x H x W.

    Args:
        options: Distribution of the augmentation.
        mean: Per channel, of pixel values in 0..1.
        std: Likewise.
    """

    def __init__(self, options: config.Views, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.options = options
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.luma: torch.Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("luma", torch.tensor(LUMA).view(1, -1, 1, 1), persistent=False)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Without augmentation: uint8 N x 3 x H x W to float N x 3 x H x W."""
        return (pixels.float() / 255 - self.mean) / self.std

    @torch.no_grad()
    def forward(self, pixels: torch.Tensor, generator: torch.Generator, num_views: int) -> torch.Tensor:
        x = pixels.float() / 255
        views = [(self._augment(x, generator) - self.mean) / self.std for _ in range(num_views)]
        return torch.stack(views, 1)

    def _augment(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        def uniform(low: float = 0.0, high: float = 1.0) -> torch.Tensor:
            drawn = torch.rand(len(x), generator=generator) * (high - low) + low
            return drawn.to(x.device).view(-1, 1, 1, 1)  # N x 1 x 1 x 1

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
