"""Image files by their paths; nothing but regular files is opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from pinas_zoo.data.decoding import MAX_BYTES, decode
from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import kind_of, open_regular

LONGEST = 64  # times the shorter side; see central_part


def open_image(path: Path) -> BinaryIO:
    """Open an image file, or say why it is none; pipes, devices and folders are not opened.

    Raises:
        UserError: It is not there, not a regular file, empty, or too large.
    """
    if "\0" in str(path):
        raise UserError(f"expected an image, got {path}, which has a NUL in its name")
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise UserError(f"expected an image, got {path}, which is {kind_of(path.resolve())}")
        if not 0 < found.st_size <= MAX_BYTES:
            size = f"of {found.st_size / 2**20:.0f} MiB, more than {MAX_BYTES // 2**20}" if found.st_size else "empty"
            raise UserError(f"expected an image, got {path}, which is {size}")
        return os.fdopen(open_regular(path), "rb")
    except FileNotFoundError:
        raise UserError(f"expected an image, got {path}, which is not there") from None
    except OSError as error:
        raise UserError(f"expected an image, got {path}, which cannot be read: {error.strerror or error}") from None


def read_pixels(path: Path) -> np.ndarray:
    """An image file to uint8 H x W x 3 in RGB; see :func:`~pinas_zoo.data.decoding.decode`.

    Raises:
        UserError: As :func:`open_image`, or it is not an image that is read.
    """
    with open_image(path) as file:
        try:
            return decode(file)
        except OSError as error:
            raise UserError(f"expected an image, got {path}, which cannot be read: {error}") from None


def why_unreadable(path: Path) -> str | None:
    """The reason why an image file cannot be read, in one line; None when it can be read to its end."""
    try:
        read_pixels(path)
    except UserError as error:
        return str(error)
    return None


def read_image(path: Path, channels: int) -> Image.Image:
    """An image as RGB, or as grey for one channel.

    Raises:
        UserError: As :func:`read_pixels`.
    """
    image = Image.fromarray(read_pixels(path))
    return image if channels == 3 else image.convert("L")


def central_part(image: Image.Image) -> Image.Image:
    """The middle of a long, narrow image, which is what a centre crop takes of it; others are returned as they are.

    Resizing the shorter side of 30000 x 2 pixels to 224 would make an image of 2 GB.
    """
    excess = [max(0, (side - LONGEST * min(image.size)) // 2) for side in image.size]
    if not any(excess):
        return image
    return image.crop((excess[0], excess[1], image.width - excess[0], image.height - excess[1]))
