"""Each sign of a search that learned nothing, with numbers that must warn and numbers that must not."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from pinas_zoo.arch import Arch
from pinas_zoo.search import learned_nothing as checks
from pinas_zoo.search.config import parse_config
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.stages import stage_warnings

LN10 = math.log(10)


def falling(steps: int, to: float) -> list[float]:
    rng = np.random.default_rng(0)
    return [float(LN10 + (to - LN10) * k / steps + 0.02 * rng.normal()) for k in range(1, steps + 1)]


@pytest.mark.parametrize(
    ("loss", "chance"),
    [
        ([2.4, 2.31], [LN10, LN10]),
        ([3.7, 7.26], [2.0, 6.99]),  # negatives that a warm queue gains
        (falling(30, 0.5)[:24] + [2.5] * 6, [LN10] * 30),  # diverged at the end
        ([math.nan, 2.4], [LN10, LN10]),
    ],
)
def test_a_loss_at_or_above_guessing_warns(loss, chance):
    found = checks.loss_at_chance(loss, chance)
    assert found is not None
    assert found.blocks
    assert "guessing has" in found.text
    assert "learn.steps" in found.text


@pytest.mark.parametrize(
    ("loss", "chance"),
    [([2.4, 2.0], [LN10, LN10]), ([0.0], [0.0]), ([], []), ([11.96, 7.9], [12.7, 13.86]), ([math.nan], [LN10])],
)
def test_a_loss_below_guessing_does_not(loss, chance):
    assert checks.loss_at_chance(loss, chance) is None


def test_a_rising_loss_warns_by_quarters_and_near_guessing_by_its_ends():
    rising = falling(40, 1.0)[::-1]
    found = checks.loss_rises(rising, [LN10] * 40, [True] * 40)
    assert found is not None
    assert "rose from 1." in found.text
    short = checks.loss_rises([11.99, 12.78], [12.71, 13.86], [False, True])  # 20 steps of digits.py
    assert short is not None
    assert "rose from 11.99 to 12.78" in short.text


@pytest.mark.parametrize(
    ("loss", "chance", "settled"),
    [
        (falling(40, 1.0), [LN10] * 40, [True] * 40),
        ([LN10 * 0.5 + 0.1 * (-1) ** k for k in range(40)], [LN10] * 40, [True] * 40),  # as high as low
        ([1.0, 1.2], [LN10] * 2, [True] * 2),  # two steps, far below guessing
        ([2.2], [LN10], [True]),
        ([8.9, 9.5, *np.linspace(12.1, 7.9, 28)], [8.9, 9.6, *[13.86] * 28], [False, False, *[True] * 28]),  # digits.py
        ([9.0, 12.0], [0.0, 0.0], [False, False]),  # a queue of random entries
    ],
)
def test_a_loss_that_falls_or_scatters_does_not(loss, chance, settled):
    assert checks.loss_rises([float(x) for x in loss], [float(x) for x in chance], settled) is None


@pytest.mark.parametrize(
    ("accuracy", "images", "guess", "warns"),
    [
        (0.1, 300, 0.1, True),
        (0.13, 300, 0.1, True),
        (0.25, 300, 0.1, False),
        (0.13, 3000, 0.1, False),
        (0.5, 4, 0.25, True),
    ],
)
def test_an_accuracy_at_chance_warns_by_its_standard_error(accuracy, images, guess, warns):
    found = checks.accuracy_at_chance(accuracy, images, guess, "the accuracy", "more steps")
    assert (found is not None) == warns
    if found is not None:
        assert f"{accuracy:.1%}, where guessing has {guess:.1%}; try more steps" in found.text


@pytest.mark.parametrize(
    ("learned", "untrained", "images", "warns"),
    [
        (0.818, 0.784, 700, True),  # 3 steps of `digits`, with four seeds
        (0.820, 0.801, 700, True),
        (0.857, 0.810, 700, True),
        (0.843, 0.849, 700, True),
        (0.876, 0.784, 700, False),  # 20 steps
        (0.959, 0.784, 700, False),  # all 200
        (0.379, 0.275, 2000, False),  # cells on CIFAR-10
        (1.0, 1.0, 700, True),
    ],
)
def test_probes_within_noise_of_the_first_weights_warn(learned, untrained, images, warns):
    found = checks.no_better_than_untrained(learned, untrained, images)
    assert (found is not None) == warns
    if found is not None:
        assert found.blocks
        assert (
            f"name {learned:.1%} of {images} held-out images, those of its first weights {untrained:.1%}" in found.text
        )


def scores_of(pairs: list[tuple[float, float]]) -> list[Score]:
    return [Score(*pair) for pair in pairs]


def test_equal_scores_warn():
    found = checks.equal_scores(scores_of([(0.977, 0.1), (0.977, 0.2)]), "held-out accuracy", True)
    assert found is not None
    assert "their losses alone order them" in found.text
    assert "harder task" in found.text
    same = checks.equal_scores(scores_of([(0.0, 1.0)] * 5), "held-out consistency", False)
    assert same is not None
    assert "arbitrary" in same.text
    assert checks.equal_scores(scores_of([(0.9, 0.1), (0.91, 0.1)]), "held-out accuracy", True) is None
    assert checks.equal_scores(scores_of([(0.9, 0.1)]), "held-out accuracy", True) is None  # a method chose it


def test_counts_that_candidates_share_are_no_sign_of_a_supernet_that_learned_nothing():
    """A search by the number of convolutions has no supernet."""
    config = parse_config({"name": "cells", "space": {"type": "nasbench201"}, "explore": {"score": "convolutions"}})
    scores = {Arch((k % 5, k // 5, 0, 0, 0, 0)): Score(float(k % 3), 0.0) for k in range(25)}
    equal, shared = stage_warnings._of_scores(SimpleNamespace(config=config), scores)
    assert equal is None
    assert shared.text.startswith("8 of 25 candidates share the best convolutions, 2: the winner is an arbitrary one")
    assert not shared.blocks
    scores[Arch((4, 4, 4, 0, 0, 0))] = Score(3.0, 0.0)  # now one is the best
    assert stage_warnings._of_scores(SimpleNamespace(config=config), scores) == [None, None]
    equal, shared = stage_warnings._of_scores(SimpleNamespace(config=config), dict.fromkeys(scores, Score(37.0, 0.0)))
    assert shared is None
    assert "all 26 candidates have the same convolutions, 37:" in equal.text
    assert "another explore.score" in equal.text


def test_fewer_distinct_scores_than_candidates_warn():
    repeated = scores_of([(0.1 * (k % 5), 1.0) for k in range(40)])
    found = checks.few_distinct_scores(repeated, "held-out consistency", False)
    assert found is not None
    assert found.blocks
    assert "40 candidates have 5 different scores" in found.text
    coarse = scores_of([(0.97 + (k % 3) / 300, k / 100) for k in range(100)])  # 3 values, 100 losses
    found = checks.few_distinct_scores(coarse, "held-out accuracy", True)
    assert found is not None
    assert not found.blocks
    isomorphic = scores_of([(0.01 * (k % 42), 1.0) for k in range(100)])  # 41% differ, as in NAS-Bench-201
    assert checks.few_distinct_scores(isomorphic, "held-out consistency", False) is None
    spread = scores_of([(0.9 + (k % 15) / 300, k / 100) for k in range(100)])
    assert checks.few_distinct_scores(spread, "held-out accuracy", True) is None


def some(count: int, effect: float, noise: float) -> dict[Arch, Score]:
    rng = np.random.default_rng(0)
    archs = [Arch(tuple(map(int, row))) for row in rng.integers(0, 4, (count, 4))]
    return {a: Score(0.5 + effect * a[0] + noise * rng.normal(), 1 + noise * rng.normal()) for a in archs}


def test_scores_that_no_choice_explains_warn():
    found = checks.unexplained_scores(some(150, 0.0, 0.01), 4)
    assert found is not None
    assert "look like noise" in found.text
    assert checks.unexplained_scores(some(150, 0.02, 0.01), 4) is None
    assert checks.unexplained_scores(some(12, 0.0, 0.01), 4) is None  # too few to tell
    assert checks.unexplained_scores({}, 4) is None
    by_loss = {a: Score(0.97, 1 + 0.1 * a[1]) for a in some(150, 0.0, 0.01)}
    assert checks.unexplained_scores(by_loss, 4) is None
