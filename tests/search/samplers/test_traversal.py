"""Best-first traversal against the enumeration of all selections."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pinas_zoo.search.samplers.traversal import best_first


def random_parts(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, size=rng.integers(1, 5))
    losses = [rng.random(n).round(1) if seed % 2 else rng.random(n) for n in sizes]  # with ties
    costs = [rng.integers(0, 20, size=(n, 2)).astype(float) for n in sizes]
    return rng, losses, costs


@pytest.mark.parametrize("seed", range(60))
def test_all_selections_within_the_limits_appear_once_in_the_order_of_their_losses(seed):
    rng, losses, costs = random_parts(seed)
    whole = sum(c.max(0) for c in costs)
    limits = [math.inf if rng.random() < 0.3 else float(rng.uniform(0, 1) * whole[k]) for k in range(2)]
    expected = []
    for chosen in itertools.product(*(range(len(part)) for part in losses)):
        spent = sum(c[o] for c, o in zip(costs, chosen, strict=True))
        if (spent <= np.array(limits)).all():
            expected.append((sum(part[o] for part, o in zip(losses, chosen, strict=True)), chosen))
    found = list(best_first(losses, costs, limits))
    assert sorted(chosen for _, chosen in found) == sorted(chosen for _, chosen in expected)
    np.testing.assert_allclose([loss for loss, _ in found], sorted(loss for loss, _ in expected), atol=1e-12)


def test_the_first_of_a_large_space_is_found_without_enumerating_it():
    rng = np.random.default_rng(0)
    losses = [rng.random(n) for n in (64, 256, 4096, 64)]  # the paper's space has 4^16 paths
    costs = [rng.random((n, 2)) for n in (64, 256, 4096, 64)]
    found = list(itertools.islice(best_first(losses, costs, (1.0, 1.2)), 20))
    assert len({chosen for _, chosen in found}) == 20
    assert [loss for loss, _ in found] == sorted(loss for loss, _ in found)
    for _, chosen in found:
        assert (sum(c[o] for c, o in zip(costs, chosen, strict=True)) <= (1.0, 1.2)).all()
