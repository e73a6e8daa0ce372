"""What has an effect on the output: NAS-Bench-201's cells by enumeration of paths, networks by their gradients."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import timm
import torch

from pinas_zoo.analysis.cost import count_module
from pinas_zoo.arch import Arch
from pinas_zoo.models.nasbench201 import EDGES, NONE
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.ranking.kendall import tau
from pinas_zoo.search.scorers.zero_cost import convolutions, reachable_flops, reachable_params
from pinas_zoo.search.scorers.zero_cost.convolutions import ConvolutionsScorer
from pinas_zoo.search.scorers.zero_cost.reachable import ReachableFLOPsScorer, ReachableParamsScorer
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from tests.networks import ROOT

TRUTH = ROOT.parent / "shared" / "data" / "nb201_cifar10.csv"
PATHS = ([(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)])  # from the input to the output


@pytest.fixture(scope="module")
def space() -> NASBench201Space:
    return NASBench201Space()


def test_an_edge_is_reachable_if_an_open_path_takes_it(space):
    distinct = set()
    for choices in itertools.product(range(5), repeat=6):
        open_edges = {edge for edge, choice in zip(EDGES, choices, strict=True) if choice != NONE}
        taken = {edge for path in PATHS if set(path) <= open_edges for edge in path}
        expected = Arch(tuple(c if e in taken else NONE for e, c in zip(EDGES, choices, strict=True)))
        assert space.reachable(Arch(choices)) == expected
        distinct.add(expected)
    assert len(distinct) == 9445  # as many as the table of published scores was drawn from


def test_a_space_without_none_keeps_its_architectures():
    space = NASBench201Space(("nor_conv_3x3", "skip_connect"))
    assert space.reachable(Arch((0, 1, 0, 1, 0, 1))) == Arch((0, 1, 0, 1, 0, 1))
    assert ResNeSt50Space().reachable(Arch((1,) * 16)) == Arch((1,) * 16)


@pytest.mark.parametrize("arch", ["333333", "030303", "203140", "310300", "030110"])
def test_a_network_and_its_space_agree(arch):
    space = NASBench201Space(channels=4, cells=1)
    model = timm.create_model("nasbench201", arch=arch, channels=4, cells=1, num_classes=10)
    images = torch.zeros(2, 3, 16, 16)
    macs = ReachableFLOPsScorer(space, 16).scores([Arch.parse(arch)])[0]
    params = ReachableParamsScorer(space, 16).scores([Arch.parse(arch)])[0]
    classifier = model.fc.weight.numel()
    assert reachable_flops(model, images) == pytest.approx(1e9 * macs.accuracy + classifier)
    assert reachable_params(model, images) == pytest.approx(1e6 * params.accuracy + classifier + 10)
    assert (macs.loss, params.loss) == (params.accuracy, macs.accuracy)


def test_all_of_an_ordinary_network_is_reachable():
    model = timm.create_model("resnet10t", num_classes=10)
    whole = count_module(model, (3, 32, 32))
    images = torch.zeros(1, 3, 32, 32)
    assert (reachable_params(model, images), reachable_flops(model, images)) == (whole.params, whole.macs)


def test_convolutions_are_those_of_the_pruned_network():
    space = NASBench201Space(channels=4, cells=2)
    archs = [Arch(c) for c in np.random.default_rng(0).integers(5, size=(12, 6)).tolist()]
    for arch, score in zip(archs, ConvolutionsScorer(space, 16).scores(archs), strict=True):
        args = space.model_args(space.reachable(arch))
        assert score.accuracy == convolutions(timm.create_model(space.architecture, **args))


@pytest.mark.skipif(not TRUTH.is_file(), reason="needs ../shared/data/nb201_cifar10.csv")
def test_their_taus_on_the_benchmark(space):
    truth = {arch: row.accuracies["cifar10_test_acc"] for arch, row in read_table(TRUTH).items()}
    three = [arch for arch in truth if not {0, 1} & set(arch)]

    def taus(scorer, archs):
        return tau(np.array([s.accuracy for s in scorer.scores(archs)]), np.array([truth[a] for a in archs]))

    assert len(truth) == 15_625
    assert len(three) == 729
    assert taus(ReachableFLOPsScorer(space, 32), list(truth)) == pytest.approx(0.654, abs=5e-4)
    assert taus(ConvolutionsScorer(space, 32), three) == pytest.approx(0.720, abs=5e-4)
