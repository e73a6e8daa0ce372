"""Scores by a linear probe of each path's own, fitted on the recalibration images."""

from __future__ import annotations

from typing import ClassVar

from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.protocol import LABELS, SUPERNET, ScoringData


class ProbeScorer(PathEvaluator):
    """Accuracy, and squared distance of the outputs to the one-hot label, of :class:`RidgeProbe`."""

    needs: ClassVar[frozenset[str]] = frozenset({SUPERNET, LABELS})

    @classmethod
    def build(cls, data: ScoringData) -> ProbeScorer:
        return cls(
            data.learned(), data.num_classes, data.recalibration, data.held_out, data.normalise, data.batch_size,
            data.statistics,
        )  # fmt: skip
