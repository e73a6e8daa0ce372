"""Whether an accuracy is that of guessing."""

from __future__ import annotations

import math

ERRORS = 2.0  # standard errors above guessing that an accuracy has to reach


def at_chance(accuracy: float, images: int, guess: float, what: str, cure: str) -> str | None:
    """One line where an accuracy is no more than that of naming the most frequent class; None where it is more.

    Args:
        accuracy: In 0..1.
        images: Number of images.
        guess: Share of the most frequent class, in 0..1.
        what: Whose accuracy it is.
        cure: What to try.
    """
    if accuracy > guess + ERRORS * math.sqrt(guess * (1 - guess) / max(images, 1)):
        return None
    return f"{what} is {accuracy:.1%}, where guessing has {guess:.1%}; try {cure}"
