"""Random parameters of views, as torchvision distributes them.

A view takes ``UNIFORMS`` numbers in 0..1, whatever the options are and whatever it turns out to be. Their order is the
layout below. They follow from the run's seed, the step and the image's position in the global batch, so that a view
does not depend on where the image is kept, on loader workers, or on the number of processes that share a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from pinas_zoo.data.options import Views
from pinas_zoo.rng import Stream, step_rng

CROP_ATTEMPTS = 10  # torchvision's

# the layout of a view's uniform numbers
AREA = slice(0, CROP_ATTEMPTS)  # of the crop, one for each attempt
ASPECT = slice(CROP_ATTEMPTS, 2 * CROP_ATTEMPTS)
TOP, LEFT, FLIP, JITTER, ORDER = range(2 * CROP_ATTEMPTS, 2 * CROP_ATTEMPTS + 5)
FACTORS = slice(ORDER + 1, ORDER + 5)  # brightness, contrast, saturation, hue
GREY, BLUR, SIGMA = range(ORDER + 5, ORDER + 8)
UNIFORMS = SIGMA + 1

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)  # operations of the jitter
IDENTITY = np.array([1, 1, 1, 0], dtype=np.float32)  # factors with which the jitter's operations change nothing
ORDERS = np.array(list(permutations(range(4))))  # 24 x 4


@dataclass(frozen=True)
class ViewDraws:
    """What is done to images to make views of them; arrays of a common leading shape, such as N x V.

    It holds NumPy arrays, not tensors: which operations an image gets decides what is launched on the device, and
    reading that back from the device would stall it.
    """

    size: int  # height and width of a view in pixels
    box: np.ndarray  # … x 4, int64: top, left, height and width of the crop in pixels of the image
    flip: np.ndarray  # …, bool
    order: np.ndarray  # … x 4, int64: operations of the jitter, first to last
    factors: np.ndarray  # … x 4, float32: brightness, contrast, saturation; hue in circles; IDENTITY is no jitter
    grey: np.ndarray  # …, bool
    sigma: np.ndarray  # …, float32: of the blur in pixels of the view; 0 is no blur

    @property
    def shape(self) -> tuple[int, ...]:
        return self.flip.shape

    def __getitem__(self, index: Any) -> ViewDraws:
        """Draws of some images or views: an index, slice, or mask of the leading dimensions."""
        return ViewDraws(
            self.size,
            *(value[index] for value in (self.box, self.flip, self.order, self.factors, self.grey, self.sigma)),
        )

    def flattened(self) -> ViewDraws:
        """N x V draws as NV."""
        n, v = self.shape
        return ViewDraws(
            self.size,
            self.box.reshape(n * v, 4),
            self.flip.reshape(n * v),
            self.order.reshape(n * v, 4),
            self.factors.reshape(n * v, 4),
            self.grey.reshape(n * v),
            self.sigma.reshape(n * v),
        )


def view_uniforms(
    seed: int, step: int, positions: Iterable[int], num_views: int, stream: Stream = Stream.IMAGE_VIEWS
) -> np.ndarray:
    """Uniform numbers for the views of a step's images: N x V x UNIFORMS.

    Args:
        seed: Of the run.
        step: Of the stage.
        positions: Of the images in the step's global batch.
        num_views: Views of each image.
        stream: Of the split's random numbers.
    """
    drawn = [step_rng(seed, step, stream, at).random((num_views, UNIFORMS)) for at in positions]
    return np.stack(drawn)  # N x V x UNIFORMS


def draw_views(
    options: Views, height: int | np.ndarray, width: int | np.ndarray, uniforms: np.ndarray, size: int
) -> ViewDraws:
    """Map uniform numbers to random parameters.

    Args:
        options: Distribution of the augmentation.
        height: Of the images, in pixels; of a shape that broadcasts to the leading one of ``uniforms``.
        width: Likewise.
        uniforms: … x UNIFORMS, in 0..1.
        size: Height and width of a view in pixels.
    """
    u = uniforms
    factors = np.empty((*u.shape[:-1], 4), dtype=np.float32)
    for operation, strength in enumerate(options.jitter):
        low, high = (-strength, strength) if operation == HUE else (max(0.0, 1 - strength), 1 + strength)
        factors[..., operation] = low + (high - low) * u[..., FACTORS][..., operation]
    factors = np.where(u[..., JITTER, None] < options.jitter_p, factors, IDENTITY)
    low, high = options.blur_sigma
    return ViewDraws(
        size=size,
        box=crop_boxes(options.scale, options.ratio, height, width, u),
        flip=u[..., FLIP] < options.flip,
        order=ORDERS[(u[..., ORDER] * len(ORDERS)).astype(np.int64)],  # … x 4
        factors=factors,
        grey=u[..., GREY] < options.gray_p,
        sigma=np.where(u[..., BLUR] < options.blur_p, low + (high - low) * u[..., SIGMA], 0).astype(np.float32),
    )


def crop_boxes(
    scale: tuple[float, float],
    ratio: tuple[float, float],
    height: int | np.ndarray,
    width: int | np.ndarray,
    uniforms: np.ndarray,
) -> np.ndarray:
    """Top, left, height and width of random crops (… x 4), distributed as torchvision's ``RandomResizedCrop``.

    The area relative to the image is uniform in ``scale`` and the aspect log-uniform in ``ratio``. The first of ten
    attempts that fits in the image is taken, or else the largest central crop of an aspect within ``ratio``.
    """
    leading = uniforms.shape[:-1]
    rows, columns = (np.broadcast_to(side, leading) for side in (height, width))  # …
    area = (rows * columns)[..., None] * (scale[0] + (scale[1] - scale[0]) * uniforms[..., AREA])  # … x attempts
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = np.exp(low + (high - low) * uniforms[..., ASPECT])  # … x attempts
    w, h = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))  # … x attempts
    fits = (w > 0) & (h > 0) & (w <= columns[..., None]) & (h <= rows[..., None])
    first = fits.argmax(-1)[..., None]
    w, h = (np.take_along_axis(side, first, -1)[..., 0] for side in (w, h))  # …
    found = fits.any(-1)
    if not found.all():
        nearest = np.clip(columns / rows, *ratio)
        w = np.where(found, w, np.minimum(columns, np.rint(rows * nearest)))
        h = np.where(found, h, np.minimum(rows, np.rint(columns / nearest)))
    w, h = w.astype(np.int64), h.astype(np.int64)
    top = np.where(found, (uniforms[..., TOP] * (rows - h + 1)).astype(np.int64), (rows - h) // 2)
    left = np.where(found, (uniforms[..., LEFT] * (columns - w + 1)).astype(np.int64), (columns - w) // 2)
    return np.stack([np.minimum(top, rows - h), np.minimum(left, columns - w), h, w], -1)  # … x 4
