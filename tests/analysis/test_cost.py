"""Costs by formula against real networks, built on the meta device and counted by hooks."""

from __future__ import annotations

import random
import time

import pytest
import timm
import torch
from torch import nn

from pinas_zoo.analysis.cost import Cost, count_module, head_cost, layer_costs, layer_sizes, network_cost, stem_cost
from pinas_zoo.models.pinas import ARCHS, CANDIDATES, PiNAS, layer_specs
from pinas_zoo.models.spec import NetworkSpec

SMALL = dict(depths=(1, 2, 1, 1), widths=(16, 32, 64, 128), stem_width=8)


def random_case(seed: int) -> dict:
    """A network of random depths, widths, head, channels, stride and architecture that timm-free code can build."""
    rng = random.Random(seed)
    depths = tuple(rng.randint(1, 3) for _ in range(4))
    return dict(
        arch="".join(rng.choice("0123") for _ in range(sum(depths))),
        depths=depths,
        widths=tuple(rng.choice((16, 32, 64, 96)) for _ in range(4)),
        stem_width=rng.choice((4, 8, 32)),
        num_classes=rng.choice((0, 7, 1000)),
        in_chans=rng.choice((1, 3, 4)),
        output_stride=rng.choice((8, 16, 32)),
        global_pool=rng.choice(("avg", "catavgmax")),
    )


@pytest.mark.parametrize("seed", range(24))
def test_formula_equals_the_network_counted(seed):
    case = random_case(seed)
    size = random.Random(seed).choice([(224, 224), (64, 64), (65, 97), (33, 128)])
    counted = count_module(PiNAS(**case, device="meta"), (case["in_chans"], *size))
    assert network_cost(NetworkSpec(**case), size) == counted


@pytest.mark.parametrize("seed", range(6))
def test_formula_equals_the_full_size_network(seed):
    arch = "".join(random.Random(seed).choices("0123", k=16))
    assert network_cost(NetworkSpec(arch)) == count_module(PiNAS(arch, device="meta"), (3, 224, 224))


def test_parameters_of_the_paper_s_networks():
    assert network_cost(NetworkSpec(ARCHS["pinas_alpha"])).params == 27_046_278
    assert network_cost(NetworkSpec(ARCHS["pinas_gamma"])).params == 27_039_016
    assert network_cost(NetworkSpec("1" * 16)) == count_module(
        timm.create_model("resnest50d", device="meta"), (3, 224, 224)
    )
    assert network_cost(NetworkSpec("1" * 16)).params == 27_483_240


def test_sizes_are_those_of_the_features():
    model = timm.create_model("pinas", arch="01230", **SMALL, features_only=True).eval()
    features = model(torch.zeros(1, 3, 65, 97))
    sizes = layer_sizes(layer_specs(**SMALL), (65, 97))
    last_of_stage = [0, 2, 3, 4]
    assert [sizes[i][1] for i in last_of_stage] == [tuple(f.shape[2:]) for f in features[1:]]


def test_an_architecture_is_a_sum_over_the_table():
    table = layer_costs(layer_specs())
    assert len(table) == 16
    assert all(len(row) == len(CANDIDATES) for row in table)
    rng = random.Random(0)
    for _ in range(200):
        arch = rng.choices(range(4), k=16)
        total = stem_cost() + sum(row[c] for row, c in zip(table, arch, strict=True)) + head_cost(NetworkSpec(arch))
        assert total == network_cost(NetworkSpec(arch))


def test_summing_takes_microseconds():
    table = layer_costs(layer_specs())
    archs = [random.Random(i).choices(range(4), k=16) for i in range(1000)]
    start = time.perf_counter()
    for arch in archs:
        sum(row[c] for row, c in zip(table, arch, strict=True))
    assert (time.perf_counter() - start) / len(archs) < 200e-6  # about 15 on an idle machine


def test_counting_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2, bias=False), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 5))
    model.train()
    model[1].eval()
    before = model[1].running_mean.clone()
    assert count_module(model, (4, 3, 3)) == Cost(params=8 * 2 * 9 + 16 + 45, macs=8 * 2 * 9 + 40)
    assert model.training
    assert not model[1].training
    assert torch.equal(model[1].running_mean, before)
    assert not any(m._forward_hooks for m in model.modules())


def test_costs_add_only_to_costs():
    assert sum([Cost(1, 2), Cost(3, 4)]) == Cost(4, 6)
    with pytest.raises(TypeError):
        Cost(1, 2) + 3


def test_an_arch_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="expected an architecture of 16 layers"):
        NetworkSpec("0123")
