"""What a stage returns, and what stages do alike."""

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
    """What came of a stage.

    Attributes:
        summary: One line for a person.
        seconds: That it took, over all attempts.
        facts: What else its ``done.json`` keeps; plain data.
    """

    summary: str
    seconds: float
    facts: Mapping[str, Any] = field(default_factory=dict)


def total_steps(options: Learn | Linear, images: int) -> int:
    """As many as the configuration says, in steps or in epochs without their last incomplete batch."""
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
    """Train a stage's network in the stage's folder, resuming from the checkpoint there.

    Args:
        context: Of the run.
        stage: Name of the stage.
        network: What is trained.
        images: Of the split ``train``; ``held_out`` are those that candidates are scored on.
        views: Augmentation.
        options: The stage's table of the configuration.
        steps: In all.
        schedule: mmengine's schedulers.

    Returns:
        Seconds in all.
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
    )
