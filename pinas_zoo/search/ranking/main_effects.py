"""Main effects: what each candidate of each layer adds to the score, over all architectures that were scored.

A supernet's score of one architecture holds what the architecture is worth, what its weights suffered from the paths
that share them, and chance. An additive model has few parameters, so that every score helps to find each of them, and
keeps mostly the first: on the 729 architectures of NAS-Bench-201 without ``none`` and skip connections its sums rank as
well as the consistency scores that it is fitted to, or better, and those too that were not scored; on all 15,625 they
rank no better than those, nor than multiply-adds alone (benchmarks/results/nb201.md), since it leaves out what choices
do to each other. Of these, one is drastic: choices that together cut a network's input off. Such scores lie far from
all others and would outweigh them; they are drawn in before the fit. No accuracy of a trained network goes in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from pinas_zoo.arch import Arch

DIGITS = 9  # that count, of the largest number that goes into a sum
FAR = 6.0  # from the median, in standard deviations as the median absolute deviation tells them
LITTLE = 0.5  # of a fit's reliability
RIDGE = 1.0  # observations of no effect beside those that there are: a candidate that none has seen adds nothing


@dataclass(frozen=True)
class Effects:
    """An additive model of scores.

    Attributes:
        count: Of scores.
        mean: Of all scores, those that lie far from the median drawn in to :data:`FAR`.
        table: What a candidate adds to it, layers x candidates; over the scores, 0 on average in each layer.
        explained: Share of the scores' variance that it predicts of a score that it was not fitted to (leave-one-out),
            up to 1, below 0 where the mean predicts better; what is missing is interaction and noise.
        reliability: Share of the sums' own variance, over the architectures that were scored, that is not what noise in
            the scores would give: 1 - 1/F of the fit's F statistic, at least 0. It grows with the number of scores.
    """

    count: int
    mean: float
    table: NDArray[np.float64]
    explained: float
    reliability: float

    def score(self, arch: Arch) -> float:
        """Of any architecture of the space, scored or not; equal sums are equal, however they are added up."""
        value = self.mean + self.table[np.arange(len(arch)), list(arch)].sum()
        return round(float(value), self._decimals)

    @cached_property
    def _decimals(self) -> int:
        largest = max(abs(self.mean), float(abs(self.table).max()))
        return DIGITS - math.floor(math.log10(largest)) if largest else DIGITS

    def warning(self) -> str | None:
        """Why sums mean little, in one line, as far as the fit can see."""
        layers, candidates = self.table.shape
        free = layers * (candidates - 1) + 1
        if not self.table.any():
            return f"all {self.count} scores are equal"
        if self.count < min(2 * free, candidates**layers):
            return f"{self.count} scores are few for main effects, which have {free} unknowns: score {2 * free} or more"
        if self.reliability < LITTLE:
            return (
                f"of what the sums of main effects differ by, noise in the {self.count} scores would give "
                f"{1 - self.reliability:.0%}: score more candidates, or learn for longer"
            )
        return None


def main_effects(scores: Mapping[Arch, float], num_candidates: int) -> Effects:
    """Least squares of scores on the candidates of each layer.

    Args:
        scores: At least one; the higher the better, or the lower.
        num_candidates: Per layer.
    """
    choices = np.array([list(arch) for arch in scores])  # N x layers
    values = np.array(list(scores.values()))
    middle = np.median(values)
    if spread := float(median_abs_deviation(values, scale="normal")):
        values = np.clip(values, middle - FAR * spread, middle + FAR * spread)
    count, mean = len(values), float(values.mean())
    if np.ptp(values) == 0:
        return Effects(count, float(middle), np.zeros((choices.shape[1], num_candidates)), 0.0, 0.0)
    chosen = np.eye(num_candidates)[choices].reshape(len(values), -1)  # N x (layers * candidates), ones and zeros
    solver = np.linalg.solve(chosen.T @ chosen + RIDGE * np.eye(chosen.shape[1]), chosen.T)  # effects of scores
    effects = solver @ (values - mean)
    counts = chosen.sum(0).reshape(-1, num_candidates)
    table = effects.reshape(-1, num_candidates)
    table = np.where(counts > 0, table - (table * counts).sum(1, keepdims=True) / count, 0.0)
    own = np.einsum("nk,kn->n", chosen, solver)  # a score's weight in its own fit
    fitted, centred = chosen @ effects, values - mean
    rest, free = centred - fitted, own.sum()
    left_out = rest / (1 - own)
    explained = 1 - float(left_out @ left_out / (centred @ centred))
    by_noise = rest @ rest / max(count - 1 - free, 1.0) * free
    reliability = max(0.0, 1 - float(by_noise / (fitted @ fitted))) if fitted.any() else 0.0
    return Effects(count, mean, table, explained, reliability)
