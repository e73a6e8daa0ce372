"""Ranking correlation (sec. 4.3): Kendall's tau-b between a run's scores and the accuracies of trained networks.

Tau is reported beside the tau of multiply-adds alone, because a supernet that ranks no better than network size adds
nothing. Intervals are 95% bootstrap intervals over architectures; a difference is computed within each resample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from pinas_zoo.errors import UserError

RESAMPLES = 2000
LEAST = 3  # architectures
PAIRWISE = 1500  # architectures up to which all pairs are held in memory
Row = tuple[str, float, float, float]  # architecture, score, multiply-adds, accuracy of the trained network


@dataclass(frozen=True)
class KendallTau:
    """Kendall's tau-b with the bounds of its 95% bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class RankCorrelation:
    """How scores and multiply-adds rank ``count`` architectures, each compared with their accuracies after training."""

    count: int
    score: KendallTau
    flops: KendallTau
    difference: KendallTau  # score less flops
    best: str  # the architecture with the highest score
    best_truth: float  # its accuracy after training
    top_truth: float  # the highest accuracy among those compared

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def common(
    ranking: Sequence[Mapping[str, str]], truth: Mapping[str, float], canonical: Callable[[str], str | None]
) -> list[Row]:
    """Join a run's ranking with the truth: the architectures that both contain, multiply-adds in billions.

    Args:
        ranking: Rows of a run's ranking.csv.
        truth: Accuracies after training, by any text that ``canonical`` understands.
        canonical: Turns an architecture's text into the space's own form; None if the space does not contain it.

    Raises:
        UserError: They have fewer than three architectures in common, or the truth gives one two accuracies.
    """
    known: dict[str, float] = {}
    for text, value in truth.items():
        name = canonical(text)
        if name is not None and known.setdefault(name, value) != value:
            raise UserError(
                f"expected one accuracy of {name} in the truth, got {known[name]:g} and {value:g} under two spellings; "
                "keep one row for each architecture"
            )
    rows = [
        (row["arch"], float(row["accuracy"]), float(row["flops_g"]), known[row["arch"]])
        for row in ranking
        if row["arch"] in known
    ]
    if len(rows) < LEAST:
        raise UserError(
            f"expected at least {LEAST} architectures that the run scored and the truth knows, got {len(rows)}: "
            f"{len(ranking)} are scored, {len(truth)} known, {len(known)} of these belong to the run's space"
        )
    return rows


def correlate(rows: Sequence[Row], seed: int = 0, resamples: int = RESAMPLES) -> RankCorrelation:
    """Taus, intervals and best architectures of the rows that :func:`common` returns."""
    score, flops, truth = (np.array([row[k] for row in rows]) for k in (1, 2, 3))
    counts = _resample(len(rows), seed, resamples)
    by_score, by_flops = (_resampled(values, truth, counts) for values in (score, flops))
    best = int(np.argmax(score))
    return RankCorrelation(
        count=len(rows),
        score=_interval(tau(score, truth), by_score),
        flops=_interval(tau(flops, truth), by_flops),
        difference=_interval(tau(score, truth) - tau(flops, truth), by_score - by_flops),
        best=rows[best][0],
        best_truth=float(truth[best]),
        top_truth=float(truth.max()),
    )


def correlate_ranks(
    ranking: Sequence[Mapping[str, str]], rows: Sequence[Row], columns: Mapping[str, str], seed: int = 0
) -> dict[str, RankCorrelation]:
    """Correlations of further ranks that a run's ranking holds, over the architectures that :func:`common` returned.

    Args:
        ranking: Rows of a run's ranking.csv.
        rows: Those that :func:`common` returned.
        columns: Columns of ranks, 1 for the best, by any names.
        seed: Seed of the bootstrap.
    """
    by_arch = {row["arch"]: row for row in ranking}
    return {
        name: correlate([(arch, -float(by_arch[arch][column]), flops, true) for arch, _, flops, true in rows], seed)
        for name, column in columns.items()
    }


def tau(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Kendall's tau-b; 0 if one side is constant."""
    if len(a) < 3:  # SciPy's variance divides by zero
        return float(np.sign((a[0] - a[-1]) * (b[0] - b[-1]))) if len(a) else 0.0
    value = float(kendalltau(a, b, method="asymptotic").statistic)
    return 0.0 if np.isnan(value) else value


def tau_of(
    values: NDArray[np.float64], truth: NDArray[np.float64], seed: int = 0, resamples: int = RESAMPLES
) -> KendallTau:
    """Tau of values alone, and its interval: that of :func:`correlate`, in half the time."""
    return _interval(tau(values, truth), _resampled(values, truth, _resample(len(values), seed, resamples)))


def _resample(count: int, seed: int, resamples: int) -> NDArray[np.int32]:
    """How often each bootstrap resample contains each of ``count`` architectures: resamples x count."""
    rng = np.random.default_rng(seed)
    counts = np.empty((resamples, count), np.int32)
    for one in counts:
        one[:] = np.bincount(rng.integers(count, size=count), minlength=count)
    return counts


def _resampled(a: NDArray[np.float64], b: NDArray[np.float64], counts: NDArray[np.int32]) -> NDArray[np.float64]:
    """Tau-b of each resample; ``counts`` (resamples x N) says how often a resample contains each architecture.

    Up to :data:`PAIRWISE` architectures, tau is a sum over all pairs, computed by matrix products: 3 to 60 times as
    fast as sorting each resample.
    """
    if len(a) > PAIRWISE:
        return np.array([tau(np.repeat(a, count), np.repeat(b, count)) for count in counts])
    weights = counts.astype(float)
    order_a, order_b = (np.sign(np.subtract.outer(r, r)) for r in map(rankdata, (a, b)))  # N x N
    agree, apart_a, apart_b = (
        ((weights @ pairs) * weights).sum(1) for pairs in (order_a * order_b, abs(order_a), abs(order_b))
    )
    most = np.sqrt(apart_a * apart_b)
    return np.divide(agree, most, out=np.zeros_like(most), where=most > 0)


def _interval(value: float, samples: NDArray[np.float64]) -> KendallTau:
    low, high = np.quantile(samples, (0.025, 0.975))
    return KendallTau(value, float(low), float(high))


def scatter(
    rows: Sequence[Row], ranking: RankCorrelation, name: str = "accuracy", percent: bool = True
) -> Callable[[Any], None]:
    """A function that draws accuracy after training over the score ``name`` on matplotlib axes (Figures 3 and 8).

    Scores in percent are those of paths in a supernet; others are of untrained networks.
    """

    def draw(axes: Any) -> None:
        axes.plot(
            [(100 if percent else 1) * row[1] for row in rows], [row[3] for row in rows], ".", markersize=4, alpha=0.6
        )
        axes.set(xlabel=f"{name} in the supernet, %" if percent else name, ylabel="accuracy alone")
        axes.set_title(f"tau {ranking.score}, n = {ranking.count}", fontsize=8)

    return draw
