"""Kendall's tau, its intervals and the expected best of random search against their definitions; the rank command."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import arch_string
from pinas_zoo.search.ranking import kendall
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.ranking.kendall import common, correlate, tau
from pinas_zoo.search.ranking.truth_csv import read_truth
from pinas_zoo.search.report.figures import expected_best
from tests.golden import shared_dir


def by_pairs(a: np.ndarray, b: np.ndarray) -> float:
    """Tau-b by its definition, a pair at a time."""
    agree = ties_a = ties_b = 0
    for i, j in itertools.combinations(range(len(a)), 2):
        agree += np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])
        ties_a += a[i] == a[j]
        ties_b += b[i] == b[j]
    pairs = len(a) * (len(a) - 1) // 2
    return agree / math.sqrt((pairs - ties_a) * (pairs - ties_b))


@pytest.mark.parametrize("seed", range(20))
def test_tau_equals_a_count_of_pairs_with_ties(seed):
    rng = np.random.default_rng(seed)
    a = rng.integers(6, size=25).astype(float)
    b = a * rng.integers(-1, 2) + rng.integers(4, size=25)
    assert tau(a, b) == pytest.approx(by_pairs(a, b), abs=1e-12)


def test_resamples_in_matrix_products_are_those_one_by_one(monkeypatch):
    rng = np.random.default_rng(3)
    truth = rng.integers(12, size=40).astype(float)
    three = rows(truth + rng.integers(6, size=40), rng.integers(2, size=40), truth)
    pairwise = correlate(three, resamples=50)
    monkeypatch.setattr(kendall, "PAIRWISE", 0)
    one_by_one = correlate(three, resamples=50)
    for field in ("score", "flops", "difference"):
        ours, theirs = getattr(pairwise, field), getattr(one_by_one, field)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert ours.low < ours.value < ours.high
    few = correlate(rows([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), resamples=50)  # some hold one alone
    assert (few.flops.low, few.flops.high) == (0.0, 0.0)


def test_tau_of_what_does_not_vary_is_zero():
    assert tau(np.ones(5), np.arange(5.0)) == 0.0


def rows(score, flops, truth):
    return [(f"{k:04d}", *map(float, values)) for k, values in enumerate(zip(score, flops, truth, strict=True))]


def test_an_order_that_is_the_truth_beats_one_that_is_not():
    truth = np.arange(40.0)
    flops = np.random.default_rng(0).permutation(40)
    found = correlate(rows(truth / 40, flops, truth), resamples=200)
    assert found.count == 40
    assert (found.score.value, found.score.low, found.score.high) == pytest.approx((1, 1, 1))
    assert found.difference.value == pytest.approx(1 - by_pairs(flops, truth))
    assert found.difference.low > 0
    assert (found.best, found.best_truth, found.top_truth) == ("0039", 39.0, 39.0)
    equal = correlate(rows(flops, flops, truth), resamples=20)
    assert (equal.difference.value, equal.difference.low, equal.difference.high) == (0.0, 0.0, 0.0)


def test_intervals_hold_the_true_value_about_as_often_as_they_say():
    """The scores have noise, and tau in the population is known: 2/pi * arcsin(correlation)."""
    correlation, inside = 0.8, 0
    population = 2 / math.pi * math.asin(correlation)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=60)
        score = correlation * truth + math.sqrt(1 - correlation**2) * rng.normal(size=60)
        found = correlate(rows(score, rng.normal(size=60), truth), resamples=100)
        inside += found.score.low <= population <= found.score.high
        assert found.score.low <= found.score.value <= found.score.high
    assert inside >= 20  # 95% of 25 are 23.75


def test_the_tables_own_figures_are_found():
    """Tau of the 729 NAS-Bench-201 architectures without none and skip: ../shared/data/README.md."""
    path = shared_dir() / "data" / "nb201_cifar10.csv"
    truth, column = read_truth(path)
    assert (len(truth), column) == (15625, "cifar10_test_acc")
    ranking = [
        {"arch": arch_string(arch), "accuracy": f"{row.accuracies['cifar10_test_acc_12ep']}", "flops_g": f"{row.flops}"}
        for arch, row in read_table(path).items()
        if "none" not in arch_string(arch) and "skip" not in arch_string(arch)
    ]
    found = correlate(common(ranking, truth, lambda text: text), resamples=20)
    assert found.count == 729
    assert found.flops.value == pytest.approx(0.642, abs=5e-4)
    assert found.score.value == pytest.approx(0.667, abs=5e-4)


@pytest.mark.parametrize("seed", range(3))
def test_expected_best_equals_a_simulation(seed):
    rng = np.random.default_rng(seed)
    sample = rng.normal(size=12)
    sample[1] = sample[0]
    draws = rng.choice(sample, size=(20000, 30))
    simulated = np.maximum.accumulate(draws, axis=1)
    error = 5 * simulated.std(0) / math.sqrt(20000) + 1e-9
    assert (np.abs(expected_best(sample, 30) - simulated.mean(0)) <= error).all()


def test_too_few_in_common_says_how_many_of_what():
    ranking = [{"arch": f"000{k}", "accuracy": "0.5", "flops_g": "1"} for k in range(4)]
    truth = {"0000": 1.0, "0001": 2.0, "other": 3.0}
    with pytest.raises(UserError, match=r"got 2: 4 are scored, 3 known, 2 of these belong to the run's space"):
        common(ranking, truth, lambda text: None if text == "other" else text)


def test_tau_of_values_alone_has_the_interval_that_it_has_beside_flops():
    rng = np.random.default_rng(5)
    values, truth = rng.normal(size=(2, 40))
    rows = [(str(k), float(v), 1.0, float(t)) for k, (v, t) in enumerate(zip(values, truth, strict=True))]
    assert kendall.tau_of(values, truth, seed=3, resamples=50) == kendall.correlate(rows, 3, 50).score


def test_further_ranks_are_compared_with_the_same_truth():
    ranking = [{"arch": str(k), "flops_rank": str(1 + (7 * k) % 11)} for k in range(11)]
    rows = [(str(k), 0.0, 1.0, -float((7 * k) % 11)) for k in range(10)]
    (found,) = kendall.correlate_ranks(ranking, rows, {"flops": "flops_rank"}).values()
    assert (found.count, found.score.value) == (10, pytest.approx(1))
