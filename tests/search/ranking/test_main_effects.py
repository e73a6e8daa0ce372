"""Main effects: exact for additive scores, better than the scores under noise, and nothing for what none has seen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pinas_zoo.arch import Arch
from pinas_zoo.search.ranking.kendall import tau
from pinas_zoo.search.ranking.main_effects import MainEffects, main_effects

ARCHS = [Arch(digits) for digits in itertools.product(range(3), repeat=5)]


def additive(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """MainEffects, layers x candidates, and their sums for all architectures."""
    table = np.random.default_rng(seed).normal(size=(5, 3))
    return table, np.array([table[range(5), list(arch)].sum() for arch in ARCHS])


def test_additive_scores_are_found_up_to_the_ridge():
    table, sums = additive(0)
    found = main_effects(dict(zip(ARCHS, 7 + sums, strict=True)), 3)
    assert found.mean == pytest.approx(7 + sums.mean())
    assert found.table == pytest.approx(table - table.mean(1, keepdims=True), rel=0.02, abs=0.02)
    assert found.explained > 0.999
    assert [found.score(a) for a in ARCHS[:9]] == pytest.approx(7 + sums[:9], abs=0.1)


def test_a_choice_without_an_effect_counts_as_the_space_says():
    """Where the first layer has candidate 0, the second one's choice changes nothing."""
    table, _ = additive(0)
    table[1] = (-2, 0, 2)

    def reachable(arch: Arch) -> Arch:
        return Arch((0, 0, *arch.choices[2:])) if arch.choices[0] == 0 else arch

    sums = np.array([table[range(5), list(reachable(arch))].sum() for arch in ARCHS])
    scores = dict(zip(ARCHS, sums, strict=True))
    found, blind = main_effects(scores, 3, reachable), main_effects(scores, 3)
    assert found.explained > 0.999 > blind.explained
    assert found.score(Arch((0, 1, 2, 0, 1))) == found.score(Arch((0, 2, 2, 0, 1)))
    assert [found.score(arch) for arch in ARCHS] == pytest.approx(sums.tolist(), abs=0.2)


@pytest.mark.parametrize("seed", range(5))
def test_networks_that_are_cut_off_do_not_outweigh_the_others(seed):
    """A twentieth of the scores is far below the rest, whatever their choices."""
    _, sums = additive(seed)
    values = sums.copy()
    values[np.random.default_rng(seed).permutation(len(values))[:12]] -= 50 * sums.std()
    found = main_effects(dict(zip(ARCHS, values, strict=True)), 3)
    assert tau(np.array([found.score(a) for a in ARCHS]), sums) > 0.7


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


def test_effects_are_beside_the_mean_however_unevenly_candidates_were_tried():
    _, sums = additive(0)
    rng = np.random.default_rng(0)
    often = rng.permutation(len(ARCHS))[np.minimum(rng.geometric(0.02, 150), len(ARCHS)) - 1]
    scores = {ARCHS[k]: float(sums[k]) for k in often}
    found = main_effects(scores, 3)
    assert np.mean([found.score(a) for a in scores]) == pytest.approx(found.mean, abs=1e-9)
    for layer in range(5):
        assert np.mean([found.table[layer, arch[layer]] for arch in scores]) == pytest.approx(0, abs=1e-12)


def test_equal_scores_have_no_effects():
    found = main_effects(dict.fromkeys(ARCHS[:7], 0.7), 3)
    assert not found.table.any()
    assert (found.mean, found.explained, found.reliability) == (0.7, 0, 0)
    assert found.warning() == "all 7 scores are equal"
    assert main_effects(dict.fromkeys(ARCHS[:64], 0.97333), 3).mean == 0.97333  # its plain mean is another


def test_of_noise_nothing_is_explained():
    rng = np.random.default_rng(0)
    archs = [Arch(tuple(row)) for row in rng.integers(4, size=(100, 16))]
    assert main_effects(dict(zip(archs, rng.normal(size=100), strict=True)), 4).explained < 0


def test_what_is_explained_is_of_scores_left_out():
    """The reference fits all scores but one, which is replaced by the mean of the others, so that the mean is kept."""
    _, sums = additive(1)
    values = sums[::7] + np.random.default_rng(1).normal(size=35)
    archs, errors = ARCHS[::7], []
    for k, arch in enumerate(archs):
        others = np.delete(values, k)
        shifted = dict(zip(np.delete(np.arange(35), k), others - others.mean() + values.mean(), strict=True))
        fit = main_effects({archs[n]: value for n, value in shifted.items()}, 3)
        errors.append(values[k] - fit.score(arch))
    found = main_effects(dict(zip(archs, values, strict=True)), 3)
    assert found.explained == pytest.approx(1 - np.mean(np.square(errors)) / values.var(), abs=0.05)


def test_equal_sums_are_equal_however_they_are_added():
    parts = (0.1, 0.2, -0.3)
    table = np.array([parts] * 3)
    orders = [Arch(order) for order in itertools.permutations(range(3))]
    for mean in (0.0, 0.6, -1e-6, 1e6):
        assert {MainEffects(99, mean, table, 1.0, 1.0).score(arch) for arch in orders} == {mean}
    assert MainEffects(99, 0.5, table, 1.0, 1.0).score(Arch((0, 0, 0))) == 0.8


@pytest.mark.parametrize(
    ("scores", "noise", "warning"),
    [
        (21, 0.0, "21 scores are few for main effects, which have 11 unknowns: score 22 or more"),
        (22, 0.0, None),
        (200, 20.0, "noise in the 200 scores explains"),
        (200, 0.1, None),
    ],
)
def test_sums_that_mean_little_are_told(scores, noise, warning):
    _, sums = additive(0)
    rng = np.random.default_rng(0)
    some = rng.permutation(len(ARCHS))[:scores]
    found = main_effects({ARCHS[k]: float(sums[k] + rng.normal(scale=noise + 1e-9)) for k in some}, 3)
    assert (found.warning() is None) if warning is None else (warning in str(found.warning()))


@pytest.mark.parametrize("count", [60, 120, 243])
def test_reliability_is_the_squared_correlation_of_sums_with_what_is_additive(count):
    """The scores are too noisy to be reliable individually; the average is over ten draws."""
    told, found = [], []
    for seed in range(10):
        _, sums = additive(seed)
        rng = np.random.default_rng(seed)
        some = rng.permutation(len(ARCHS))[:count]
        fit = main_effects({ARCHS[k]: float(sums[k] + 1.5 * rng.normal(scale=sums.std())) for k in some}, 3)
        told.append(fit.reliability)
        found.append(np.corrcoef([fit.score(a) for a in ARCHS], sums)[0, 1] ** 2)
    assert np.mean(told) == pytest.approx(np.mean(found), abs=0.1)
    assert np.mean(told) > 2 * max(0.0, fit.explained)


def test_the_whole_of_a_small_space_is_not_few():
    assert main_effects({Arch((a, b)): float(a + b) for a in range(3) for b in range(3)}, 3).warning() is None
