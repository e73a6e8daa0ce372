"""Exploration without training: distinct architectures, scores that do not depend on order, the whole of a space."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.config import Explore
from pinas_zoo.search.data import Images
from pinas_zoo.search.evaluate import Evaluator, Score
from pinas_zoo.search.explore import best, explore, read_ranking, write_ranking
from pinas_zoo.search.linear import LinearEvaluation
from pinas_zoo.search.spaces.resnest50 import Space

TINY = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


@pytest.fixture
def space() -> Space:
    return Space(**TINY, zero_init_last=False)


def by_digits(calls: list[Arch]):
    def score(arch: Arch) -> Score:
        calls.append(arch)
        return Score(sum(arch) / 12, loss=arch[0])

    return score


def test_no_architecture_is_evaluated_twice_and_the_goal_is_met(space, tmp_path):
    calls: list[Arch] = []
    scores = explore(space, by_digits(calls), Explore(evaluations=60, population=10), tmp_path / "explore", seed=0)
    assert len(scores) == len(calls) == len(set(calls)) == 60
    first, last = (sum(sum(a) for a in part) / 10 for part in (calls[:10], calls[-10:]))
    assert last > first  # evolution goes where scores are high


def test_a_space_smaller_than_the_goal_is_scored_whole(space, tmp_path):
    space.num_candidates = 2  # 16 architectures
    calls: list[Arch] = []
    scores = explore(space, by_digits(calls), Explore(evaluations=100, population=4), tmp_path / "explore", seed=0)
    assert len(scores) == len(calls) == space.size == 16


def test_going_on_with_a_larger_goal_keeps_what_is_known(space, tmp_path):
    calls: list[Arch] = []
    few = explore(space, by_digits(calls), Explore(evaluations=8, population=4), tmp_path / "explore", seed=0)
    more = explore(space, by_digits(calls), Explore(evaluations=16, population=4), tmp_path / "explore", seed=0)
    assert list(more)[:8] == list(few)
    assert len(calls) == 16


def test_ranking_breaks_ties_by_loss(space, tmp_path):
    a, b, c = Arch((0, 0, 0, 0)), Arch((1, 1, 1, 1)), Arch((2, 2, 2, 2))
    scores = {a: Score(0.5, 1.0), b: Score(0.9, 2.0), c: Score(0.9, 1.5)}
    assert best(scores) == c
    write_ranking(tmp_path / "ranking.csv", space, scores, 32)
    rows = read_ranking(tmp_path / "ranking.csv")
    assert [r["arch"] for r in rows] == ["2222", "1111", "0000"]
    assert [r["evaluation"] for r in rows] == ["2", "1", "0"]


def test_the_order_of_evaluation_changes_no_score(space):
    torch.manual_seed(0)
    supernet = space.supernet()
    images = Images(torch.randint(0, 256, (24, 3, 32, 32)).to(torch.uint8), torch.arange(24) % 3)
    classifier = nn.Linear(supernet.num_features, 3)
    evaluator = Evaluator(supernet, classifier, images, images, lambda x: x.float() / 255, batch_size=10)
    paths = [Arch((0, 1, 2, 3)), Arch((3, 2, 1, 0)), Arch((1, 1, 1, 1))]
    forward = [evaluator.score(path) for path in paths]
    backward = [evaluator.score(path) for path in reversed(paths)]
    assert forward == backward[::-1]
    assert len({score.loss for score in forward}) == 3


def test_linear_evaluation_trains_the_classifier_and_nothing_else(space):
    torch.manual_seed(0)
    network = LinearEvaluation(space, space.supernet(), num_classes=3, seed=0)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network.train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    losses = network(torch.randn(8, 1, 3, 32, 32), torch.arange(8) % 3, step=0)
    losses["loss"].backward()
    optimizer.step()
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"fc.weight", "fc.bias"}
