"""Main effects: exact for additive scores, better than the scores under noise, and nothing for what none has seen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pinas_zoo.arch import Arch
from pinas_zoo.search.effects import main_effects
from pinas_zoo.search.rank import tau

ARCHS = [Arch(digits) for digits in itertools.product(range(3), repeat=5)]


def additive(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Effects, layers x candidates, and their sums for all architectures."""
    table = np.random.default_rng(seed).normal(size=(5, 3))
    return table, np.array([table[range(5), list(arch)].sum() for arch in ARCHS])


def test_additive_scores_are_found_up_to_the_ridge():
    table, sums = additive(0)
    found = main_effects(dict(zip(ARCHS, 7 + sums, strict=True)), 3)
    assert found.mean == pytest.approx(7 + sums.mean())
    assert found.table == pytest.approx(table - table.mean(1, keepdims=True), rel=0.02, abs=0.02)
    assert found.explained > 0.999
    assert [found.score(a) for a in ARCHS[:9]] == pytest.approx(7 + sums[:9], abs=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_sums_of_effects_rank_better_than_noisy_scores_of_a_few(seed):
    _, sums = additive(seed)
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(ARCHS))[:60]
    scores = {ARCHS[k]: float(sums[k] + rng.normal(scale=sums.std())) for k in some}
    found = main_effects(scores, 3)
    raw = tau(np.array(list(scores.values())), sums[some])
    of_these = tau(np.array([found.score(ARCHS[k]) for k in some]), sums[some])
    of_all = tau(np.array([found.score(a) for a in ARCHS]), sums)
    assert of_these > raw + 0.1
    assert of_all > raw
    assert 0.2 < found.explained < 0.8


def test_a_candidate_that_none_has_seen_adds_nothing():
    found = main_effects({Arch((0, 1)): 1.0, Arch((1, 1)): 3.0, Arch((0, 0)): 2.0}, 4)
    assert (found.table[:, 2:] == 0).all()
    assert found.score(Arch((3, 3))) == found.mean == 2.0


def test_equal_scores_have_no_effects():
    found = main_effects(dict.fromkeys(ARCHS[:7], 0.5), 3)
    assert not found.table.any()
    assert found.explained == 0
