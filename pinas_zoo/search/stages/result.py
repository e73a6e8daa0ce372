"""The result of a stage, and functions that stages share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pinas_zoo.data.images import ImageSet
from pinas_zoo.data.options import Views
from pinas_zoo.engine import trainer
from pinas_zoo.engine.trainable import Trainable
from pinas_zoo.search.config import Learn, Linear, Train
from pinas_zoo.search.context import Context


@dataclass(frozen=True)
class StageResult:
    """The result of a stage.

    Attributes:
        summary: One-line summary.
        seconds: Duration over all attempts.
        facts: Additional plain data for ``done.json``.
    """

    summary: str
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)


def total_steps(options: Learn | Linear, images: int) -> int:
    """Number of steps of a stage. An epoch does not include the last incomplete batch."""
    return options.epochs * (images // options.batch_size) if options.epochs else options.steps


def fit(
    context: Context,
    stage: str,
    network: Trainable,
    images: ImageSet,
    views: Views,
    options: Learn | Linear | Train,
    steps: int,
    schedule: list[dict[str, Any]],
) -> float:
    """Train the network of a stage in the stage's folder, or resume from the checkpoint there.

    Args:
        context: Context of the run.
        stage: Name of the stage.
        network: The network to train.
        images: Images of the split ``train``. The split ``held_out`` has the images on which candidates are scored.
        views: Augmentation.
        options: The stage's table of the configuration.
        steps: Total number of steps.
        schedule: mmengine's schedulers.

    Returns:
        Duration in seconds over all attempts.
    """
    return trainer.train(
        network,
        {"train": images, "held_out": context.splits.val},
        context.views(views),
        options,
        steps,
        schedule,
        context.folder / stage,
        stage,
        context.config.seed,
        context.config.data.workers,
        context.config.log,
        cure=f"lower {stage}.lr and search in another folder",
    )
