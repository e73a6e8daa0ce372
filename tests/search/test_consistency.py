"""Eqn. 4 as a score of a path."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.arch import Arch
from pinas_zoo.search.batchnorm import batch_norms
from pinas_zoo.search.consistency import Consistency
from pinas_zoo.search.methods.pinas import Method
from pinas_zoo.search.spaces.nasbench201 import Space

PATH = Arch((0, 1, 2, 0, 1, 2))


@pytest.fixture
def method() -> Method:
    torch.manual_seed(0)
    space = Space(("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"), channels=4, cells=1)
    return Method(space, dim=8, head_norm=True)


def test_it_is_the_loss_of_telling_images_apart_in_both_directions(method):
    views = torch.randn(2, 6, 3, 8, 8)
    found = Consistency(method.student, views, temperature=0.2).loss(PATH)
    with torch.no_grad():
        one, other = (method.student(view, PATH) for view in views)
    logits, target = one @ other.T / 0.2, torch.arange(6)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_views_of_other_images_are_worse_than_equal_ones(method):
    x = torch.randn(6, 3, 8, 8)
    equal = Consistency(method.student, torch.stack([x, x]), 0.1).loss(PATH)
    other = Consistency(method.student, torch.stack([x, x.roll(1, 0)]), 0.1).loss(PATH)
    assert equal < math.log(6) < other


def test_it_leaves_the_encoder_as_it_was(method):
    method.eval()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    Consistency(method.student, torch.randn(2, 6, 3, 8, 8), 0.1).losses([PATH, PATH])
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert not any(norm.training for norm in batch_norms(method))


@pytest.mark.parametrize("shape", [(3, 4, 3, 8, 8), (2, 1, 3, 8, 8), (4, 3, 8, 8), (0, 4, 3, 8, 8)])
def test_what_are_no_pairs_of_views_is_refused(method, shape):
    with pytest.raises(ValueError, match="expected an even number of views of at least 2 images, got"):
        Consistency(method.student, torch.zeros(shape), 0.1)
