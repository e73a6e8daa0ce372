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
from pinas_zoo.search.scorers.zero_cost.az_nas import (
    AZComplexityScorer,
    AZExpressivityScorer,
    AZProgressivityScorer,
    AZTrainabilityScorer,
)
from pinas_zoo.search.scorers.zero_cost.base import CountScorer, ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.convolutions import ConvolutionsScorer
from pinas_zoo.search.scorers.zero_cost.fisher import FisherScorer
from pinas_zoo.search.scorers.zero_cost.grad_norm import GradNormScorer
from pinas_zoo.search.scorers.zero_cost.jacov import JacovScorer
from pinas_zoo.search.scorers.zero_cost.naswot import NASWOTScorer
from pinas_zoo.search.scorers.zero_cost.reachable import ReachableFLOPsScorer, ReachableParamsScorer
from pinas_zoo.search.scorers.zero_cost.shortest_path import ShortestPathScorer
from pinas_zoo.search.scorers.zero_cost.snip import SNIPScorer
from pinas_zoo.search.scorers.zero_cost.synflow import SynFlowScorer
from pinas_zoo.search.scorers.zero_cost.zen import ZenScorer
from pinas_zoo.search.scorers.zero_cost.zico import ZiCoScorer

COMBINED = "combined score"  # of several kinds, of which only some may be measured on images


@dataclass(frozen=True)
class ScoreKind:
    """A kind of scores.

    Attributes:
        name: Name of the quantity, such as "accuracy".
        words: Description of the quantity.
        left_out: Reason to print if the run has no linear stage.
        needs: What the scorer requires; see :class:`pinas_zoo.search.scorers.protocol.Scorer`.
        build: Builds the scorer; None for scores of the method itself.
        percent: Whether values are shares, which are shown in percent.
    """

    name: str
    words: str
    left_out: str
    needs: frozenset[str]
    build: Callable[[ScoringData], Scorer] | None
    percent: bool = True

    @property
    def title(self) -> str:
        """Name of the quantity with what it is measured on: held-out images, unless nothing was learned or combined."""
        return f"held-out {self.name}" if self.in_supernet and self.name != COMBINED else self.name

    @property
    def in_supernet(self) -> bool:
        """Whether scores are measured in the supernet, on held-out images; others are of untrained networks."""
        return SUPERNET in self.needs

    def shown(self, value: float, decimals: int = 2) -> str:
        """A value as text: a share in percent, anything else with five digits."""
        return f"{value:.{decimals}%}" if self.percent else f"{value:.5g}"


def _untrained(name: str, words: str, scorer: type[ZeroCostScorer] | type[CountScorer]) -> ScoreKind:
    """A kind of scores of untrained networks."""

    def build(data: ScoringData) -> Scorer:
        return scorer.build(data.without_supernet())

    return ScoreKind(name, words, "candidates are scored without training", scorer.needs, build, percent=False)


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
        lambda data: FLOPsScorer.build(data.without_supernet()),
    ),
    "naswot": _untrained("NASWOT", "the log-determinant of the kernel of activation codes", NASWOTScorer),
    "jacov": _untrained("jacov", "how uncorrelated the gradients of different images are", JacovScorer),
    "synflow": _untrained("SynFlow", "the logarithm of the flow along all paths of weights", SynFlowScorer),
    "grad_norm": _untrained("GradNorm", "the sum of the layers' gradient norms", GradNormScorer),
    "snip": _untrained("SNIP", "the loss's sensitivity to removing single weights", SNIPScorer),
    "fisher": _untrained("Fisher", "the loss's sensitivity to removing single channels", FisherScorer),
    "zen": _untrained("Zen-score", "how much features change with the input, corrected for batch norm", ZenScorer),
    "zico": _untrained("ZiCo", "the logarithms of gradients' means over deviations, summed over layers", ZiCoScorer),
    "az_expressivity": _untrained(
        "expressivity", "the isotropy of features, summed over blocks (AZ-NAS)", AZExpressivityScorer
    ),
    "az_progressivity": _untrained(
        "progressivity", "the smallest increase in isotropy from block to block (AZ-NAS)", AZProgressivityScorer
    ),
    "az_trainability": _untrained(
        "trainability", "how near to 1 the spectral norms of blocks' Jacobians are (AZ-NAS)", AZTrainabilityScorer
    ),
    "az_complexity": _untrained("complexity", "multiply-adds in billions (AZ-NAS)", AZComplexityScorer),
    "reachable_flops": _untrained(
        "reachable multiply-adds", "multiply-adds in billions of what has an effect on the output", ReachableFLOPsScorer
    ),
    "reachable_params": _untrained(
        "reachable parameters", "parameters in millions that have an effect on the output", ReachableParamsScorer
    ),
    "convolutions": _untrained(
        "convolutions", "the number of convolutions that have an effect on the output", ConvolutionsScorer
    ),
    "shortest_path": _untrained(
        "shortest path",
        "minus the fewest layers on a path from the image to the output",
        ShortestPathScorer,
    ),
}
UNTRAINED = frozenset(name for name, kind in KINDS.items() if SUPERNET not in kind.needs)
METHODS_OWN = ScoreKind(
    "score",
    "the score of the method itself",
    "the method scores candidates",
    frozenset({SUPERNET}),
    build=None,
    percent=False,  # such as DNA's, the negative sum of its stages' errors
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
        COMBINED,
        f"the sum of the logarithms of places from the last by {in_words(parts)}, as a share: 1 is first by each, 0 "
        "last by each",
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
