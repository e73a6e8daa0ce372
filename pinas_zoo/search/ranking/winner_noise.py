"""How many candidates lie within noise of the winner, from what a run stores: a score and a loss for each candidate.

The answers of single images are not stored, and candidates are scored once. For an accuracy the binomial standard error
of a difference is used, as if the two candidates had seen different images. They saw the same ones, which lowers the
error of the difference (McNemar's test), so that the number is an upper bound. Of other scores, the scatter around the
sums of main effects is known: it holds the noise, and the interaction of choices. It is an upper bound, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pinas_zoo.arch import Arch
from pinas_zoo.search.ranking.main_effects import Reachable, clipped, enough_scores, itself, main_effects
from pinas_zoo.search.scorers.protocol import Score

Z = 1.96  # standard errors: a 95% interval


@dataclass(frozen=True)
class WinnerNoise:
    """The candidates that noise does not tell from the winner.

    Attributes:
        within: Their number; None where the noise is not known.
        others: Number of candidates beside the winner.
        text: One sentence with the number and where the noise is known from.
    """

    within: int | None
    others: int
    text: str


def accuracy_noise(scores: Mapping[Arch, Score], winner: Arch, images: int) -> WinnerNoise:
    """Candidates whose accuracy is less than 1.96 standard errors of a difference below the winner's.

    Args:
        scores: Accuracies in 0..1, with that of the winner.
        winner: The winner.
        images: Number of held-out images. An accuracy counts as if one image more was wrong and one more was right, so
            that one of 100% has an error, too (Agresti and Coull's idea).
    """

    def variance(accuracy: float) -> float:
        p = (accuracy * images + 1) / (images + 2)
        return p * (1 - p) / images

    best = scores[winner].accuracy
    within = sum(
        best - score.accuracy <= Z * math.sqrt(variance(best) + variance(score.accuracy))
        for arch, score in scores.items()
        if arch != winner
    )
    reason = f"binomial error of a difference on {images} held-out images, an upper bound as all saw the same images"
    return _said(within, len(scores) - 1, reason)


def score_noise(
    scores: Mapping[Arch, Score],
    winner: Arch,
    num_candidates: int,
    shown: Callable[[float], str] = "{:.2%}".format,
    reachable: Reachable = itself,
) -> WinnerNoise:
    """The same for scores without a binomial error, by their scatter around sums of main effects.

    Args:
        scores: Scores, with that of the winner.
        winner: The winner.
        num_candidates: Candidates per layer.
        shown: A difference of scores as text.
        reachable: Of the space.
    """
    others = len(scores) - 1
    values = {arch: score.accuracy for arch, score in scores.items()}
    if not enough_scores(scores):
        reason = "each candidate is scored once, and there are too few to estimate the noise of a score"
        return WinnerNoise(None, others, f"how many candidates lie within noise of the winner is not known: {reason}")
    fit = main_effects(values, num_candidates, reachable)
    scatter = math.sqrt(max(0.0, 1 - fit.explained)) * float(clipped(values.values()).std())
    within = sum(
        values[winner] - value <= Z * math.sqrt(2) * scatter for arch, value in values.items() if arch != winner
    )
    reason = f"scatter of {shown(scatter)} around sums of main effects, an upper bound as it holds interactions, too"
    return _said(within, others, reason)


def _said(within: int, others: int, reason: str) -> WinnerNoise:
    return WinnerNoise(
        within, others, f"{within} of {others} other candidates lie within noise of the winner ({reason})"
    )
