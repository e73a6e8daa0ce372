"""The interface of scorers: the score of a path, what a scorer needs, and the data from which it is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.fixed_views import FixedViews
from pinas_zoo.data.images import ImageSet
from pinas_zoo.rng import Stream
from pinas_zoo.search.spaces.base import SearchSpace, Supernet

SUPERNET, CLASSIFIER, LABELS, GRADIENTS = "supernet", "classifier", "labels", "gradients"  # values of Scorer.needs


@dataclass(frozen=True)
class Score:
    """The score of one path.

    Attributes:
        accuracy: The value by which paths are ranked; higher is better. It is top-1 accuracy in 0..1 for scorers with a
            classifier, and another quantity for others.
        loss: Breaks ties; lower is better. It is the mean cross-entropy in nats for scorers with a classifier.
        parts: The scores of each kind, by name, if ``explore.score`` combines several.
    """

    accuracy: float
    loss: float
    parts: Mapping[str, Score] = field(default_factory=dict, hash=False)


class Scorer(Protocol):
    """Scores paths. The score of a path must not depend on the other paths of a call, nor on their order.

    Attributes:
        needs: What the scorer requires, which determines the stages of a run. Without ``supernet`` the run has no learn
            stage. ``classifier`` adds the linear stage, unless the method learns a classifier. ``labels`` requires
            images of at least two classes.

    Example:
        >>> from pinas_zoo.arch import Arch
        >>> from pinas_zoo.search import build_space
        >>> from pinas_zoo.search.scorers.flops import FLOPsScorer
        >>> scorer = FLOPsScorer(build_space({"type": "resnest50"}), image_size=224)
        >>> round(scorer.scores([Arch.parse("1" * 16)])[0].accuracy, 3)  # multiply-adds over the largest network's
        0.965
    """

    needs: ClassVar[frozenset[str]]

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Return one score per path, in the order of ``paths``."""


@dataclass(frozen=True)
class ScoringData:
    """The data from which a scorer is built.

    Attributes:
        space: The search space.
        supernet: The trained supernet; None if the run has no learn stage.
        classifier: The classifier that all paths share; None if the run has none.
        num_classes: Number of classes of the images.
        recalibration: Training images on which batch-norm statistics are recalibrated and probes are fitted.
        held_out: Held-out images on which paths are scored.
        normalise: Converts uint8 N x 3 x H x W to the network's normalised input of the same shape.
        two_views: Makes N x 2 x 3 x H x W, augmented and normalised, from uint8 N x 3 x H x W and a generator.
        batch_size: Number of images in a batch.
        image_size: Height and width in pixels.
        seed: Seed of the run.
        statistics: Batch-norm statistics in scoring: ``recalibrated`` for each path, or of each ``batch``.
        view_stream: Random stream of ``two_views``.
        recalibration_batch_size: Number of recalibration images in a batch; None: ``batch_size``.
        zero_cost_images: Number of held-out images on which training-free scores are computed, as one batch.
        zero_cost_initialisations: Number of initial weights over which such a score is averaged.
        zero_cost_space: The space whose networks scores without a supernet take; None: ``space``.
    """

    space: SearchSpace
    supernet: Supernet | None
    classifier: nn.Linear | None
    num_classes: int
    recalibration: ImageSet | FixedViews
    held_out: ImageSet
    normalise: Callable[[torch.Tensor], torch.Tensor]
    two_views: Callable[[torch.Tensor, torch.Generator], torch.Tensor]
    batch_size: int
    image_size: int
    seed: int
    statistics: str = "recalibrated"
    view_stream: Stream = Stream.CONSISTENCY_VIEWS
    recalibration_batch_size: int | None = None
    zero_cost_images: int = 64
    zero_cost_initialisations: int = 1
    zero_cost_space: SearchSpace | None = None

    def without_supernet(self) -> ScoringData:
        """The data of scores without a supernet, with their own space."""
        return self if self.zero_cost_space is None else replace(self, space=self.zero_cost_space)

    def learned(self) -> Supernet:
        """The trained supernet, for a scorer whose ``needs`` contain it."""
        assert self.supernet is not None
        return self.supernet
