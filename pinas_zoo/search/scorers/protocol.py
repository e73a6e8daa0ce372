"""What a scorer is: it gives paths a score, the higher the better, and says what it needs for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import ImageSet
from pinas_zoo.rng import Stream
from pinas_zoo.search.spaces.base import SearchSpace, Supernet

SUPERNET, CLASSIFIER, LABELS, GRADIENTS = "supernet", "classifier", "labels", "gradients"  # what a scorer may need


@dataclass(frozen=True)
class Score:
    """Of one path.

    Attributes:
        accuracy: What paths are ranked by, the higher the better: top-1 accuracy in 0..1, or what a kind of scores has
            in its place.
        loss: Decides among equals, the lower the better; mean cross-entropy in nats, or what a kind has in its place.
    """

    accuracy: float
    loss: float


class Scorer(Protocol):
    """Scores paths; neither their order nor their company changes a score.

    ``needs`` decides which stages run: without ``supernet`` none is learned; ``classifier`` asks for the linear stage
    unless the method learns a classifier; ``labels`` asks for images of at least two classes.
    """

    needs: ClassVar[frozenset[str]]

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """One score for each path, in their order."""


@dataclass(frozen=True)
class ScoringData:
    """What scorers are built from.

    Attributes:
        space: The search space.
        supernet: As the learn stage left it; None where none is learned.
        classifier: That all paths share, where there is one.
        num_classes: Of the images.
        recalibration: Training images for batch-norm statistics and probes.
        held_out: Images that scores are taken from.
        normalise: uint8 N x 3 x H x W to the network's input.
        two_views: uint8 N x 3 x H x W and a generator to N x 2 x 3 x H x W, augmented and normalised.
        batch_size: Images at a time.
        image_size: Height and width in pixels.
        seed: Of the run.
        statistics: Of batch norms: ``recalibrated`` for each path, or those of the ``batch``.
        view_stream: Of the random numbers of ``two_views``.
    """

    space: SearchSpace
    supernet: Supernet | None
    classifier: nn.Linear | None
    num_classes: int
    recalibration: ImageSet
    held_out: ImageSet
    normalise: Callable[[torch.Tensor], torch.Tensor]
    two_views: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    batch_size: int
    image_size: int
    seed: int
    statistics: str = "recalibrated"
    view_stream: Stream = Stream.CONSISTENCY_VIEWS

    def learned(self) -> Supernet:
        """The supernet of a scorer that needs one."""
        assert self.supernet is not None  # its needs say so
        return self.supernet
