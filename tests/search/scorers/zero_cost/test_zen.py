"""Zen-score by a finite perturbation of a network written out by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.search.scorers.zero_cost import zen
from tests.search.scorers.zero_cost.tiny_networks import Tiny, batch


def test_it_is_the_log_of_the_change_and_of_the_norms_deviations():
    images, _ = batch()
    generator = torch.Generator().manual_seed(7)
    weight = torch.randn(3, 2, 3, 3, generator=generator)
    torch.randn(4, 3, generator=generator)  # the classifier's
    x = torch.randn(images.shape, generator=generator)
    running, outputs = torch.ones(3), []
    for image in (x, x + 0.01 * torch.randn(x.shape, generator=generator)):
        y = F.conv2d(image, weight, padding=1)
        running = 0.9 * running + 0.1 * y.var((0, 2, 3))
        spread = y.var((0, 2, 3), keepdim=True, correction=0)
        outputs.append(F.relu((y - y.mean((0, 2, 3), keepdim=True)) / (spread + 1e-5).sqrt()))
    delta = sum(float((a - b).norm()) for a, b in zip(*outputs, strict=True)) / len(images)
    expected = math.log(delta) + math.log(float(running.mean())) / 2
    assert zen(Tiny(), images, seed=7) == pytest.approx(expected, rel=1e-4)


def test_it_depends_on_neither_weights_nor_images_and_changes_nothing():
    model, (images, _) = Tiny(seed=0), batch()
    torch.nn.init.zeros_(model.norm.weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert zen(model, images) == zen(Tiny(seed=3), torch.zeros_like(images))
    assert zen(model, images) != zen(model, images, seed=1)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
