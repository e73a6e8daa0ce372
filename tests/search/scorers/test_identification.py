"""Paths scored by how well a view identifies its image, by Eqn. 4 of whitened features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.identification import RIDGE, TEMPERATURE, IdentificationScorer
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space

PATH = Arch((0, 1, 2, 0, 1, 2))


@pytest.fixture
def scorer() -> IdentificationScorer:
    torch.manual_seed(0)
    supernet = NASBench201Space(("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"), channels=4, cells=1).supernet()
    images = Images(torch.randint(0, 256, (12, 3, 8, 8)).byte(), torch.zeros(12).long())
    return IdentificationScorer(supernet, images, lambda x, rng: torch.stack([x / 255, x / 255], 1), batch_size=6)


def by_eigenvalues(one: np.ndarray, other: np.ndarray) -> float:
    """The score by another way: principal components, each divided by the root of its variance plus the ridge."""
    both = np.concatenate([one, other])
    variances, directions = np.linalg.eigh(both.T @ both / len(both))
    white = both @ directions / np.sqrt(variances + RIDGE)
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    logits = white[: len(one)] @ white[len(one) :].T / TEMPERATURE
    losses = [np.mean(np.log(np.exp(x).sum(1)) - np.diag(x)) for x in (logits, logits.T)]
    return 1 - float(np.mean(losses)) / np.log(len(one))


@pytest.mark.parametrize(("count", "width"), [(40, 8), (6, 20)])
def test_it_equals_whitening_by_principal_components(scorer, count, width):
    rng = np.random.default_rng(0)
    one, noise = rng.normal(size=(count, width)), rng.normal(size=(count, width))
    for strength in (0.0, 0.5, 5.0):
        other = one + strength * noise
        found = scorer.compare(torch.from_numpy(one), torch.from_numpy(other)).item()
        assert found == pytest.approx(by_eigenvalues(one, other), abs=1e-9)


def test_one_is_certain_zero_is_nothing_and_less_is_wrong(scorer):
    one = torch.randn(64, 128)
    assert scorer.compare(one, one) > 0.9
    assert abs(scorer.compare(one, torch.randn(64, 128))) < 0.2
    assert scorer.compare(torch.zeros(64, 128), torch.zeros(64, 128)) == pytest.approx(0, abs=1e-6)
    assert scorer.compare(one, one.roll(1, 0)) < 0


def test_a_strong_direction_that_all_views_share_changes_little(scorer):
    one = torch.randn(64, 16)
    other = one + 0.3 * torch.randn(64, 16)
    before = scorer.compare(one, other)
    shared = 20 * torch.randn(1, 16) * torch.randn(64, 1)  # along one direction, the same for both views
    assert scorer.compare(one + shared, other + shared) == pytest.approx(before.item(), abs=0.1)


def test_scores_of_a_supernet(scorer):
    score, again = scorer.scores([PATH, PATH])
    assert score == again
    assert 0 < score.accuracy < 1
    assert score.loss == pytest.approx(1 - score.accuracy)


def test_scores_beside_another_scorer_equal_its_own(scorer):
    other = ConsistencyScorer(scorer.side_by_side.networks[0], scorer.held_out, scorer.views, scorer.batch_size)
    paths = [PATH, Arch((1, 1, 1, 1, 1, 1)), Arch((2, 0, 1, 1, 1, 0))]
    assert scorer.scores_beside(paths, other) == [scorer.scores(paths), other.scores(paths)]
