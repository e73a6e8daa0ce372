"""Average pooling with padding: torch's gradient on CUDA is wrong for channels-last maps, ours is not."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

import pinas_zoo
from pinas_zoo.arch import Arch
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.options import Views
from pinas_zoo.engine.trainer import RunnerModel
from pinas_zoo.models import pooling
from pinas_zoo.models.pooling import PaddedAvgPool2d, average_pool, mend_pools
from pinas_zoo.search.methods.spos import SPOSMethod
from pinas_zoo.search.scorers.zero_cost.grad_norm import GradNormScorer
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space

CELL = "|avg_pool_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|avg_pool_3x3~2|"
TINY: dict[str, Any] = dict(depths=[1, 1, 1, 1], widths=[16, 16, 16, 16], stem_width=8, num_classes=3)
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "ours": ("pinas", dict(arch="0123", **TINY)),
    "a cell": ("nasbench201", dict(arch=CELL, channels=8, cells=1, num_classes=3)),
    "timm's": ("resnest14d", dict(num_classes=3)),
}


def broken_on(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Treat the CPU as the device with the wrong kernel; collects whether what torch pools is contiguous."""
    seen: list[bool] = []
    torch_pool = F.avg_pool2d

    def pool(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        seen.append(x.is_contiguous())
        return torch_pool(x, *args, **kwargs)

    monkeypatch.setattr(pooling, "has_wrong_gradient", lambda x: x.requires_grad)
    monkeypatch.setattr(F, "avg_pool2d", pool)
    return seen


@pytest.mark.parametrize("options", [dict(), dict(count_include_pad=False)])
def test_torch_never_pools_a_channels_last_map_that_needs_a_gradient(options, monkeypatch):
    x = torch.randn(2, 4, 6, 5).contiguous(memory_format=torch.channels_last)
    expected = F.avg_pool2d(x, 3, 2, 1, **options)
    seen = broken_on(monkeypatch)
    for pool in (lambda x: average_pool(x, 3, 2, 1, **options), PaddedAvgPool2d(3, 2, 1, **options)):
        y = pool(x.clone().requires_grad_())
        assert torch.equal(y, expected)
        assert y.is_contiguous(memory_format=torch.channels_last)
        pool(x)  # no gradient, no copy
    assert seen == [True, False] * 2


@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_that_is_trained_pools_in_channels_last(name, monkeypatch):
    architecture, args = NETWORKS[name]
    network = timm.create_model(architecture, **args)
    if name == "timm's":
        names = list(network.state_dict())
        mend_pools(network)
        assert list(network.state_dict()) == names
    network.to(memory_format=torch.channels_last)
    seen = broken_on(monkeypatch)
    images = torch.randn(2, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    network(images.requires_grad_()).sum().backward()
    padded = [m for m in network.modules() if isinstance(m, nn.AvgPool2d) and m.padding]
    assert all(type(m) is PaddedAvgPool2d for m in padded)
    assert sum(seen) >= max(1, len(padded))


def test_the_trainer_mends_any_network():
    class Pools(SPOSMethod):
        pass

    method = Pools(NASBench201Space(channels=4, cells=1), 3)
    method.foreign = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.AvgPool2d(2, 2), nn.AvgPool2d(3, 1, (1, 0)))  # type: ignore[assignment]
    RunnerModel(method, BatchViews(Views(), (0.5,) * 3, (0.25,) * 3))
    assert [type(m).__name__ for m in method.foreign] == ["PaddedAvgPool2d", "AvgPool2d", "PaddedAvgPool2d"]


@pytest.mark.parametrize("gates", [False, True])
def test_a_supernet_of_cells_pools_in_the_contiguous_format(gates, monkeypatch):
    space = NASBench201Space(channels=4, cells=1)
    supernet, seen = space.supernet(), broken_on(monkeypatch)
    path = torch.full((space.num_layers, space.num_candidates), 0.2) if gates else Arch((4,) * space.num_layers)
    supernet(torch.randn(2, 3, 16, 16).requires_grad_(), path)
    assert seen.count(True) >= 9  # three stages; the others are the reductions' pools, which have no padding


def test_training_free_scores_mend_any_network():
    foreign: Any = SimpleNamespace(architecture="resnest14d", model_args=lambda path: {})
    scorer = GradNormScorer(foreign, torch.zeros(1, 3, 32, 32), torch.zeros(1, dtype=torch.long), 3, 0)
    assert any(type(m) is PaddedAvgPool2d for m in scorer.network(Arch((0,)), 0).modules())


def test_the_package_has_no_other_padded_pool():
    root = Path(pinas_zoo.__file__).parent
    calls = {
        (path.relative_to(root), call)
        for path in root.rglob("*.py")
        if path.name != "pooling.py"
        for call in re.findall(r"\b(?:avg_pool2d|AvgPool2d)\([^)\n]*", path.read_text(encoding="utf-8"))
    }
    two_arguments = re.compile(r"AvgPool2d\([^,=]+, [^,=]+(, (ceil_mode|count_include_pad)=\w+)*$")  # size, stride
    assert calls
    assert [call for call in calls if not two_arguments.match(call[1])] == []


@pytest.mark.gpu
@pytest.mark.parametrize("options", [dict(), dict(count_include_pad=False)])
def test_gradients_on_a_card(options):
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64).requires_grad_()
    F.avg_pool2d(x, 3, 2, 1, **options).square().sum().backward()
    for format_ in (torch.contiguous_format, torch.channels_last):
        ours = x.detach().cuda().contiguous(memory_format=format_).requires_grad_()
        average_pool(ours, 3, 2, 1, **options).square().sum().backward()
        torch.testing.assert_close(ours.grad.cpu(), x.grad)
