"""Scores without training: more multiply-adds are better. It is the baseline that a search has to outperform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers.protocol import Score, ScoringData
from pinas_zoo.search.spaces.base import SearchSpace


class FLOPsScorer:
    """Scores by cost: multiply-adds over those of the space's largest network; fewer parameters break ties.

    Args:
        space: The search space.
        image_size: Height and width in pixels.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, space: SearchSpace, image_size: int):
        self.space, self.image_size = space, image_size
        rest, layers = space.cost_table(image_size)
        self.largest_g = (rest.macs + sum(max(cost.macs for cost in row) for row in layers)) / 1e9

    @classmethod
    def build(cls, data: ScoringData) -> FLOPsScorer:
        return cls(data.space, data.image_size)

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        costs = [self.space.cost(path, self.image_size) for path in paths]
        return [Score(flops_g / self.largest_g, params_m) for params_m, flops_g in costs]
