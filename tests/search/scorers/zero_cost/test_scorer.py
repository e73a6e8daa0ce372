"""The contract of scorers without training: what they need, what their scores depend on, and extreme architectures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.errors import UserError
from pinas_zoo.search.score_kinds import KINDS, UNTRAINED
from pinas_zoo.search.scorers.protocol import GRADIENTS, LABELS, SUPERNET, Scorer, ScoringData
from pinas_zoo.search.scorers.zero_cost.naswot import NASWOTScorer
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

CELLS = NASBench201Space(channels=4, cells=1)
LAYERS = ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
ARCHS = {CELLS: [Arch.parse("323140"), Arch.parse("333333")], LAYERS: [Arch.parse("3013"), Arch.parse("1212")]}
CUT_OFF = Arch.parse("000000")
OF_LABELS = {"grad_norm", "snip", "fisher", "zico"}
OF_SIZE = {"flops", "reachable_flops", "reachable_params", "convolutions", "az_complexity", "shortest_path"}


def data(space: SearchSpace, seed: int = 0) -> ScoringData:
    generator = torch.Generator().manual_seed(1)
    images = Images(torch.randint(0, 256, (24, 3, 16, 16), generator=generator).byte(), torch.arange(24) % 3)
    return ScoringData(
        space, None, None, 3, images, images, lambda x: x.float() / 128 - 1, lambda x, g: x, 8, 16, seed,
        zero_cost_images=12,
    )  # fmt: skip


def scorer(name: str, space: SearchSpace, seed: int = 0) -> Scorer:
    build = KINDS[name].build
    assert build is not None
    return build(data(space, seed))


def test_needs_say_what_a_score_uses():
    assert len(UNTRAINED) == 17
    for name in UNTRAINED:
        assert SUPERNET not in KINDS[name].needs
        assert (LABELS in KINDS[name].needs) == (name in OF_LABELS)
        assert GRADIENTS in KINDS[name].needs or name not in {*OF_LABELS, "jacov", "synflow", "az_trainability"}


@pytest.mark.parametrize("space", ARCHS, ids=["cells", "layers"])
@pytest.mark.parametrize("name", sorted(UNTRAINED))
def test_a_score_depends_on_seed_and_architecture_alone(name, space):
    first, second = ARCHS[space]
    state = torch.random.get_rng_state()
    found = scorer(name, space).scores([first, second, first])
    assert found[0] == found[2]
    assert (found[0] == found[1]) == (name == "shortest_path" and space is LAYERS)  # all its blocks have shortcuts
    assert found[:2] == scorer(name, space).scores([second, first])[::-1]
    assert all(math.isfinite(score.accuracy) and math.isfinite(score.loss) for score in found)
    assert (scorer(name, space, seed=1).scores([first]) == found[:1]) == (name in OF_SIZE)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", sorted(UNTRAINED))
def test_a_network_that_is_cut_off_has_a_finite_score(name):
    full, cut = scorer(name, CELLS).scores([ARCHS[CELLS][1], CUT_OFF])
    assert math.isfinite(cut.accuracy)
    if name not in {"grad_norm", "snip", "fisher", "az_progressivity"}:
        assert cut.accuracy < full.accuracy


def test_branches_that_start_at_zero_are_opened():
    one = NASWOTScorer.build(data(LAYERS))
    network = one.network(ARCHS[LAYERS][0], seed=0)
    norms = [module for name, module in network.named_modules() if name.endswith("bn3")]
    assert len(norms) == 4
    assert all(bool((norm.weight == 1).all()) for norm in norms)


def test_all_networks_see_the_same_random_held_out_images():
    one = NASWOTScorer.build(data(CELLS))
    assert one.images.shape == (12, 3, 16, 16)
    assert torch.equal(one.images, scorer("jacov", CELLS).images)  # type: ignore[attr-defined]
    assert not torch.equal(one.images, scorer("jacov", CELLS, seed=1).images)  # type: ignore[attr-defined]
    assert len(one.labels.unique()) == 3
    small = replace(data(CELLS), zero_cost_images=100)
    assert len(NASWOTScorer.build(small).images) == 24  # all there are


def test_a_score_may_be_the_mean_over_initialisations():
    arch = ARCHS[CELLS][0]
    one = NASWOTScorer.build(data(CELLS))
    seeds = [one.network_seed(arch, k) for k in range(3)]
    values = [one.score_network(one.network(arch, s), one.images, one.labels, s) for s in seeds]
    assert len(set(values)) == 3
    assert one.score(arch).accuracy == values[0]
    three = NASWOTScorer.build(replace(data(CELLS), zero_cost_initialisations=3))
    assert three.score(arch).accuracy == pytest.approx(sum(values) / 3)


@pytest.mark.parametrize("name", sorted(UNTRAINED))
def test_scores_without_a_supernet_may_take_larger_networks(name):
    deep, arch = NASBench201Space(channels=4, cells=2), ARCHS[CELLS][0]
    build = KINDS[name].build
    assert build is not None
    (found,) = build(replace(data(CELLS), zero_cost_space=deep)).scores([arch])
    assert [found] == scorer(name, deep).scores([arch])
    assert ([found] == scorer(name, CELLS).scores([arch])) == (name == "shortest_path")  # it has a skip all the way


def test_a_score_that_is_not_finite_is_one_line():
    class Broken(NASWOTScorer):
        def score_network(self, model, images, labels, seed):
            return math.nan

    with pytest.raises(UserError, match="finite score of the untrained network 323140, got nan by Broken"):
        Broken.build(data(CELLS)).scores(ARCHS[CELLS][:1])
