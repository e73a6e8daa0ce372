"""jacov by an explicit Jacobian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd.functional import jacobian

from pinas_zoo.search.scorers.zero_cost import jacov
from pinas_zoo.search.scorers.zero_cost.jacov import K
from tests.search.scorers.zero_cost.tiny_networks import Tiny, batch


def test_it_is_the_formula_on_the_jacobian():
    model, (images, _) = Tiny(), batch(4)
    model.train()
    full = jacobian(lambda x: model(x), images)  # N x outputs x N x C x H x W
    rows = full.sum((0, 1)).flatten(1).double().numpy()
    values = np.linalg.eigvalsh(np.corrcoef(rows))
    expected = -(np.log(values + K) + 1 / (values + K)).sum()
    assert jacov(Tiny(), images) == pytest.approx(expected, rel=1e-4)


def test_uncorrelated_gradients_score_best():
    images = torch.randn(3, 64, generator=torch.manual_seed(0))
    square = torch.nn.Module()
    square.forward = lambda x: x.square()  # type: ignore[method-assign]
    assert -3.2 < jacov(square, images) < -3  # eigenvalues near 1


def test_a_network_that_cuts_off_its_input_scores_lowest():
    network = torch.nn.Module()
    network.forward = lambda x: 0 * x  # type: ignore[method-assign]
    images, _ = batch(4)
    expected = -3 * (np.log(K) + 1 / K) - np.log(4 + K) - 1 / (4 + K)
    assert jacov(network, images) == pytest.approx(expected, rel=1e-9)
