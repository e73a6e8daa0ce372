"""Scores by the number of convolutions: a count that a proxy has to outperform."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.scorers.zero_cost.base import CountScorer
from pinas_zoo.weights.entry_points import on_meta


def convolutions(model: nn.Module) -> float:
    """Number of 2-dimensional convolutions in a network, whether its output depends on them or not."""
    return float(sum(isinstance(module, nn.Conv2d) for module in model.modules()))


class ConvolutionsScorer(CountScorer):
    """Scores by the number of convolutions of the reachable part of an architecture; fewer parameters break ties.

    The count is that of the first candidate in all layers, plus what each choice adds to it, from one network for each
    candidate of each layer on the meta device. It is exact if a choice adds the same beside any others.
    """

    @cached_property
    def table(self) -> tuple[float, list[list[float]]]:
        """The count of the first candidate in all layers, and what each choice adds, layers x candidates."""

        def count(layer: int, choice: int) -> float:
            arch = Arch(tuple(choice if k == layer else 0 for k in range(self.space.num_layers)))
            return convolutions(on_meta(self.space.architecture, self.space.model_args(arch)))

        first = count(0, 0)
        layers = range(self.space.num_layers)
        return first, [[count(k, choice) - first for choice in range(self.space.num_candidates)] for k in layers]

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        first, table = self.table
        found = []
        for path in map(self.space.reachable, paths):
            total = first + sum(row[choice] for row, choice in zip(table, path, strict=True))
            found.append(Score(total, self.space.cost(path, self.image_size)[0]))
        return found
