"""Scores by a linear probe that is fitted for each path on the recalibration images."""

from __future__ import annotations

from typing import ClassVar

from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.protocol import LABELS, SUPERNET, ScoringData


class ProbeScorer(PathEvaluator):
    """Scores are the accuracy of a :class:`RidgeProbe`, and its squared error to one-hot labels as the loss."""

    needs: ClassVar[frozenset[str]] = frozenset({SUPERNET, LABELS})

    @classmethod
    def build(cls, data: ScoringData) -> ProbeScorer:
        return cls(
            data.learned(), data.num_classes, data.recalibration, data.held_out, data.normalise, data.batch_size,
            data.statistics, data.recalibration_batch_size,
        )  # fmt: skip
