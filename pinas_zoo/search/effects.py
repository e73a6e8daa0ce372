"""Main effects: what each candidate of each layer adds to the score, over all architectures that were scored.

A supernet's score of one architecture holds what the architecture is worth, what its weights suffered from the paths
that share them, and chance. An additive model has few parameters, so that every score helps to find each of them, and
keeps mostly the first: on NAS-Bench-201 its sums rank architectures better than the supernets' scores that it is fitted
to (benchmarks/results/nb201.md). Scores that are good by themselves it makes worse, since it leaves out what choices do
to each other. No accuracy of a trained network goes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinas_zoo.arch import Arch

DIGITS = 9  # of a sum that count
LITTLE = 0.3  # of the variance
RIDGE = 1.0  # observations of no effect beside those that there are: a candidate that none has seen adds nothing


@dataclass(frozen=True)
class Effects:
    """An additive model of scores.

    Attributes:
        count: Of scores.
        mean: Of all scores.
        table: What a candidate adds to it, layers x candidates.
        explained: Share of the scores' variance that it predicts of a score that it was not fitted to (leave-one-out),
            up to 1, below 0 where the mean predicts better; what is missing is interaction and noise.
    """

    count: int
    mean: float
    table: NDArray[np.float64]
    explained: float

    def score(self, arch: Arch) -> float:
        """Of any architecture of the space, scored or not; equal sums are equal, however they are added up."""
        value = self.mean + self.table[np.arange(len(arch)), list(arch)].sum()
        return float(f"{value:.{DIGITS}g}")

    def trouble(self) -> str | None:
        """Why sums mean little, in one line, as far as the fit can see."""
        layers, candidates = self.table.shape
        free = layers * (candidates - 1) + 1
        if self.count < 2 * free:
            return f"{self.count} scores are few for main effects, which have {free} unknowns: score twice as many"
        if self.explained < LITTLE:
            return (
                f"main effects predict {max(0.0, self.explained):.0%} of the variance of scores that are left out: "
                "scores differ by noise, or choices depend on each other"
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
    mean = values.mean()
    chosen = np.eye(num_candidates)[choices].reshape(len(values), -1)  # N x (layers * candidates), ones and zeros
    solver = np.linalg.solve(chosen.T @ chosen + RIDGE * np.eye(chosen.shape[1]), chosen.T)  # effects of scores
    effects = solver @ (values - mean)
    explained = 0.0
    if np.ptp(values) > 0:
        own = np.einsum("nk,kn->n", chosen, solver)  # a score's weight in its own fit
        errors = (values - mean - chosen @ effects) / (1 - own)
        explained = 1 - float((errors @ errors) / ((values - mean) @ (values - mean)))
    return Effects(len(values), float(mean), effects.reshape(-1, num_candidates), explained)
