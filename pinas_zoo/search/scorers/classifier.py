"""Scores by the classifier that all paths share (sec. 3.3, Eqn. 5): top-1 accuracy on held-out images."""

from __future__ import annotations

from typing import ClassVar

from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.protocol import CLASSIFIER, LABELS, SUPERNET, ScoringData


class ClassifierScorer(PathEvaluator):
    """Scores are accuracy and mean cross-entropy of the shared classifier, from the linear stage or the method."""

    needs: ClassVar[frozenset[str]] = frozenset({SUPERNET, CLASSIFIER, LABELS})

    @classmethod
    def build(cls, data: ScoringData) -> ClassifierScorer:
        assert data.classifier is not None  # CLASSIFIER is in needs
        return cls(
            data.learned(), data.classifier, data.recalibration, data.held_out, data.normalise, data.batch_size,
            data.statistics, data.recalibration_batch_size,
        )  # fmt: skip
