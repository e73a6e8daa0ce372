"""Main effects: what each candidate of each layer adds to the score, estimated from all scored architectures.

A supernet's score of one architecture mixes the architecture's worth, interference from paths that share its weights,
and noise. An additive model has few parameters, so every score helps to estimate each of them, and interference and
noise mostly average out. On the 729 architectures of NAS-Bench-201 without ``none`` and skip connections, sums of main
effects rank as well as the consistency scores that they are fitted to, or better, and they also rank architectures that
were not scored. On all 15,625 they rank no better than the scores, and SPOS's worse (benchmarks/results/nb201.md),
because the model ignores interactions between choices. One interaction is drastic: choices that together cut off a
network's input. Such scores lie far from all others and would dominate the fit, so they are clipped first. Another one
can be taken out: a choice without an effect on the output counts as :meth:`SearchSpace.reachable` says, such as
``none`` on an edge that leads nowhere. No accuracy of a trained network is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

from pinas_zoo.arch import Arch

DIGITS = 9  # significant digits of a sum, counted from the largest number that goes into it
CLIP = 6.0  # scores are clipped at this distance from the median, in standard deviations (estimated by the MAD)
UNRELIABLE = 0.5  # a reliability below this gives a warning
RIDGE = 1.0  # acts like one observation of zero effect a candidate: a candidate that was never scored adds nothing


Reachable = Callable[[Arch], Arch]  # an architecture without choices that have no effect on its output


def itself(arch: Arch) -> Arch:
    """For spaces in which every choice has an effect."""
    return arch


@dataclass(frozen=True)
class MainEffects:
    """An additive model of scores.

    Attributes:
        count: Number of scores.
        mean: Mean of all scores after clipping at :data:`CLIP`.
        table: What a candidate adds to the mean, layers x candidates; averages 0 over the scores in each layer.
        explained: Share of variance that the model predicts for a score left out of the fit (leave-one-out): at most 1,
            negative where the mean predicts better. The rest is interaction and noise.
        reliability: Share of the sums' variance, over the scored architectures, that noise in the scores does not
            account for: 1 - 1/F of the fit's F statistic, at least 0. It grows with the number of scores.
        reachable: An architecture without choices that have no effect.
    """

    count: int
    mean: float
    table: NDArray[np.float64]
    explained: float
    reliability: float
    reachable: Reachable = itself

    def score(self, arch: Arch) -> float:
        """The sum for any architecture of the space, scored or not; rounded, so that equal sums compare equal."""
        value = self.mean + self.table[np.arange(len(arch)), list(self.reachable(arch))].sum()
        return round(float(value), self._decimals)

    @cached_property
    def _decimals(self) -> int:
        largest = max(abs(self.mean), float(abs(self.table).max()))
        return DIGITS - math.floor(math.log10(largest)) if largest else DIGITS

    def warning(self) -> str | None:
        """Why the sums may mean little, in one line; None if the fit shows no reason."""
        layers, candidates = self.table.shape
        free = layers * (candidates - 1) + 1
        if not self.table.any():
            return f"all {self.count} scores are equal"
        if self.count < min(2 * free, candidates**layers):
            return f"{self.count} scores are few for main effects, which have {free} unknowns: score {2 * free} or more"
        if self.reliability < UNRELIABLE:
            return (
                f"noise in the {self.count} scores explains {1 - self.reliability:.0%} of the differences between sums "
                "of main effects: score more candidates, or train the supernet for longer"
            )
        return None


def clipped(scores: Iterable[float]) -> NDArray[np.float64]:
    """Scores whose distance from the median is limited to :data:`CLIP` standard deviations."""
    values = np.array(list(scores), dtype=np.float64)
    middle, spread = np.median(values), float(median_abs_deviation(values, scale="normal"))
    return np.clip(values, middle - CLIP * spread, middle + CLIP * spread) if spread else values


def enough_scores(archs: Collection[Arch]) -> bool:
    """Whether there are two scores for each unknown of the sums over the candidates that occur."""
    layers = list(zip(*archs, strict=True))
    return bool(layers) and len(archs) >= 2 * (sum(len(set(layer)) - 1 for layer in layers) + 1)


def main_effects(scores: Mapping[Arch, float], num_candidates: int, reachable: Reachable = itself) -> MainEffects:
    """Fit scores by ridge-regularised least squares on the candidates of each layer.

    Args:
        scores: Score of each architecture, at least one; higher or lower may be better.
        num_candidates: Candidates per layer.
        reachable: Gives an architecture without choices that have no effect on its output, as
            :meth:`pinas_zoo.search.spaces.base.SearchSpace.reachable` does. The default leaves it as it is.
    """
    choices = np.array([list(reachable(arch)) for arch in scores])  # N x layers
    values = clipped(scores.values())  # N
    middle = np.median(values)
    count, mean = len(values), float(values.mean())
    if np.ptp(values) == 0:
        return MainEffects(count, float(middle), np.zeros((choices.shape[1], num_candidates)), 0.0, 0.0, reachable)
    chosen = np.eye(num_candidates)[choices].reshape(len(values), -1)  # N x (layers * candidates), ones and zeros
    solver = np.linalg.solve(chosen.T @ chosen + RIDGE * np.eye(chosen.shape[1]), chosen.T)  # effects of scores
    effects = solver @ (values - mean)
    counts = chosen.sum(0).reshape(-1, num_candidates)
    table = effects.reshape(-1, num_candidates)
    table = np.where(counts > 0, table - (table * counts).sum(1, keepdims=True) / count, 0.0)
    leverage = np.einsum("nk,kn->n", chosen, solver)  # N; a score's weight in its own fit
    fitted, centred = chosen @ effects, values - mean
    rest, free = centred - fitted, leverage.sum()
    left_out = rest / (1 - leverage)
    explained = 1 - float(left_out @ left_out / (centred @ centred))
    by_noise = rest @ rest / max(count - 1 - free, 1.0) * free
    reliability = max(0.0, 1 - float(by_noise / (fitted @ fitted))) if fitted.any() else 0.0
    return MainEffects(count, mean, table, explained, reliability, reachable)
