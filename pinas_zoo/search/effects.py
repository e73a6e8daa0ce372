"""Main effects: what each candidate of each layer adds to the score, over all architectures that were scored.

A supernet's score of one architecture holds what the architecture is worth, what its weights suffered from the paths
that share them, and chance. An additive model has few parameters, so that every score helps to find each of them, and
keeps mostly the first: its sums rank architectures better than the scores it is fitted to, on NAS-Bench-201 by 0.02 to
0.1 in Kendall's tau (benchmarks/results/nb201.md). No accuracy of a trained network goes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinas_zoo.arch import Arch

RIDGE = 1.0  # observations of no effect beside those that there are: a candidate that none has seen adds nothing


@dataclass(frozen=True)
class Effects:
    """An additive model of scores.

    Attributes:
        mean: Of all scores.
        table: What a candidate adds to it, layers x candidates.
        explained: Share of the scores' variance, up to 1; what is missing is interaction and noise.
    """

    mean: float
    table: NDArray[np.float64]
    explained: float

    def score(self, arch: Arch) -> float:
        """Of any architecture of the space, scored or not."""
        return self.mean + float(self.table[np.arange(len(arch)), list(arch)].sum())


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
    gram = chosen.T @ chosen + RIDGE * np.eye(chosen.shape[1])
    effects = np.linalg.solve(gram, chosen.T @ (values - mean))
    rest, total = values - mean - chosen @ effects, values - mean
    explained = 1 - (rest @ rest) / (total @ total) if total.any() else 0.0
    return Effects(float(mean), effects.reshape(-1, num_candidates), float(explained))
