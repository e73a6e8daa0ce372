"""Masks of semantic segmentation whose pixels are class indices: read as stored, and counted.

mmseg takes the numbers in the file, modulo 256. A palette is not looked at, and colours are not translated.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.image_checks import Header, formats, read_header

LOSSY = ("JPEG", "MPO", "JPEG2000", "AVIF")
ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
IGNORED = 255
LARGEST = 2**26  # pixels
PART = 2**20  # pixels that are counted together


def read_mask_header(path: Path) -> Header:
    """Open a mask without decoding it.

    Raises:
        UserError: It is no image, or has more than one channel, or a format that changes numbers, whatever its name.
    """
    header = read_header(path)
    if header.size[0] * header.size[1] > LARGEST:
        raise UserError(
            f"expected a mask of at most {LARGEST:,} pixels, got {path} of {header.size[0]} x {header.size[1]}; cut it "
            "and its image into parts"
        )
    if header.format in LOSSY:
        raise UserError(
            f"expected class indices in {path}, got a {header.format} file, in which numbers near edges differ from "
            "those that were saved; save masks as PNG, from the original"
        )
    if header.mode not in ONE_CHANNEL:
        raise UserError(
            f"expected one number a pixel, the class index, in {path}, got an image of mode {header.mode}; save masks "
            "with one channel (mode L or P), and turn colours into indices"
        )
    return header


def label_counts(path: Path) -> dict[int, int]:
    """Numbers of pixels by label, as stored.

    Raises:
        UserError: As :func:`read_mask_header`, or the file is damaged.
    """
    read_mask_header(path)
    try:
        with Image.open(path, formats=formats()) as image:
            stored = np.asarray(image)  # H x W; the indices of a palette image
    except Exception as error:  # Pillow raises many types of errors for damaged files
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise UserError(f"expected a mask, got {path}, which cannot be read: {reason}") from None
    if stored.dtype in (np.uint8, np.bool_):
        parts = [np.bincount(part.astype(np.uint8), minlength=256) for part in _parts(stored)]
        counts: np.ndarray = np.stack(parts).sum(0)
        return {int(label): int(counts[label]) for label in counts.nonzero()[0]}
    found: Counter[int] = Counter()
    for part in _parts(stored):
        labels, numbers = np.unique(part, return_counts=True)
        found.update(dict(zip(labels.tolist(), numbers.tolist(), strict=True)))
    return dict(sorted(found.items()))


def _parts(stored: np.ndarray) -> list[np.ndarray]:
    """The pixels in parts, because counting takes eight bytes for each of a part's."""
    flat = stored.reshape(-1)
    return [flat[start : start + PART] for start in range(0, len(flat), PART)]
