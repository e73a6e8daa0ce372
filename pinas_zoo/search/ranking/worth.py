"""Whether a search was worth it: the winner beside the reference and beside random networks, all trained alike.

Each architecture was trained with several seeds. A seed decides about the order of the images and their augmentation,
so that it moves all networks a little in one direction. On CIFAR-10, accuracies of 13 networks with 3 seeds each have a
standard deviation of 0.93 points over seeds, and of 0.77 without what the seeds have in common (F = 6.8, of
benchmarks/results/study_cifar10.json). Differences within a seed are free of it, so 95% intervals are those of such
differences, one for each seed:

- against the reference, the winner's accuracy less the reference's: the paired t-test. The interval covers the
  randomness of these two networks' training alone;
- against random networks, the winner's accuracy less the mean of theirs. How the architectures' means differ, one
  number each, is added. The interval then is one of the mean over the whole space at this cost, not over the few that
  were drawn. It is a little too wide: the randomness of training that the few have is in both terms.

A variance pooled over all networks has more degrees of freedom, but it holds only where all are equally noisy, and they
are not: in four runs of the demo the deviation over seeds, without what the seeds have in common, went from 0.1 points
of one network to 6.7 of another. One bad random network would hide a clear result against the reference. In a
simulation with 3 seeds and 16 random networks a third as noisy as winner and reference, pooled 95% intervals held the
true difference from the reference in 63% of 3,000 cases, paired ones in 95%. A test of equal variances before pooling
does not help: with 2 or 3 seeds it finds little. The price is that with s seeds there are s - 1 degrees of freedom: the
interval reaches 12.7 standard errors with 2 seeds, 4.3 with 3 and 2.8 with 5.

Where networks do not have the same seeds, nothing is paired, and intervals are those of Welch's t-test (Biometrika,
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
        other = (
            "the reference" if self.role == REFERENCE else f"the mean of {self.networks} random networks of like cost"
        )
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
    found = []
    for role in (REFERENCE, RANDOM):
        others = [network for network in networks if network.role == role]
        if others:
            difference = _difference(winner, others, rounding)
            found.append(Verdict(role, len(others), difference, sum(other.mean < winner.mean for other in others)))
    return found


def _difference(winner: TrainedArch, others: Sequence[TrainedArch], rounding: float) -> Difference:
    """The winner's mean less that of the reference, or of random networks, each of which counts once."""
    is_reference, means = others[0].role == REFERENCE, [other.mean for other in others]
    within = within_seeds(winner, others, rounding)
    if within is None:
        return welch(winner.accuracies, others[0].accuracies if is_reference else means, rounding)
    parts = [within] if is_reference else [within, variance_of_mean(means, rounding)]
    return interval(winner.mean - fmean(means), parts)


def within_seeds(winner: TrainedArch, others: Sequence[TrainedArch], rounding: float = 0.0) -> Variance | None:
    """The variance that training alone gives the difference of the winner's mean from the mean of others.

    Args:
        winner: The winner.
        others: The networks that it is compared with.
        rounding: Accuracies are multiples of it.

    Returns:
        None if they do not share their seeds, or there are fewer than two.
    """
    if any(other.seeds != winner.seeds for other in others) or len(set(winner.seeds)) < 2:
        return None
    columns = zip(winner.accuracies, *(other.accuracies for other in others), strict=True)
    differences = [first - fmean(rest) for first, *rest in columns]
    count, exact = len(differences), variance(differences)
    return Variance((exact + (1 + 1 / len(others)) * rounding**2 / 12) / count, count - 1)


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
