"""Views of one image at a time, on uint8: the executor in the loader's workers.

Crops are resampled as Pillow does (a triangle filter as wide as the step between samples). Each operation of the jitter
rounds and clips to uint8 before the next, as Pillow's do.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from pinas_zoo.data.augmentation.draw import BRIGHTNESS, CONTRAST, IDENTITY, SATURATION, ViewDraws

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, with which Pillow converts to grey
LEVELS = np.arange(256, dtype=np.float32)


def image_views(image: np.ndarray, draws: ViewDraws) -> np.ndarray:
    """V views of an image: uint8 H x W x 3 in RGB to uint8 V x S x S x 3."""
    planes = torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)  # 1 x 3 x H x W
    return np.stack([_view(planes, draws[v]) for v in range(draws.shape[0])])  # V x S x S x 3


def _view(planes: torch.Tensor, draw: ViewDraws) -> np.ndarray:
    top, left, height, width = draw.box.tolist()
    crop = planes[:, :, top : top + height, left : left + width]  # 1 x 3 x h x w
    x = F.interpolate(crop, (draw.size, draw.size), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
    for operation in draw.order:
        if draw.factors[operation] != IDENTITY[operation]:
            x = jitter(x, operation, draw.factors[operation])
    if draw.grey:
        x = saturate(x, 0.0)
    if draw.sigma:
        x = cv2.GaussianBlur(x, (0, 0), float(draw.sigma))
    if draw.flip:
        x = cv2.flip(x, 1)
    return x  # S x S x 3


def jitter(x: np.ndarray, operation: int, factor: np.float32) -> np.ndarray:
    """One operation of the colour jitter: uint8 H x W x 3."""
    if operation == BRIGHTNESS:
        return cv2.LUT(x, np.clip(LEVELS * factor, 0, 255).astype(np.uint8))
    if operation == CONTRAST:
        middle = np.float32(int(np.dot(LUMA, cv2.mean(x)[:3]) + 0.5))
        return cv2.LUT(x, np.clip(middle + (LEVELS - middle) * factor, 0, 255).astype(np.uint8))
    if operation == SATURATION:
        return saturate(x, float(factor))
    return turn_hue(x, factor)


def saturate(x: np.ndarray, factor: float) -> np.ndarray:
    """Blend of grey (0) and the image (1): uint8 H x W x 3."""
    matrix = factor * np.eye(3) + (1 - factor) * np.tile(LUMA, (3, 1))
    return cv2.transform(x, matrix.astype(np.float32))


def turn_hue(x: np.ndarray, turn: np.float32) -> np.ndarray:
    """Turn the hue of HSV by ``turn`` circles: uint8 H x W x 3."""
    hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV_FULL)  # hue in 256 steps a circle, as Pillow's
    hsv[..., 0] += np.uint8(int(turn * 255) % 256)  # wraps
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
