"""Paths scored by how alike views of an image are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.engine.batchnorm import batch_norms
from pinas_zoo.engine.side_by_side import SideBySide
from pinas_zoo.errors import UserError
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.spaces.base import Supernet
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space

PATH = Arch((0, 1, 2, 0, 1, 2))
OTHER = Arch((1, 1, 1, 1, 1, 1))
IMAGES = Images(torch.randint(0, 256, (14, 3, 8, 8), generator=torch.manual_seed(1)).byte(), torch.zeros(14).long())


@pytest.fixture
def supernet() -> Supernet:
    torch.manual_seed(0)
    return NASBench201Space(("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"), channels=4, cells=1).supernet()


def noisy(pixels, generator):
    x = pixels.float() / 255
    return torch.stack([x + 0.1 * torch.rand(x.shape, generator=generator) for _ in range(2)], 1)


def scorer(supernet, views=noisy):
    return ConsistencyScorer(supernet, IMAGES, views, batch_size=6)


def contrast(supernet, pair):
    one = scorer(supernet)
    return one.compare(*one.features(pair, PATH)).item()


def test_the_contrast_is_of_same_images_less_of_others(supernet):
    pair = torch.randn(2, 6, 3, 8, 8)
    with torch.no_grad():
        features = torch.cat([supernet.train()(view, PATH) for view in pair]).double().numpy()
    features = (features - features.mean(0)) / features.std(0, ddof=1)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    same = sum(features[k] @ features[6 + k] for k in range(6)) / 6
    different = sum(features[k] @ features[6 + j] for k in range(6) for j in range(6) if j != k) / 30
    assert contrast(supernet, pair) == pytest.approx(same - different, abs=1e-5)


def test_a_score_is_the_mean_over_full_batches(supernet):
    seen = []

    def views(pixels, generator):
        seen.append(noisy(pixels, generator))
        return seen[-1]

    found = scorer(supernet, views).score(PATH)
    assert [len(x) for x in seen] == [6, 6]  # the last two of 14 are left out
    expected = sum(contrast(supernet, x.unbind(1)) for x in seen) / 2
    assert found.accuracy == pytest.approx(expected, rel=1e-5)
    assert found.loss == pytest.approx(1 - expected, rel=1e-5)


def test_scores_do_not_depend_on_order_or_company(supernet):
    one = scorer(supernet)
    assert one.scores([PATH, OTHER, PATH]) == [one.score(PATH), one.score(OTHER), one.score(PATH)]
    assert one.score(PATH) != one.score(OTHER)
    expected = one.scores([PATH, OTHER, PATH])
    one.side_by_side = SideBySide(supernet, 2)
    assert one.scores([PATH, OTHER, PATH]) == expected


def test_equal_views_score_high_those_of_other_images_low_and_collapse_nothing(supernet):
    def scored(change):
        return scorer(supernet, lambda pixels, _: torch.stack(change(pixels / 255), 1)).score(PATH).accuracy

    assert scored(lambda x: [x, x]) > 0 > scored(lambda x: [x, x.roll(1, 0)])
    with torch.no_grad():
        supernet.bn2.weight.zero_()
        supernet.bn2.bias.fill_(1)
    assert scored(lambda x: [x, x]) == pytest.approx(0, abs=1e-6)


def test_a_supernet_that_has_diverged_is_one_clear_error(supernet):
    supernet.conv1.weight.data[0, 0] = math.nan
    with pytest.raises(UserError, match=r"path 012012, got nan.*lower learn\.lr"):
        scorer(supernet).score(PATH)


def test_it_leaves_the_supernet_as_it_was(supernet):
    supernet.eval()
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    scorer(supernet).scores([PATH, OTHER])
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    assert not any(norm.training for norm in batch_norms(supernet))
