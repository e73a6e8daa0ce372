"""Whether a search was worth it: the winner beside the reference and beside random networks, all trained alike.

Each architecture was trained with several seeds. A seed decides about the order of the images and their augmentation,
so that it moves all networks a little in one direction. On CIFAR-10, accuracies of 13 networks with 3 seeds each have a
standard deviation of 0.93 points over seeds, and of 0.77 without what the seeds have in common (F = 6.8, of
benchmarks/results/study_cifar10.json). Differences within a seed are free of it. They have a 95% interval by the
analysis of a randomised block design, whose blocks are the seeds: the variance of an accuracy is that of what remains
after the means of architectures and of seeds, over all networks. Of two networks this is the paired t-test.

- against the reference, the winner's mean is compared with the reference's. The interval covers the randomness of
  training alone, which is taken to be the same for all networks;
- against random networks, the winner's mean is compared with the mean accuracies of the architectures, one number
  each. The interval then covers how architectures differ, too: it is one of the mean over the whole space at this cost,
  not over the few that were drawn.

Where the networks do not have the same seeds, nothing is paired, and intervals are those of Welch's t-test (Biometrika,
1947). Sums of variances have Satterthwaite's degrees of freedom.

An accuracy on n test images is a multiple of 1/n. Few images make seeds agree by chance, so the variance of this
rounding, 1/(12 n^2), is added to each. All networks see the same test images, whose choice the intervals do not cover.
The two intervals are not corrected for being two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

from scipy.stats import t as student

from pinas_zoo.search.ranking.trained_rows import RANDOM, REFERENCE, WINNER, TrainedRow

CONFIDENCE = 0.95


@dataclass(frozen=True)
class TrainedArch:
    """An architecture of the comparison.

    Attributes:
        role: ``winner``, ``reference`` or ``random``.
        arch: Its text.
        flops_g: Multiply-adds in billions.
        accuracies: Test accuracy in 0..1 with each seed.
        seeds: These seeds; empty where they are not known.
    """

    role: str
    arch: str
    flops_g: float
    accuracies: tuple[float, ...]
    seeds: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        return fmean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; 0 for a single one."""
        return variance(self.accuracies) ** 0.5 if len(self.accuracies) > 1 else 0.0


@dataclass(frozen=True)
class Variance:
    """An estimate of a variance, and its degrees of freedom."""

    value: float
    freedom: float


@dataclass(frozen=True)
class Difference:
    """The winner's mean accuracy less another one, with the bounds of its 95% interval, in 0..1.

    The bounds are NaN where too few trainings give none.
    """

    value: float
    low: float
    high: float

    @property
    def told(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        points = f"{100 * self.value:+.2f} points"
        if math.isnan(self.low):
            return points
        return f"{points} [{100 * self.low:+.2f}, {100 * self.high:+.2f}]"


@dataclass(frozen=True)
class Verdict:
    """Whether the winner is better than the networks of one role.

    Attributes:
        role: ``reference`` or ``random``.
        networks: Number of architectures.
        difference: The winner's mean accuracy less theirs.
        below: Number of these architectures whose mean accuracy is below the winner's.
    """

    role: str
    networks: int
    difference: Difference
    below: int

    @property
    def facts(self) -> dict[str, Any]:
        """Plain data for a JSON file; ``interval`` is None without one."""
        difference = self.difference
        interval = None if math.isnan(difference.low) else [difference.low, difference.high]
        return {
            "role": self.role,
            "networks": self.networks,
            "below": self.below,
            "difference": difference.value,
            "interval": interval,
            "told": difference.told,
        }

    @property
    def words(self) -> tuple[str, str]:
        """What the winner is or shows, and compared with what: the end of a sentence in two parts."""
        other = "the reference" if self.role == REFERENCE else f"{self.networks} random networks of like cost"
        if self.role == RANDOM and self.networks == 1:
            other = "a random network of like cost"
        if math.isnan(self.difference.low):
            return "was trained too few times for an interval", f"beside {other} ({self.difference})"
        if not self.difference.told:
            return "shows no difference that can be told", f"from {other} ({self.difference})"
        return f"is {'better' if self.difference.value > 0 else 'worse'}", f"than {other} ({self.difference})"


def by_architecture(rows: Sequence[TrainedRow]) -> list[TrainedArch]:
    """The rows of each architecture together, in the order of their first rows."""
    together: dict[tuple[str, str], list[TrainedRow]] = {}
    for row in rows:
        together.setdefault((row.role, row.arch), []).append(row)
    return [
        TrainedArch(
            role, arch, some[0].flops_g, tuple(row.test_accuracy for row in some), tuple(row.seed for row in some)
        )
        for (role, arch), some in together.items()
    ]


def verdicts(rows: Sequence[TrainedRow]) -> list[Verdict]:
    """The winner beside the reference and beside random networks, as far as they were trained."""
    networks = by_architecture(rows)
    winner = next((network for network in networks if network.role == WINNER), None)
    if winner is None:
        return []
    rounding = 1 / rows[0].test_images
    noise = noise_within_seeds(networks, rounding)
    found = []
    for role in (REFERENCE, RANDOM):
        others = [network for network in networks if network.role == role]
        if others:
            difference = _difference(winner, others, noise, rounding)
            found.append(Verdict(role, len(others), difference, sum(other.mean < winner.mean for other in others)))
    return found


def _difference(
    winner: TrainedArch, others: Sequence[TrainedArch], noise: Variance | None, rounding: float
) -> Difference:
    """The winner's mean less that of the reference, or of random networks, each of which counts once."""
    is_reference, means = others[0].role == REFERENCE, [other.mean for other in others]
    if noise is None:
        return welch(winner.accuracies, others[0].accuracies if is_reference else means, rounding)
    value, one = winner.mean - fmean(means), Variance(noise.value / len(winner.accuracies), noise.freedom)
    if is_reference:
        return interval(value, [Variance(2 * one.value, one.freedom)])
    return interval(value, [one, variance_of_mean(means, rounding)])


def noise_within_seeds(networks: Sequence[TrainedArch], rounding: float = 0.0) -> Variance | None:
    """The variance of one accuracy that neither its architecture nor its seed explains.

    Args:
        networks: All networks of the comparison.
        rounding: Accuracies are multiples of it.

    Returns:
        None if the networks do not share their seeds, or there are fewer than two seeds or networks.
    """
    if len(networks) < 2 or len({network.seeds for network in networks}) > 1 or len(set(networks[0].seeds)) < 2:
        return None
    seeds = [fmean(column) for column in zip(*(network.accuracies for network in networks), strict=True)]
    whole = fmean(seeds)
    squares = sum(
        (accuracy - network.mean - of_seed + whole) ** 2
        for network in networks
        for accuracy, of_seed in zip(network.accuracies, seeds, strict=True)
    )
    freedom = (len(networks) - 1) * (len(seeds) - 1)
    return Variance(squares / freedom + rounding**2 / 12, freedom)


def variance_of_mean(values: Sequence[float], rounding: float = 0.0) -> Variance:
    """The variance of the mean of some values; NaN of a single one."""
    count = len(values)
    return Variance((variance(values) + rounding**2 / 12) / count if count > 1 else math.nan, count - 1)


def welch(first: Sequence[float], second: Sequence[float], rounding: float = 0.0) -> Difference:
    """Difference of two means with Welch's 95% interval; see the module.

    Args:
        first: Values of one side.
        second: Values of the other.
        rounding: Values are multiples of it.

    Returns:
        The mean of ``first`` less that of ``second``. The bounds are NaN where a side has fewer than two values.
    """
    return interval(fmean(first) - fmean(second), [variance_of_mean(side, rounding) for side in (first, second)])


def interval(value: float, parts: Sequence[Variance]) -> Difference:
    """The 95% interval of a number whose variance is a sum of estimates, with Satterthwaite's degrees of freedom.

    The bounds are NaN where a part is.
    """
    error = sum(part.value for part in parts)
    if math.isnan(error):
        return Difference(value, math.nan, math.nan)
    if error == 0:
        return Difference(value, value, value)
    freedom = error**2 / sum(part.value**2 / part.freedom for part in parts)
    reach = float(student.ppf((1 + CONFIDENCE) / 2, freedom)) * error**0.5
    return Difference(value, value - reach, value + reach)


def sentence(found: Sequence[Verdict]) -> str:
    """One sentence on whether the winner is better; empty without anything to compare it with."""
    parts: dict[str, list[str]] = {}
    for verdict in found:
        outcome, other = verdict.words
        parts.setdefault(outcome, []).append(other)
    clauses = [f"{outcome} {' and '.join(others)}" for outcome, others in parts.items()]
    return f"The winner {' and '.join(clauses)}." if found else ""
