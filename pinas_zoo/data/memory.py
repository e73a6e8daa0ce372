"""Holds decoded images in memory at the resolution of their files, when they fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pinas_zoo.data.images import DecodedImages, Files, Images, ImageSet

SAMPLE = 64  # images whose sizes say whether it is worth decoding all of them
LARGEST_OF_BATCH = 2**22  # pixels; the views of larger images are made one at a time


def hold_in_memory(parts: Sequence[Files], limit: float) -> Sequence[ImageSet]:
    """Decode all parts of a data set, or none when they would take more than ``limit`` bytes.

    A sample decides whether decoding starts; decoding ends as soon as real sizes pass the limit. Counted are the images
    and, where it differs from them, what the network sees without augmentation, which is kept once it is made.

    Args:
        parts: Of one data set; all become sets of one kind, so that they can be joined.
        limit: Bytes.

    Returns:
        :class:`Images` when all have one size, :class:`DecodedImages` when they do not, ``parts`` when they do not fit.

    Raises:
        UserError: An image cannot be decoded.
    """
    total = sum(map(len, parts))
    if 3 * total > limit:  # a pixel each
        return parts
    sample = [
        part.read(row).shape
        for part in parts
        for row in np.unique(np.linspace(0, len(part) - 1, -(-SAMPLE * len(part) // total), dtype=np.int64)).tolist()
    ]
    if sum(_bytes(shape, parts[0]) for shape in sample) / len(sample) * total > limit:
        return parts
    height, width, _ = sample[0]
    alike = len(set(sample)) == 1 and height * width <= LARGEST_OF_BATCH
    held: list[tuple[torch.Tensor, list[np.ndarray]]] = []
    taken = 0
    for part in parts:
        pixels = torch.empty(len(part) if alike else 0, 3, height, width, dtype=torch.uint8)  # takes no memory yet
        arrays: list[np.ndarray] = []
        for image in part.read_all():
            taken += _bytes(image.shape, part)
            if taken > limit:
                return parts
            if alike and image.shape == sample[0]:
                row = pixels[len(arrays)].permute(1, 2, 0).numpy()  # H x W x 3, shares the tensor's memory
                row[:] = image
                image = row
            arrays.append(image)
        held.append((pixels, arrays))
    if alike and all(image.shape == sample[0] for _, arrays in held for image in arrays):
        return [
            Images(pixels, part.labels, part.options.image_size, part.options.crop_pct, part.options.interpolation)
            for part, (pixels, _) in zip(parts, held, strict=True)
        ]
    return [DecodedImages(arrays, part.labels, part.options) for part, (_, arrays) in zip(parts, held, strict=True)]


def _bytes(shape: tuple[int, ...], part: Files) -> int:
    """Return the bytes of an image and of the copy at the network's size that is kept of it."""
    size = part.options.image_size
    same = shape[:2] == (size, size) and part.options.crop_pct == 1
    return 3 * (shape[0] * shape[1] + (0 if same else size**2))
