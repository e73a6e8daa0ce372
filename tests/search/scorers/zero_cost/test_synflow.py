"""SynFlow by the paths of a tiny network."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from pinas_zoo.search.scorers.zero_cost import synflow
from pinas_zoo.search.scorers.zero_cost.synflow import SMALLEST


def test_it_is_the_sum_over_paths_once_for_each_layer():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4, bias=False), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False))
    first, second = (network[k].weight.detach().abs().double().tolist() for k in (0, 3))
    paths = sum(first[h][i] * second[o][h] for i, h, o in itertools.product(range(3), range(4), range(2)))
    # every path has one weight in each layer, so that each layer's sum is that of all paths
    assert synflow(network, torch.zeros(5, 3)) == pytest.approx(math.log(2 * paths), rel=1e-12)


def test_weights_after_a_bias_get_its_flow_too():
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), (-2.0, 3.0, -5.0, 7.0), strict=True):
            parameter.fill_(value)
    assert synflow(network, torch.zeros(1, 1)) == pytest.approx(math.log(2 * 5 + 5 * (2 + 3)))


def test_a_network_that_passes_nothing_on_has_a_finite_score():
    network = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(network.weight)
    assert synflow(network, torch.zeros(1, 2)) == math.log(SMALLEST)
    assert not network.weight.any()
