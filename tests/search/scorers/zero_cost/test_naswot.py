"""NASWOT by the Hamming distances of codes, and which activations count."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.models.nasbench201 import FixedCell
from pinas_zoo.search.scorers.zero_cost import naswot
from pinas_zoo.search.scorers.zero_cost.naswot import SMALLEST
from tests.search.scorers.zero_cost.tiny_networks import Tiny, batch


def by_hamming(codes: list[list[bool]]) -> float:
    """log |det K| with K the number of units less the Hamming distance, one pair after the other."""
    kernel = np.zeros((len(codes), len(codes)))
    for i, j in itertools.product(range(len(codes)), repeat=2):
        kernel[i, j] = sum(a == b for a, b in zip(codes[i], codes[j], strict=True))
    return float(np.linalg.slogdet(kernel)[1])


def test_it_is_the_log_determinant_of_the_agreement_of_codes():
    model, (images, _) = Tiny(), batch(5)
    with torch.no_grad():
        before = model.train().norm(model.conv(images))  # batch statistics
    expected = by_hamming((before > 0).flatten(1).tolist())
    assert naswot(model, images) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("activation", [F.relu, torch.relu, nn.ReLU(inplace=True), nn.GELU(), F.silu, nn.ReLU6()])
def test_functions_count_as_modules_do(activation):
    class Network(nn.Module):
        def forward(self, x):
            return activation(activation(x) - 0.5)

    images = torch.randn(4, 6, generator=torch.manual_seed(0))
    inner = activation(images.clone()) - 0.5
    expected = by_hamming(torch.cat([images > 0, inner > 0], 1).tolist())
    assert naswot(Network(), images.clone()) == pytest.approx(expected, rel=1e-6)


def test_images_of_one_code_give_a_low_finite_score():
    images = torch.ones(3, 4)
    assert naswot(nn.ReLU(), images) == pytest.approx(math.log(12) + 2 * math.log(SMALLEST), rel=1e-6)


def test_each_edge_of_a_benchmark_s_cell_has_a_rectifier_of_its_own():
    torch.manual_seed(0)
    cell = FixedCell(4, (3, 3, 0, 3, 0, 2), affine=True)  # node 0 has three convolutions, node 2 one
    images = torch.randn(3, 4, 5, 5)
    with torch.no_grad():
        node = cell.train().conv(1, 3)(F.relu(images))
    codes = torch.cat([images > 0, images > 0, node > 0], 1).flatten(1)  # edge 0 leads nowhere
    assert naswot(cell, images) == pytest.approx(by_hamming(codes.tolist()), rel=1e-6)
    assert cell.reuses_activations


def test_a_larger_network_scores_higher():
    images = torch.randn(8, 3, 32, 32, generator=torch.manual_seed(0))
    small, large = (timm.create_model("nasbench201", arch=arch, channels=4, cells=1) for arch in ("000100", "333333"))
    assert naswot(small, images) < naswot(large, images)
