"""Eqn. 4 as a score of a path."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.batchnorm import batch_norms
from pinas_zoo.search.consistency import TEMPERATURE, Consistency
from pinas_zoo.search.data import Images
from pinas_zoo.search.methods.pinas import Method
from pinas_zoo.search.spaces.nasbench201 import Space

PATH = Arch((0, 1, 2, 0, 1, 2))
OTHER = Arch((1, 1, 1, 1, 1, 1))
IMAGES = Images(torch.randint(0, 256, (14, 3, 8, 8), generator=torch.manual_seed(1)).byte(), torch.zeros(14).long())


@pytest.fixture
def method() -> Method:
    torch.manual_seed(0)
    space = Space(("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"), channels=4, cells=1)
    return Method(space, dim=8, head_norm=True)


def noisy(pixels, generator):
    x = pixels.float() / 255
    return torch.stack([x + 0.1 * torch.rand(x.shape, generator=generator) for _ in range(2)], 1)


def scorer(method, views=noisy):
    return Consistency(method.learned, method.head, IMAGES, views, batch_size=6)


def test_the_loss_is_that_of_telling_images_apart_in_both_directions(method):
    pair = torch.randn(2, 6, 3, 8, 8)
    with torch.no_grad():
        one, other = (method.student(view, PATH) for view in pair)
    logits, target = one @ other.T / TEMPERATURE, torch.arange(6)
    expected = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    assert scorer(method).loss(pair, PATH) == pytest.approx(float(expected), rel=1e-5)


def test_a_score_is_the_mean_over_full_batches(method):
    seen = []

    def views(pixels, generator):
        seen.append(noisy(pixels, generator))
        return seen[-1]

    found = scorer(method, views).score(PATH)
    assert [len(x) for x in seen] == [6, 6]  # the last two of 14 are left out
    expected = sum(scorer(method).loss(x.unbind(1), PATH) for x in seen) / 2
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert found.accuracy == pytest.approx(math.exp(-expected), rel=1e-5)


def test_scores_do_not_depend_on_order_or_company(method):
    one = scorer(method)
    assert one.scores([PATH, OTHER, PATH]) == [one.score(PATH), one.score(OTHER), one.score(PATH)]
    assert one.score(PATH) != one.score(OTHER)


def test_views_of_other_images_score_worse(method):
    def mixed(pixels, generator):
        x = pixels.float() / 255
        return torch.stack([x, x.roll(1, 0)], 1)

    def equal(pixels, generator):
        return torch.stack([pixels / 255] * 2, 1)

    assert scorer(method, equal).score(PATH).loss < math.log(6) < scorer(method, mixed).score(PATH).loss


def test_a_supernet_that_has_diverged_is_one_clear_error(method):
    method.head[0].weight.data[0, 0] = math.nan
    with pytest.raises(UserError, match=r"path 012012, got a loss of nan.*lower learn\.lr"):
        scorer(method).score(PATH)


def test_it_leaves_the_supernet_as_it_was(method):
    method.eval()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    scorer(method).scores([PATH, OTHER])
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert not any(norm.training for norm in batch_norms(method))
