"""Image sizes, iterations and learning rates for a data set, from the recipes of the paper's tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

RECIPE_BATCH = 16  # images an iteration for which the recipes' learning rates are
LR = {"det": 0.02, "seg": 0.01}
BATCH = 4  # images an iteration, on one GPU; a detector of 800 x 1216 then takes about 14 GB
FEWEST = 16_000  # images that training sees, at least; epochs of a small set are short
EPOCHS = {"det": (36, 12), "seg": (120, 120)}  # of small sets, and of one as large as the recipe's
RECIPE_IMAGES = {"det": 1_440_000, "seg": 2_425_000}  # that training sees in the recipe


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        batch_size: Images an iteration.
        iterations: In all.
        lr: Of SGD, for this batch size.
        warm_up: Iterations in which the learning rate rises (detectors).
        interval: Iterations between validations, and between checkpoints.
    """

    batch_size: int
    iterations: int
    lr: float
    warm_up: int
    interval: int


def schedule(task: str, images: int, batch_size: int | None = None, iterations: int | None = None) -> Schedule:
    """The schedule for a number of training images.

    A detector's images are seen 36 times, those of large sets 12 times as in the recipe; a segmenter's 120 times, until
    the recipe's iterations are reached. Small sets are seen more often. The learning rate is the recipe's times the
    batch size over 16.

    Args:
        task: ``det`` or ``seg``.
        images: Training images.
        batch_size: Images an iteration, instead of the default.
        iterations: Instead of the computed number.
    """
    batch = batch_size or BATCH
    many, few = EPOCHS[task]
    seen = max(FEWEST, min(many * images, RECIPE_IMAGES[task]), few * images if task == "det" else 0)
    steps = iterations or -(-seen // batch)
    lr = float(f"{LR[task] * batch / RECIPE_BATCH:.3g}")
    return Schedule(batch, steps, lr, min(1000, max(1, steps // 10)), max(1, -(-steps // 12)))


def detector_scales(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[tuple[int, int], ...], tuple[int, int]]:
    """Scales for training and for testing, (long side, short side) each, of images of W x H.

    The recipe's are 1333 x 640 to 800, which enlarges COCO's images of 640 x 480 to 5/3. Smaller images are enlarged as
    much, or to a short side of 320.
    """
    short = statistics.median(min(size) for size in sizes)
    side = min(800, max(320, _multiple(short * 5 / 3, 32)))
    long = round(side * 1333 / 800)
    lowest = _multiple(side * 0.8, 32)
    return tuple((long, length) for length in range(lowest, side + 1, 32)), (long, side)


def segmenter_sizes(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Long side to which images of W x H are resized, and the side of the square crops for training.

    The crop is 480 as in the recipe of ADE20K, from a long side of 1536 on 768 as in that of Cityscapes, and never
    larger than the resized image.
    """
    long = statistics.median(max(size) for size in sizes)
    side = max(64, min(2048, round(long)))
    return side, min(768 if side >= 1536 else 480, max(64, side // 16 * 16))


def _multiple(value: float, of: int) -> int:
    return round(value / of) * of
