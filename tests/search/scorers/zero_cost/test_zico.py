"""ZiCo by its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.search.scorers.zero_cost import zico
from tests.search.scorers.zero_cost.tiny_networks import Tiny, batch


@pytest.mark.parametrize("batches", [2, 3])
def test_it_is_the_sum_of_logarithms_of_the_ratios(batches):
    images, labels = batch(12)
    of_batches: dict[str, list[np.ndarray]] = {"conv.weight": [], "fc.weight": []}
    for part in range(batches):
        model = Tiny().train()
        at = slice(part * 12 // batches, (part + 1) * 12 // batches)
        F.cross_entropy(model(images[at]), labels[at]).backward()
        for name, found in of_batches.items():
            found.append(model.get_parameter(name).grad.double().numpy().ravel())
    expected = 0.0
    for found in of_batches.values():
        ratios = [np.mean(g) / np.std(g) for g in np.abs(np.stack(found)).T]  # one for each weight
        expected += math.log(sum(ratios))
    assert zico(Tiny(), images, labels, batches) == pytest.approx(expected, rel=1e-4)


def test_weights_without_a_gradient_are_left_out():
    images, labels = batch(8)
    model = Tiny()
    model.unused = torch.nn.Linear(5, 5)
    assert zico(model, images, labels) == zico(Tiny(), images, labels)
