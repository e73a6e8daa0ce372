"""Folders of small pictures whose classes differ in colour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"amber": (220, 160, 30), "blue": (40, 60, 200), "cyan": (30, 190, 190), "dark": (30, 30, 30)}


def picture_folder(
    root: Path, train: int = 8, test: int = 4, classes: Sequence[str] = ("amber", "blue", "cyan"), suffix: str = ".png"
) -> Path:
    """``root/train`` and ``root/validation`` with a folder of noisy pictures a class, of several sizes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("validation", test)):
        for name in classes:
            place = root / split / name
            place.mkdir(parents=True)
            for number in range(count):
                height, width = rng.integers(30, 60, 2)
                noise = rng.normal(0, 40, (height, width, 3))
                pixels = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}{suffix}")
    return root
