"""Training paths of NAS-Bench-201: connected, differing, and evenly spread over depths."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search import build_space
from pinas_zoo.search.spaces.balanced_paths import effective_depth

NB201 = {"type": "nasbench201", "channels": 4, "cells": 1}


def drawn(way: str, count: int, times: int = 200) -> list[list[tuple[int, ...]]]:
    space = build_space({**NB201, "training_paths": way})
    sets = (space.sample(np.random.default_rng(seed), count) for seed in range(times))
    return [[tuple(path) for path in paths] for paths in sets]


def test_a_path_without_depth_ignores_the_image_and_another_does_not():
    supernet = build_space(NB201).supernet().eval()
    space, rng = build_space(NB201), np.random.default_rng(0)
    cut_off = 0
    for path in [space.sample(rng)[0] for _ in range(300)]:
        if effective_depth(tuple(path)) is not None and cut_off:
            continue
        with torch.no_grad():  # the cells' outputs: the reductions after them pass their own input on as well
            cell = supernet.stage1[0]
            one, other = (cell(x, supernet.chosen(path)) for x in torch.randn(2, 1, 4, 8, 8).unbind(0))
        same = bool(torch.equal(one, other))
        assert same == (effective_depth(tuple(path)) is None), path
        cut_off += same
    assert cut_off


@pytest.mark.parametrize("way", ["connected", "balanced"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_paths_are_connected_and_differ_in_every_layer(way, count):
    for paths in drawn(way, count, 30):
        assert len(paths) == count
        assert all(effective_depth(path) is not None for path in paths)
        assert all(len(set(layer)) == count for layer in zip(*paths, strict=True))


def test_depths_are_equally_frequent_only_if_balanced():
    counts = {
        way: Counter(max(1, effective_depth(path) or 0) for paths in drawn(way, 1, 600) for path in paths)
        for way in ("connected", "balanced")
    }
    assert all(abs(counts["balanced"][depth] / 600 - 1 / 3) < 0.07 for depth in (1, 2, 3))  # 3.5 standard errors
    assert counts["connected"][3] < 0.1 * 600


def test_uniform_paths_are_those_of_earlier_versions():
    assert drawn("uniform", 2, 3) == [
        [tuple(path) for path in build_space(NB201).sample(np.random.default_rng(seed), 2)] for seed in range(3)
    ]


def test_a_path_follows_from_the_generator():
    assert drawn("balanced", 2, 5) == drawn("balanced", 2, 5)


def test_wrong_options_are_one_line():
    with pytest.raises(UserError, match="training_paths to be uniform or connected or balanced, got 'deep'"):
        build_space({**NB201, "training_paths": "deep"})
    with pytest.raises(UserError, match="can reach the output"):
        build_space({**NB201, "operations": OPERATIONS[:1], "training_paths": "connected"})


def test_a_space_of_one_operation_has_no_two_paths():
    space = build_space({**NB201, "operations": OPERATIONS[1:3], "training_paths": "balanced"})
    with pytest.raises(ValueError, match="3 connected paths"):
        space.sample(np.random.default_rng(0), 3)
