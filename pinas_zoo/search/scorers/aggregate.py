"""Scores of several kinds for each path, from which :mod:`pinas_zoo.search.scorers.log_ranks` makes one ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers.protocol import CLASSIFIER, GRADIENTS, LABELS, SUPERNET, Score, Scorer
from pinas_zoo.search.scorers.two_views import TwoViewScorer


class AggregateScorer:
    """Scores paths by several scorers. A score's ``parts`` hold what each says.

    A sum of ranks depends on all scored architectures, so it is no score of one path. ``accuracy`` and ``loss`` are
    those of the first scorer until ``combined`` replaces them. Scorers that compare two views share the features.

    Attributes:
        needs: What any scorer may require. :func:`pinas_zoo.search.score_kinds.score_kind` knows what these require.

    Args:
        scorers: At least one scorer, by name.
    """

    needs: ClassVar[frozenset[str]] = frozenset({SUPERNET, CLASSIFIER, LABELS, GRADIENTS})

    def __init__(self, scorers: Mapping[str, Scorer]):
        self.scorers = dict(scorers)

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        found: dict[str, list[Score]] = {}
        views = {name: scorer for name, scorer in self.scorers.items() if isinstance(scorer, TwoViewScorer)}
        if views:
            first, *others = views.values()
            found = dict(zip(views, first.scores_beside(paths, *others), strict=True))
        for name, scorer in self.scorers.items():
            if name not in views:
                found[name] = scorer.scores(paths)
        parts = [{name: found[name][k] for name in self.scorers} for k in range(len(paths))]
        firsts = [next(iter(part.values())) for part in parts]
        return [Score(one.accuracy, one.loss, part) for one, part in zip(firsts, parts, strict=True)]
