"""Kinds of scores that ``explore.score`` accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.scorers.classifier import ClassifierScorer
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.flops import FLOPsScorer
from pinas_zoo.search.scorers.identification import IdentificationScorer
from pinas_zoo.search.scorers.probe import ProbeScorer
from pinas_zoo.search.scorers.protocol import SUPERNET, Scorer, ScoringData


@dataclass(frozen=True)
class ScoreKind:
    """A kind of scores.

    Attributes:
        name: Name of the quantity, such as "accuracy".
        words: Description of the quantity.
        left_out: Reason to print if the run has no linear stage.
        needs: What the scorer requires; see :class:`pinas_zoo.search.scorers.protocol.Scorer`.
        build: Builds the scorer; None for scores of the method itself.
    """

    name: str
    words: str
    left_out: str
    needs: frozenset[str]
    build: Callable[[ScoringData], Scorer] | None


KINDS = {
    "classifier": ScoreKind(
        "accuracy",
        "top-1 accuracy",
        "the method's own classifier scores candidates",
        ClassifierScorer.needs,
        ClassifierScorer.build,
    ),
    "probe": ScoreKind(
        "accuracy",
        "top-1 accuracy of a linear probe fitted for each candidate",
        "each candidate has a classifier of its own",
        ProbeScorer.needs,
        ProbeScorer.build,
    ),
    "consistency": ScoreKind(
        "consistency",
        "the mean cosine similarity of two views of the same image minus that of different images",
        "candidates are scored without labels",
        ConsistencyScorer.needs,
        ConsistencyScorer.build,
    ),
    "identification": ScoreKind(
        "identification",
        "how well a view identifies its image among others, by whitened features",
        "candidates are scored without labels",
        IdentificationScorer.needs,
        IdentificationScorer.build,
    ),
    "flops": ScoreKind(
        "multiply-adds",
        "multiply-adds in units of the space's largest network",
        "candidates are scored without training",
        FLOPsScorer.needs,
        FLOPsScorer.build,
    ),
}
LABEL_FREE = frozenset(name for name, kind in KINDS.items() if kind.needs == {SUPERNET})
METHODS_OWN = ScoreKind(
    "score", "the score of the method itself", "the method scores candidates", frozenset({SUPERNET}), None
)


def score_kind(config: SearchConfig) -> ScoreKind:
    """The kind of scores of a run: the method's own if it scores paths itself, otherwise ``explore.score``.

    Raises:
        UserError: The method is unknown.
    """
    return METHODS_OWN if method_class(config.learn.method).scores_paths else KINDS[config.explore.score]
