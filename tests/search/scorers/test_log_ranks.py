"""Sums of log ranks against another computation, and scorers that are run together against each alone."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.search.ranking.kendall import tau
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.score_kinds import KINDS, aggregate_kind
from pinas_zoo.search.scorers.log_ranks import combined, smoothed_sums
from pinas_zoo.search.scorers.protocol import CLASSIFIER, LABELS, SUPERNET, Score, ScoringData
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

ARCHS = [Arch(digits) for digits in product(range(3), repeat=3)]


def some_scores(count: int, seed: int = 0) -> dict[Arch, Score]:
    """Parts with many ties, and one without."""
    rng = np.random.default_rng(seed)
    scores = {}
    for arch in ARCHS[:count]:
        parts = {
            "coarse": Score(float(rng.integers(4)), float(rng.integers(2))),
            "fine": Score(float(rng.normal()), 0.0),
        }
        scores[arch] = Score(parts["coarse"].accuracy, parts["coarse"].loss, parts)
    return scores


def place(one: Score, others: list[Score]) -> float:
    """The mean of the places that a score can have among all: the first after those that are better, and so on."""
    better = sum((o.accuracy, -o.loss) > (one.accuracy, -one.loss) for o in others)
    equal = sum((o.accuracy, o.loss) == (one.accuracy, one.loss) for o in others)
    return sum(better + k for k in range(1, equal + 1)) / equal


@pytest.mark.parametrize("weights", [{"coarse": 1.0}, {"coarse": 1.0, "fine": 0.5}, {"fine": 3.0, "coarse": 0.25}])
def test_the_sum_is_that_of_weighted_logarithms_of_places(weights):
    scores = some_scores(27)
    found = combined(scores, weights)
    assert list(found) == list(scores)
    for arch, score in found.items():
        places = {name: place(scores[arch].parts[name], [s.parts[name] for s in scores.values()]) for name in weights}
        total = sum(weight * math.log(28 - places[name]) for name, weight in weights.items())  # from the last place
        assert score.accuracy == pytest.approx(total / (sum(weights.values()) * math.log(27)), abs=1e-12)
        assert score.loss == pytest.approx(1 - score.accuracy)
        assert score.parts == scores[arch].parts


def test_first_by_each_is_1_and_last_by_each_is_0():
    scores = {arch: Score(0, 0, {"a": Score(-k, 0), "b": Score(-k, k)}) for k, arch in enumerate(ARCHS)}
    values = [score.accuracy for score in combined(scores, {"a": 1.0, "b": 2.0}).values()]
    assert (values[0], values[-1]) == (1, pytest.approx(0))
    assert values == sorted(values, reverse=True)


def test_the_order_of_scoring_changes_no_sum_and_one_alone_is_first():
    scores, weights = some_scores(20), {"coarse": 1.0, "fine": 0.3}
    assert combined(dict(reversed(scores.items())), weights) == combined(scores, weights)
    assert [score.accuracy for score in combined(some_scores(1), weights).values()] == [1.0]
    assert combined({}, weights) == {}
    assert combined(scores, None) == scores


def test_smoothed_sums_count_a_score_and_the_sum_of_effects_half_each():
    scores = [Score(0.3, 1.0), Score(0.5, 1.0), Score(0.5, 0.9), Score(0.1, 1.0)]
    sums = [0.4, 0.1, 0.2, 0.3]  # ranks 1 4 3 2 beside those of the scores, 3 2 1 4
    found = smoothed_sums(scores, sums)
    assert found.tolist() == pytest.approx([-0.5 * math.log(a * b / 16) for a, b in ((2, 4), (3, 1), (4, 2), (1, 3))])


@pytest.mark.parametrize("seed", range(3))
def test_smoothed_sums_are_better_than_noisy_scores_and_than_effects_that_miss_an_interaction(seed):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(3, 3))
    truth = np.array([sum(table[k, c] for k, c in enumerate(arch)) for arch in ARCHS])
    truth += 1.5 * np.array([arch.choices[0] == arch.choices[1] for arch in ARCHS])
    taus = []
    for _ in range(20):
        noisy = dict(zip(ARCHS, truth + 1.2 * rng.normal(size=len(ARCHS)), strict=True))
        effects = main_effects(noisy, 3)
        sums = [effects.score(arch) for arch in ARCHS]
        both = smoothed_sums([Score(value, 0.0) for value in noisy.values()], sums)
        taus.append([tau(np.array(values), truth) for values in (list(noisy.values()), sums, -both)])
    alone, additive, smoothed = np.mean(taus, 0)
    assert smoothed > max(alone, additive)


@pytest.fixture
def data() -> ScoringData:
    space = ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8, zero_init_last=False)
    torch.manual_seed(0)
    images = Images(torch.randint(0, 256, (24, 3, 32, 32)).to(torch.uint8), torch.arange(24) % 3)

    def two_views(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn((len(pixels), 2, *pixels.shape[1:]), generator=generator)
        return pixels[:, None].float() / 255 + 0.1 * noise

    return ScoringData(
        space, space.supernet(), None, 3, images, images, lambda x: x.float() / 255, two_views, 12, 32, seed=0
    )


def test_kinds_that_are_scored_together_have_the_scores_that_each_has_alone(data):
    parts = (("probe", 1.0), ("identification", 1.0), ("flops", 0.5), ("consistency", 2.0))
    kind = aggregate_kind(parts)
    assert kind.needs == {SUPERNET, LABELS}
    assert "probe + identification + 0.5 flops + 2 consistency" in kind.words
    assert kind.left_out == KINDS["probe"].left_out
    paths = [Arch((0, 1, 2, 3)), Arch((3, 2, 1, 0)), Arch((1, 1, 1, 1))]
    found = kind.build(data).scores(paths)
    for name, _ in parts:
        assert [score.parts[name] for score in found] == KINDS[name].build(data).scores(paths), name
    assert [(score.accuracy, score.loss) for score in found] == [
        (score.parts["probe"].accuracy, score.parts["probe"].loss) for score in found
    ]


def test_a_list_needs_what_any_part_needs():
    assert aggregate_kind((("flops", 1.0),)).needs == set()
    assert aggregate_kind((("flops", 1.0),)).left_out == KINDS["flops"].left_out
    assert aggregate_kind((("flops", 1.0), ("consistency", 1.0))).needs == {SUPERNET}
    assert aggregate_kind((("consistency", 1.0), ("classifier", 1.0))).needs == {SUPERNET, CLASSIFIER, LABELS}
