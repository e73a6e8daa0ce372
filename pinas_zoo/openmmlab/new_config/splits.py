"""Splits of a data set: which one a file or folder belongs to, and a held-out part where none is given."""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Hashable, Mapping
from pathlib import Path

SHARE = 5  # one image of so many is held out, LIMIT at most
LIMIT = 1000
SEED = 0
_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_WORD = re.compile(r"(?<![a-z])(train|training|val|valid|validation|test|testing)(?![a-z])")


def split_of(path: Path) -> str | None:
    """``train``, ``val`` or ``test``, as the last such word of a relative path says (train2017: train), or None."""
    words = [match[1] for part in path.parts for match in _WORD.finditer(part.lower())]
    return _WORDS.get(words[-1], "test") if words else None


def no_validation(held: int, images: int) -> str:
    """What to say about :func:`hold_out`."""
    return f"no validation split: {held} of {images} images are held out for it, the same ones each time"


def hold_out(classes_of: Mapping[str, Collection[Hashable]]) -> tuple[list[str], list[str]]:
    """Names for training and for validation, sorted, the same ones for the same names.

    A class of two images and more is in both, as far as the number of held-out images allows. A single image
    serves both.

    Args:
        classes_of: The classes that each image contains, by the image's name.
    """
    names = sorted(classes_of)
    if len(names) < 2:
        return names, names
    mixed = random.Random(SEED).sample(names, len(names))
    images_of: dict[Hashable, list[str]] = {}
    for name in mixed:
        for label in set(classes_of[name]):
            images_of.setdefault(label, []).append(name)
    left = {label: len(images) for label, images in images_of.items()}
    wanted = max(1, min(len(names) // SHARE, LIMIT))
    held: dict[str, None] = {}

    def hold(name: str) -> bool:
        """Whether the image was held out: no class may lose its last one."""
        if name in held or len(held) == wanted or any(left[label] < 2 for label in classes_of[name]):
            return False
        held[name] = None
        for label in set(classes_of[name]):
            left[label] -= 1
        return True

    for label in sorted(images_of, key=lambda label: (len(images_of[label]), str(label))):  # rare ones first
        if left[label] == len(images_of[label]):
            any(hold(name) for name in images_of[label])
    for name in mixed:
        hold(name)
    chosen = list(held) or names[-1:]
    return sorted(set(names) - set(chosen)), sorted(chosen)
