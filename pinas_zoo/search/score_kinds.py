"""Kinds of scores that ``explore.score`` accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.score_list import in_words
from pinas_zoo.search.scorers.aggregate import AggregateScorer
from pinas_zoo.search.scorers.classifier import ClassifierScorer
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.flops import FLOPsScorer
from pinas_zoo.search.scorers.identification import IdentificationScorer
from pinas_zoo.search.scorers.probe import ProbeScorer
from pinas_zoo.search.scorers.protocol import CLASSIFIER, LABELS, SUPERNET, Scorer, ScoringData


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
METHODS_OWN = ScoreKind(
    "score", "the score of the method itself", "the method scores candidates", frozenset({SUPERNET}), None
)


def score_kind(config: SearchConfig) -> ScoreKind:
    """The kind of scores of a run: the method's own if it scores paths itself, otherwise ``explore.score``.

    Raises:
        UserError: The method is unknown; or it scores paths itself, and ``explore.score`` combines kinds.
    """
    own, score = method_class(config.learn.method).scores_paths, config.explore.score
    if isinstance(score, str):
        return METHODS_OWN if own else KINDS[score]
    if own:
        raise UserError(
            f"expected no list as explore.score, since method {config.learn.method!r} scores paths itself, got "
            f"{in_words(score)}; leave explore.score out"
        )
    return aggregate_kind(score)


def aggregate_kind(parts: tuple[tuple[str, float], ...]) -> ScoreKind:
    """The kind of a list of kinds and weights. It needs what any of its parts needs."""
    kinds = {name: KINDS[name] for name, _ in parts}

    def build(data: ScoringData) -> Scorer:
        return AggregateScorer({name: kind.build(data) for name, kind in kinds.items() if kind.build is not None})

    return ScoreKind(
        "aggregate",
        f"the sum of the logarithms of the ranks by {in_words(parts)}, as a share: 1 is first by each, 0 last by each",
        max(kinds.values(), key=lambda kind: len(kind.needs & {SUPERNET, CLASSIFIER, LABELS})).left_out,
        frozenset().union(*(kind.needs for kind in kinds.values())),
        build,
    )


def score_words(config: SearchConfig) -> str:
    """What ranks the candidates of a run, as ``explore.score`` names it: "consistency + 0.5 flops"."""
    if score_kind(config) is METHODS_OWN:
        return "the method's own score"
    score = config.explore.score
    return score if isinstance(score, str) else in_words(score)


def recalibrates(config: SearchConfig) -> bool:
    """Whether scoring runs the recalibration images through the supernet, as scorers with a classifier do."""
    if score_kind(config) is METHODS_OWN:
        return True
    needs = [KINDS[name].needs for name in config.explore.kinds]
    return any(SUPERNET in some and some & {CLASSIFIER, LABELS} for some in needs)
