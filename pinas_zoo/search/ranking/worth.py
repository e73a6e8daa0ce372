"""Whether a search was worth it: the winner beside the reference and beside random networks, all trained alike.

Each architecture was trained with several seeds. The difference of two means has a 95% interval by Welch's t-test
(Biometrika, 1947), which lets the two sides vary by different amounts, with Satterthwaite's degrees of freedom:

- against the reference, the winner's seeds are compared with the reference's seeds. The interval covers the randomness
  of training alone;
- against random networks, the winner's seeds are compared with the mean accuracies of the architectures, one number
  each. The interval then covers how architectures differ, too: it is one of the mean over the whole space at this cost,
  not over the few that were drawn.

An accuracy on n test images is a multiple of 1/n. Few images make seeds agree by chance, so the variance of this
rounding, 1/(12 n^2), is added to that of each side. All networks see the same test images, whose choice the intervals
do not cover. The two intervals are not corrected for being two.
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
    """

    role: str
    arch: str
    flops_g: float
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.accuracies)

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; 0 for a single one."""
        return variance(self.accuracies) ** 0.5 if len(self.accuracies) > 1 else 0.0


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
        TrainedArch(role, arch, some[0].flops_g, tuple(row.test_accuracy for row in some))
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
            values = others[0].accuracies if role == REFERENCE else [network.mean for network in others]
            below = sum(network.mean < winner.mean for network in others)
            found.append(Verdict(role, len(others), welch(winner.accuracies, values, rounding), below))
    return found


def welch(first: Sequence[float], second: Sequence[float], rounding: float = 0.0) -> Difference:
    """Difference of two means with Welch's 95% interval; see the module.

    Args:
        first: Values of one side.
        second: Values of the other.
        rounding: Values are multiples of it.

    Returns:
        The mean of ``first`` less that of ``second``. The bounds are NaN where a side has fewer than two values.
    """
    value = fmean(first) - fmean(second)
    if min(len(first), len(second)) < 2:
        return Difference(value, math.nan, math.nan)
    parts = [(variance(side) + rounding**2 / 12) / len(side) for side in (first, second)]
    error = sum(parts)
    if error == 0:
        return Difference(value, value, value)
    freedom = error**2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (first, second), strict=True))
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
