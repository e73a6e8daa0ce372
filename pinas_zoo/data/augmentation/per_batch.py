"""Views of a batch of images of one size, on the device where the network runs; also what normalises pixels.

Crops and blurs are products with one matrix a side and image. An operation runs on those images alone that have it, in
each image's own order. Values are kept in 0..255 and rounded after each operation as :mod:`.per_image` does on uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from pinas_zoo.data.augmentation.draw import IDENTITY, UNIFORMS, ViewDraws, draw_views
from pinas_zoo.data.augmentation.per_image import LUMA, image_views
from pinas_zoo.data.options import Views
from pinas_zoo.data.upload import upload

CHUNK = 2**25  # values that are in work at once, 128 MiB
ON_CPU = 40, 120  # sides of views and images in pixels above which a CPU is faster with one image at a time
Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # n x 3 x H x W, n x 1 x 1 x 1 to n x 3 x H x W


class BatchViews(nn.Module):
    """uint8 N x 3 x H x W to augmented, normalised float N x V x 3 x S x S.

    Views have the precision of the buffers ``mean`` and ``std``: fp32, or fp64 after ``double()``.

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
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalise without augmentation: uint8 … x 3 x H x W to float of the same shape."""
        self.to(pixels.device)
        planes = pixels.contiguous().to(self.mean.dtype)  # broadcasting over interleaved channels takes twice as long
        return planes.sub_(self.mean * 255).div_(self.std * 255)

    def forward(self, pixels: torch.Tensor, generator: torch.Generator, num_views: int) -> torch.Tensor:
        """Views of the images' own size, drawn here: uint8 N x 3 x S x S to N x V x 3 x S x S.

        Args:
            pixels: Square images.
            generator: On the CPU.
            num_views: Views of each image.
        """
        height, width = pixels.shape[-2:]
        uniforms = torch.rand(len(pixels), num_views, UNIFORMS, generator=generator, dtype=torch.float64).numpy()
        return self.views(pixels, draw_views(self.options, height, width, uniforms, size=width))

    @torch.no_grad()
    def views(self, pixels: torch.Tensor, draws: ViewDraws) -> torch.Tensor:
        """Views that are drawn already: uint8 N x 3 x H x W and N x V draws to N x V x 3 x S x S."""
        self.to(pixels.device)
        (count, num_views), size = draws.shape, draws.size
        height, width = pixels.shape[-2:]
        if pixels.device.type == "cpu" and (size > ON_CPU[0] or max(height, width) > ON_CPU[1]):
            images = pixels.permute(0, 2, 3, 1).contiguous().numpy()  # N x H x W x 3
            each = np.stack([image_views(image, draws[n]) for n, image in enumerate(images)])  # N x V x S x S x 3
            return self.normalise(torch.from_numpy(each).permute(0, 1, 4, 2, 3))  # N x V x 3 x S x S
        made = torch.empty(count, num_views, 3, size, size, dtype=self.mean.dtype, device=pixels.device)
        values = 3 * height * (width + num_views * size) + num_views * size * (height + width + 9 * size)  # an image
        together = max(1, CHUNK // values)
        for start in range(0, count, together):
            some = draws[start : start + together]
            x = crop(pixels[start : start + together], some)  # nV x 3 x S x S
            recolour(x, some.flattened())
            blur(x, some.sigma.reshape(-1))
            made[start : start + together] = x.sub_(self.mean * 255).div_(self.std * 255).view(-1, *made.shape[1:])
        return made  # N x V x 3 x S x S


def crop(pixels: torch.Tensor, draws: ViewDraws) -> torch.Tensor:
    """Crop, resample and mirror: uint8 N x 3 x H x W and N x V draws to float NV x 3 x S x S in 0..255."""
    (n, v), s = draws.shape, draws.size
    h, w = pixels.shape[-2:]
    box = upload(draws.box.reshape(n * v, 4).astype(np.float32), pixels.device)
    flip = upload(draws.flip.reshape(n * v, 1), pixels.device)
    by_rows = resampling(box[:, 0], box[:, 2], h, s)  # NV x S x H
    by_columns = resampling(box[:, 1], box[:, 3], w, s, flip)  # NV x S x W
    x = pixels.float().reshape(n, 3 * h, w) @ by_columns.view(n, v * s, w).transpose(1, 2)  # N x 3H x VS
    x = x.round_().view(n, 3, h, v, s).permute(0, 3, 2, 1, 4).reshape(n * v, h, 3 * s)  # NV x H x 3S
    x = by_rows @ x  # NV x S x 3S
    return x.round_().view(n * v, s, 3, s).transpose(1, 2).contiguous()  # NV x 3 x S x S


def resampling(
    first: torch.Tensor, length: torch.Tensor, pixels: int, size: int, flip: torch.Tensor | None = None
) -> torch.Tensor:
    """Matrices that resample ``length`` of ``pixels`` pixels from ``first`` on to ``size``: N x size x pixels.

    The filter is a triangle as wide as the step between samples, or as two pixels where the crop is enlarged.

    Args:
        first: N.
        length: N.
        pixels: Of the image along this side.
        size: Of the view.
        flip: N x 1; where the view is mirrored along this side.
    """
    step = (length / size).unsqueeze(1)  # N x 1
    sample = torch.arange(size, device=first.device) + 0.5
    at = sample * step  # N x size
    if flip is not None:
        at = torch.where(flip, length.unsqueeze(1) - at, at)
    pixel = torch.arange(pixels, device=first.device) + 0.5 - first.unsqueeze(1)  # N x pixels
    inside = (pixel > 0) & (pixel < length.unsqueeze(1))
    distance = (pixel.unsqueeze(1) - at.unsqueeze(2)).abs_()  # N x size x pixels
    weights = distance.div_(step.clamp(min=1).unsqueeze(2)).neg_().add_(1).clamp_(min=0).mul_(inside.unsqueeze(1))
    return weights.div_(weights.sum(2, keepdim=True))


def recolour(x: torch.Tensor, draws: ViewDraws) -> None:
    """Jitter and grey, in place: N x 3 x S x S."""
    for place in range(4):
        for number, operation in enumerate(OPERATIONS):
            factors = draws.factors[:, number]
            _change(x, (draws.order[:, place] == number) & (factors != IDENTITY[number]), operation, factors)
    _change(x, draws.grey, saturate, np.zeros(len(x), np.float32))


def _change(x: torch.Tensor, where: np.ndarray, operation: Operation, factors: np.ndarray) -> None:
    """Apply an operation to some of the images, in place: N x 3 x S x S; mask and factors are N."""
    chosen = np.flatnonzero(where)  # n
    if len(chosen):
        rows = upload(chosen, x.device)
        x.index_copy_(0, rows, operation(x[rows], upload(factors[chosen], x.device).view(-1, 1, 1, 1)))


def brightness(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return x.mul_(factor).clamp_(max=255).floor_()


def contrast(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    middle = _grey(x.mean((2, 3), keepdim=True)).add_(0.5).floor_()  # n x 1 x 1 x 1
    return x.sub_(middle).mul_(factor).add_(middle).clamp_(0, 255).floor_()


def saturate(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Blend of grey (0) and the image (1)."""
    grey = _grey(x).mul_(1 - factor)  # n x 1 x H x W
    return x.mul_(factor).add_(grey).clamp_(0, 255).round_()


def _grey(x: torch.Tensor) -> torch.Tensor:
    """n x 3 x H x W to n x 1 x H x W."""
    r, g, b = x.split(1, 1)
    return (r * LUMA[0]).add_(g, alpha=LUMA[1]).add_(b, alpha=LUMA[2])


def turn_hue(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn the hue of HSV by ``turn`` circles, with hue and saturation rounded to uint8 as OpenCV has them."""
    high, low = x.amax(1), x.amin(1)  # n x H x W
    chroma = high - low
    r, g, b = x.unbind(1)
    sixths = torch.where(high == r, g - b, torch.where(high == g, b - r + 2 * chroma, r - g + 4 * chroma))
    hue = sixths.div_(chroma.clamp(min=1)).mul_(256 / 6).round_()  # in 256 steps a circle; below 0 in part
    hue = hue.add_((turn * 255).trunc_().squeeze(1)).remainder_(256).mul_(6 / 255)  # OpenCV's way back has 255 steps
    chroma = chroma.mul_(255).div_(high.clamp(min=1)).round_().mul_(high / 255)  # n x H x W
    k = (
        hue.unsqueeze(1)
        .repeat(1, 3, 1, 1)
        .add_(torch.arange(5, 0, -2, device=x.device, dtype=x.dtype).view(3, 1, 1))
        .remainder_(6)
    )
    weights = torch.minimum(k, 4 - k).clamp_(0, 1)  # n x 3 x H x W
    return (high.unsqueeze(1) - weights.mul_(chroma.unsqueeze(1))).round_()


OPERATIONS: tuple[Operation, ...] = (brightness, contrast, saturate, turn_hue)  # in the order of ``factors``


def blur(x: torch.Tensor, sigma: np.ndarray) -> None:
    """Gaussian blur of the images whose sigma is not 0, in place: N x 3 x S x S; N."""
    chosen = np.flatnonzero(sigma)  # n
    if not len(chosen):
        return
    rows = upload(chosen, x.device)
    matrix = blur_matrices(sigma[chosen], x.shape[-1], x.device).unsqueeze(1)  # n x 1 x S x S
    x.index_copy_(0, rows, (matrix @ (x[rows] @ matrix.transpose(2, 3))).round_())


def blur_matrices(sigma: np.ndarray, size: int, device: torch.device | None = None) -> torch.Tensor:
    """Gaussian blur along a side of so many pixels, which are reflected at the ends: N to N x size x size."""
    radius = (np.rint(6 * sigma + 1).astype(int) | 1) // 2  # OpenCV's for uint8: three standard deviations
    offset = np.arange(-radius.max(), radius.max() + 1)  # K
    kernel = np.exp(-0.5 * (offset / sigma[:, None]) ** 2) * (np.abs(offset) <= radius[:, None])  # N x K
    kernel /= kernel.sum(1, keepdims=True)
    source = np.abs(offset[:, None] + np.arange(size)) % max(1, 2 * size - 2)  # K x size
    source = np.minimum(source, 2 * size - 2 - source)  # the edge pixel itself is not repeated
    taps = upload(source, device).unsqueeze(2) == torch.arange(size, device=device)  # K x size x size
    weights = upload(kernel.astype(np.float32), device)
    return (weights @ taps.flatten(1).float()).view(-1, size, size)
