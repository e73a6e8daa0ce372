"""NAS-Bench-201: strings, costs against the published table, and cells against an independent reference."""

from __future__ import annotations

import time

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from pinas_zoo.analysis.cost import count_module
from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import EDGES, OPERATIONS, arch_string, parse_arch
from pinas_zoo.rng import step_rng
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from tests.golden import seeded_input, shared_dir

CONVS = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
TINY = dict(channels=4, cells=1)


def all_archs():
    return [Arch(tuple(int(d) for d in np.base_repr(k, 5).zfill(6))) for k in range(5**6)]


def test_strings_and_digits_are_one_to_one():
    archs = all_archs()
    strings = [arch_string(a) for a in archs]
    assert len(set(strings)) == 15625
    assert [parse_arch(s) for s in strings] == archs
    text = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|none~2|"
    assert str(parse_arch(text)) == "421210"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|nor_conv_3x3~0|", "three nodes"),
        ("|a~0|+|none~0|none~1|+|none~0|none~1|none~2|", "expected one of none"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", "expected 2 edge"),
        ("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|", "operation~1"),
        ("|none~0+|none~0|none~1|+|none~0|none~1|none~2|", "expected 1 edge"),
        ("||none~0||+|none~0|none~1|+|none~0|none~1|none~2|", "expected 1 edge"),
        ("01234", "6 layers"),
        ("012345", "0 to 4"),
    ],
)
def test_what_is_no_architecture_is_named(text, message):
    with pytest.raises(UserError, match=message):
        parse_arch(text)


def test_costs_of_all_architectures_equal_the_published_table():
    """The table's parameters; its FLOPs are multiply-adds of convolutions and classifier, and the classifier's bias."""
    space = NASBench201Space()
    table = read_table(shared_dir() / "data" / "nb201_cifar10.csv")
    assert len(table) == 15625
    for arch, row in table.items():
        params_m, flops_g = space.cost(space.from_operations(arch), 32)
        assert round(params_m * 1e6) + 64 * 10 + 10 == row.params
        assert round(flops_g * 1e9) + 64 * 10 + 10 == row.flops


@pytest.mark.parametrize("options", [dict(), dict(channels=6, cells=2, affine=False), dict(operations=CONVS, **TINY)])
def test_costs_equal_those_of_the_network_that_is_built(options):
    space = NASBench201Space(**options)
    for step in range(12):
        (path,) = space.sample(step_rng(0, step, 0))
        network = timm.create_model("nasbench201", num_classes=0, device="meta", **space.model_args(path))
        params_m, _ = space.cost(path, 32)
        assert round(params_m * 1e6) == sum(p.numel() for p in network.parameters())
        if "0" not in network.arch:  # operations that lead nowhere are counted, as the table does, but not computed
            assert round(space.cost(path, 32)[1] * 1e9) == count_module(network, (3, 32, 32)).macs
            assert round(space.cost(path, 19)[1] * 1e9) == count_module(network, (3, 19, 19)).macs


def test_a_cost_takes_microseconds():
    for space in (NASBench201Space(), build_space({"type": "resnest50"})):
        (path,) = space.sample(step_rng(0, 0, 0))
        space.cost(path, 32)
        times = []
        for _ in range(50):
            start = time.perf_counter()
            space.cost(path, 32)
            times.append(time.perf_counter() - start)
        assert min(times) < 50e-6


def reference(network, x):
    """The benchmark's network term by term: each edge computes, ``none`` gives zeros, nothing is shared or left out."""

    def edge(cell, index, operation, node):
        if operation == "none":
            return torch.zeros_like(node)
        if operation == "skip_connect":
            return node
        if operation == "avg_pool_3x3":
            counts = F.avg_pool2d(torch.ones_like(node), 3, 1, 1, divisor_override=1)
            return F.avg_pool2d(node, 3, 1, 1, divisor_override=1) / counts
        return getattr(cell, f"edge{index}")[operation](F.relu(node))

    x = network.bn1(network.conv1(x))
    for stage in (network.stage1, network.stage2, network.stage3):
        for layer in stage:
            if not hasattr(layer, "operations"):
                x = layer(x)
                continue
            nodes = [x]
            for node in (1, 2, 3):
                terms = [
                    edge(layer, k, OPERATIONS[layer.operations[k]], nodes[source])
                    for k, (source, to) in enumerate(EDGES)
                    if to == node
                ]
                nodes.append(sum(terms))
            x = nodes[3]
    return network.fc(network.act2(network.bn2(x)).mean((2, 3)))


@pytest.mark.parametrize("training", [True, False])
def test_networks_compute_what_the_benchmark_says(training):
    """Random architectures, and those where nodes are reached by nothing or lead nowhere."""
    archs = [str(space_arch) for step in range(20) for space_arch in NASBench201Space().sample(step_rng(1, step, 0))]
    for arch in [*archs, "000000", "333000", "000333", "033033", "302300", "040030", "020002", "003004", "000100"]:
        torch.manual_seed(0)
        network = timm.create_model("nasbench201", arch=arch, channels=4, cells=2).train(training)
        with torch.no_grad():
            for name, p in network.named_parameters():
                if "norm" in name:
                    p.copy_(torch.randn_like(p))  # a bias at zero would hide what a norm adds to a zero map
        x = seeded_input((3, 3, 16, 16), 0)
        torch.testing.assert_close(network(x), reference(network, x), rtol=1e-4, atol=1e-4)
        if not training:
            torch.testing.assert_close(network(x[:1]), reference(network, x[:1]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [dict(), dict(operations=CONVS, affine=False)])
def test_a_path_alone_computes_what_it_does_in_the_supernet(options):
    torch.manual_seed(0)
    space = NASBench201Space(**TINY, **options)
    supernet = space.supernet().eval()
    images = seeded_input((2, 3, 16, 16), 1)
    for step in range(10):
        (path,) = space.sample(step_rng(0, step, 0))
        network = timm.create_model("nasbench201", num_classes=0, **space.model_args(path)).eval()
        network.load_state_dict(space.export(supernet, path))
        torch.testing.assert_close(network(images), supernet(images, path), rtol=1e-5, atol=1e-5)


def test_restricted_digits_lead_to_the_benchmarks_and_back():
    space = NASBench201Space(operations=CONVS)
    assert (space.size, space.num_candidates) == (729, 3)
    path = Arch.parse("012012")
    assert str(space.operations_of(path)) == "234234" == space.model_args(path)["arch"]
    assert space.from_operations(Arch.parse("234234")) == path == space.parse(space.describe(path))
    with pytest.raises(UserError, match="expected only nor_conv_1x1"):
        space.parse(arch_string("134234"))
    assert sum(space.holds(arch) for arch in all_archs()) == 729


@pytest.mark.parametrize("arch", ["000000", "300000", "033034", "303101", "000100", "040004", "103003", "120000"])
def test_a_path_sees_the_image_unless_it_is_cut_off(arch):
    space = NASBench201Space(**TINY)
    supernet = space.supernet().eval()
    with torch.no_grad():
        first, second = supernet(torch.randn(2, 3, 16, 16), Arch.parse(arch))
    assert space.sees_image(Arch.parse(arch)) != torch.equal(first, second)


def test_resnets_cell_is_the_reference_where_it_belongs_to_the_space():
    (known,) = NASBench201Space(**TINY).references().values()
    assert arch_string(known) == "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
    x = torch.randn(2, 4, 8, 8)
    cell = NASBench201Space(**TINY).supernet().get_submodule("stage1.0").eval()
    block = x + cell.conv(2, 3)(F.relu(cell.conv(0, 3)(F.relu(x))))
    assert torch.allclose(cell(x, known.choices), block)
    restricted = NASBench201Space(("nor_conv_3x3", "none", "skip_connect"), **TINY)
    assert restricted.operations_of(restricted.references()["resnet"]) == known
    assert NASBench201Space(CONVS, **TINY).references() == {}
    assert NASBench201Space(subspace=CONVS, **TINY).references() == {}


def test_edges_share_no_work_and_none_costs_nothing(monkeypatch):
    """A cell rectifies and pools each node once, and does not compute dead ends."""
    calls = {"relu": 0, "pool": 0, "conv": 0}
    relu, pool, conv = F.relu, F.avg_pool2d, torch.nn.Conv2d.forward

    def count(key, function):
        def counted(*args, **kwargs):
            calls[key] += 1
            return function(*args, **kwargs)

        return counted

    monkeypatch.setattr(F, "relu", count("relu", relu))
    monkeypatch.setattr(F, "avg_pool2d", count("pool", pool))
    monkeypatch.setattr(torch.nn.Conv2d, "forward", count("conv", conv))
    cell = NASBench201Space(**TINY).supernet().stage1[0]
    x = seeded_input((2, 4, 8, 8), 0)
    for arch, expected in {
        "333333": {"relu": 3, "pool": 0, "conv": 6},
        "444444": {"relu": 0, "pool": 3, "conv": 0},
        "333300": {"relu": 1, "pool": 0, "conv": 1},  # nodes 1 and 2 lead nowhere
        "032323": {"relu": 2, "pool": 0, "conv": 3},  # node 1 is zero: the convolutions of it are left out
        "000000": {"relu": 0, "pool": 0, "conv": 0},
    }.items():
        calls.update(relu=0, pool=0, conv=0)
        cell(x, tuple(int(d) for d in arch))
        assert calls == expected, arch


@pytest.mark.parametrize(
    "options", [dict(operations=["conv"]), dict(operations=[]), dict(operations=["none"] * 2), dict(cells=0)]
)
def test_wrong_options(options):
    with pytest.raises(UserError, match="expected"):
        build_space({"type": "nasbench201", **options})
