"""Sums of the logarithms of ranks: how several scores of the same architectures become one.

Ranks have no unit, so accuracies, cosines and multiply-adds can be added. As in AZ-NAS (Lee and Ham, CVPR 2024), ranks
are counted from the last place, and the sum is that of log(rank / N): one bad score costs more than several good ones
bring, since each kind of score has architectures that it overrates. On NAS-Bench-201 this ranks better than sums of
ranks, and than logarithms of ranks that are counted from the first place (benchmarks/results/rank_sums.md).

Ranks are those among the architectures that are scored when a ranking is made, so that a sum changes with every further
architecture, and single scores do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers.protocol import Score

Ranks = NDArray[np.float64]


def ranks_of(scores: Sequence[Score]) -> Ranks:
    """Ranks by score, then by loss: 1 is the best, and equal ones have their mean rank."""
    keys = np.array([(-score.accuracy, score.loss) for score in scores])  # N x 2, lower is better
    return rankdata(np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1))


def log_rank_sums(ranks: Mapping[str, Ranks], weights: Mapping[str, float]) -> Ranks:
    """The weighted sum of -log(places from the last / N), N; lower is better, and 0 is the first by every score.

    Args:
        ranks: Ranks of the same N architectures by each score, 1 to N, 1 is the best.
        weights: Weight of each score.
    """
    total = np.zeros(1)
    for name, weight in weights.items():
        count = len(ranks[name])
        total = total - weight * np.log((count + 1 - ranks[name]) / count)
    return total


def shares(sums: Ranks, weights: Mapping[str, float]) -> Ranks:
    """Sums of log ranks on a scale on which higher is better: 1 is the first by every score, 0 the last by every."""
    most = sum(weights.values()) * math.log(len(sums))
    return 1 - sums / most if most else np.ones(len(sums))


def smoothed_sums(scores: Sequence[Score], sums: Sequence[float]) -> Ranks:
    """Architectures by their own scores and by sums of main effects together, N; lower is better.

    Each counts half, by :func:`log_rank_sums`. A score is noisy and knows its architecture; a sum averages over many
    scores and ignores how choices act together.

    Args:
        scores: Scores of the architectures.
        sums: Sums of the main effects of these scores; higher is better.
    """
    ranks = {"score": ranks_of(scores), "effects": rankdata([-value for value in sums])}
    return log_rank_sums(ranks, dict.fromkeys(ranks, 0.5))


def part_ranks(scores: Mapping[Arch, Score], weights: Mapping[str, float]) -> dict[str, Ranks]:
    """Ranks of all architectures by each part, in the order of ``scores``."""
    return {name: ranks_of([score.parts[name] for score in scores.values()]) for name in weights}


def combined(scores: Mapping[Arch, Score], weights: Mapping[str, float] | None) -> dict[Arch, Score]:
    """Scores by which architectures are ranked, computed from their parts.

    Args:
        scores: Scores of all architectures among which ranks count. Each has the parts that ``weights`` names.
        weights: Weight of each part; None: scores are single ones, and stay as they are.
    """
    if weights is None or not scores:
        return dict(scores)
    values = shares(log_rank_sums(part_ranks(scores, weights), weights), weights).tolist()
    return {
        arch: Score(value, 1 - value, score.parts) for (arch, score), value in zip(scores.items(), values, strict=True)
    }
