"""Bytes of an image file to pixels, and pixels to the size that a network sees without augmentation."""

from __future__ import annotations

import io
from typing import Literal

import cv2
import numpy as np
from PIL import Image

Interpolation = Literal["bicubic", "bilinear"]
RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
LARGEST = 64  # a resized image has at most so many times the pixels of the crop, or it is cropped first


def decode(data: bytes) -> np.ndarray:
    """A file's bytes to uint8 H x W x 3 in RGB, as Pillow gives it.

    Raises:
        OSError: Not an image, or a truncated one.
    """
    if data[:2] == b"\xff\xd8" and data.rstrip(b"\0").endswith(b"\xff\xd9"):  # a torn JPEG decodes to half a picture
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if image is not None:
            return image
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def fit(image: np.ndarray, size: int, crop_pct: float, interpolation: Interpolation = "bicubic") -> np.ndarray:
    """Shorter side to ``size / crop_pct`` pixels, then the centre: uint8 H x W x 3 to size x size x 3.

    Args:
        image: uint8 H x W x 3.
        size: Height and width of the result in pixels.
        crop_pct: ``size`` relative to the resized shorter side.
        interpolation: Pillow's filter, which also averages where the image becomes smaller.
    """
    if image.shape[:2] == (size, size) and crop_pct == 1:
        return image
    picture = Image.fromarray(image)
    how = RESAMPLING[interpolation]
    scale = round(size / crop_pct) / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    if width * height > LARGEST * size**2:  # a long, narrow image: resize no more of it than is kept
        across, down = picture.width / width, picture.height / height
        right, bottom = (left + size) * across, (top + size) * down
        box = (left * across, top * down, min(right, picture.width), min(bottom, picture.height))
        return np.array(picture.resize((size, size), how, box=box))
    return np.array(picture.resize((width, height), how).crop((left, top, left + size, top + size)))
