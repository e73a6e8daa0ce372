"""The number of candidates within noise of the winner."""

from __future__ import annotations

import numpy as np

from pinas_zoo.arch import Arch
from pinas_zoo.search.ranking.winner_noise import accuracy_noise, score_noise
from pinas_zoo.search.scorers.protocol import Score


def test_accuracies_have_binomial_noise():
    winner, near, far = Arch((0, 0)), Arch((0, 1)), Arch((1, 1))
    scores = {winner: Score(0.98, 0.1), near: Score(0.97, 0.1), far: Score(0.80, 0.1)}
    found = accuracy_noise(scores, winner, 300)
    assert (found.within, found.others) == (1, 2)
    assert found.text.startswith("1 of 2 other candidates lie within noise of the winner")
    assert accuracy_noise(scores, winner, 100_000).within == 0
    perfect = {winner: Score(1.0, 0.1), near: Score(0.99, 0.1)}
    assert accuracy_noise(perfect, winner, 100).within == 1  # an accuracy of 100% has an error, too


def test_other_scores_scatter_around_main_effects():
    rng = np.random.default_rng(0)
    archs = {Arch(tuple(map(int, row))) for row in rng.integers(0, 3, (60, 4))}
    clear = {a: Score(0.1 * a[0] + 0.02 * a[1] + 0.001 * rng.normal(), 0.0) for a in sorted(archs)}
    best = max(clear, key=lambda a: clear[a].accuracy)
    of_best = sum(a[0] == 2 and a[1] == 2 for a in clear) - 1
    found = score_noise(clear, best, 3)
    assert found.within is not None
    assert found.within <= of_best
    noise = {a: Score(rng.normal(), 0.0) for a in sorted(archs)}
    lost = score_noise(noise, max(noise, key=lambda a: noise[a].accuracy), 3)
    assert lost.within is not None
    assert lost.within > 0.8 * lost.others
    few = {a: clear[a] for a in list(clear)[:5]}
    unknown = score_noise(few, next(iter(few)), 3)
    assert unknown.within is None
    assert "not known" in unknown.text
