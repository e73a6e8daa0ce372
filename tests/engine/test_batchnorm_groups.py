"""Batch norms in groups of images: one pass equals a pass for each group."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from pinas_zoo.engine import batchnorm_groups
from pinas_zoo.engine.batchnorm import batch_norms, batch_statistics
from pinas_zoo.engine.batchnorm_groups import run_in_groups, run_in_shuffled_groups
from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.pinas import Encoder
from pinas_zoo.search.spaces.base import build_space

SPACES: dict[str, dict[str, Any]] = {
    "resnest50": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1),
}


def encoder(space: str) -> Callable[[], tuple[nn.Module, Callable[[nn.Module], Callable[..., torch.Tensor]]]]:
    def make() -> Any:
        torch.manual_seed(0)
        built = build_space(SPACES[space])
        (path,) = built.sample(np.random.default_rng(3))
        module = Encoder(built.supernet(), 16, 8, norm=True)
        for norm in batch_norms(module):  # zero at first: branches would have no gradient
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 1.5)
        return module, lambda m: lambda x: m(x, path)

    return make


def plain(*layers: Callable[[], nn.Module]) -> Callable[[], Any]:
    def make() -> Any:
        torch.manual_seed(0)
        module = nn.Sequential(*(layer() for layer in layers), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return module, lambda m: m

    return make


def conv() -> nn.Module:
    return nn.Conv2d(3, 8, 3)


class Doubled(nn.BatchNorm2d):
    """A batch norm of someone else's, which computes something else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


class Folded(nn.Module):
    """Folds two halves of each image into rows, so that batch norms see twice as many."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        halves = x.view(n, c, 2, h // 2, w).transpose(1, 2).reshape(2 * n, c, h // 2, w)
        return self.norm(self.conv(halves)).relu().mean((2, 3)).view(n, -1)


def frozen_norm() -> nn.Module:
    return nn.BatchNorm2d(8).eval()


NETWORKS: dict[str, Callable[[], Any]] = {
    "paper's space": encoder("resnest50"),
    "nasbench201": encoder("nasbench201"),
    "ReLU in place": plain(conv, lambda: nn.BatchNorm2d(8), lambda: nn.ReLU(inplace=True)),
    "no weights": plain(conv, lambda: nn.BatchNorm2d(8, affine=False), nn.ReLU),
    "no running statistics": plain(conv, lambda: nn.BatchNorm2d(8, track_running_stats=False), nn.ReLU),
    "neither": plain(conv, lambda: nn.BatchNorm2d(8, affine=False, track_running_stats=False), nn.ReLU),
    "cumulative averages": plain(conv, lambda: nn.BatchNorm2d(8, momentum=None), nn.ReLU),
    "timm's norm with activation": plain(conv, lambda: timm.layers.BatchNormAct2d(8)),
    "SyncBatchNorm": plain(conv, lambda: nn.SyncBatchNorm(8), nn.ReLU),
    "of someone else": plain(conv, lambda: Doubled(8), nn.ReLU),
    "on images": plain(lambda: nn.BatchNorm2d(3), conv, nn.ReLU),
    "more rows than images": lambda: (torch.manual_seed(0) and Folded(), lambda m: m),
}
PRECISIONS = {"fp64": None, "fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
TOLERANCES = {"fp64": 1e-9, "fp32": 2e-4, "bf16": 0.1, "fp16": 0.05}
Result = tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]


def result(make: Callable[[], Any], precision: str, channels_last: bool, run: Callable[..., torch.Tensor]) -> Result:
    """Output, gradients and buffers of two runs on 12 images."""
    module, path = make()
    dtype = torch.float64 if precision == "fp64" else torch.float32
    order = torch.channels_last if channels_last else torch.contiguous_format
    module = module.to(dtype).to(memory_format=order).train()
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        x = torch.randn(12, 3, 16, 16, generator=generator, dtype=dtype).contiguous(memory_format=order)
        x.requires_grad_()
        with torch.autocast("cpu", PRECISIONS[precision], enabled=PRECISIONS[precision] is not None):
            y = run(module, path(module), x, 4)
        (y.to(dtype) * torch.randn(y.shape, generator=generator, dtype=dtype)).sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return y, gradients | {"x": x.grad}, dict(module.named_buffers())  # type: ignore[dict-item]


def by_loop(network: nn.Module, run: Callable[..., torch.Tensor], x: torch.Tensor, images: int) -> torch.Tensor:
    return torch.cat([run(part) for part in x.split(images)])


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    largest = max((float(t.double().norm()) for t in other.values()), default=1.0)
    for name, value in other.items():
        assert one[name].dtype == value.dtype
        error = float((one[name].double() - value.double()).norm())
        assert error <= tolerance * max(float(value.double().norm()), 1e-2 * largest), name


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", NETWORKS)
def test_one_pass_equals_a_pass_for_each_group(case, precision, channels_last):
    (y, gradients, buffers), (y_loop, gradients_loop, buffers_loop) = (
        result(NETWORKS[case], precision, channels_last, run) for run in (run_in_groups, by_loop)
    )
    tolerance = TOLERANCES[precision]
    assert_close({"y": y.detach()}, {"y": y_loop.detach()}, tolerance)
    assert_close(gradients, gradients_loop, tolerance)
    assert_close(buffers, buffers_loop, tolerance)
    counts = {name: b for name, b in buffers.items() if name.endswith("num_batches_tracked")}
    assert all(torch.equal(b, buffers_loop[name]) for name, b in counts.items())


@pytest.mark.parametrize("case", ["paper's space", "nasbench201", "more rows than images"])
def test_the_network_runs_once(case):
    module, path = NETWORKS[case]()
    calls = []
    run_in_groups(module, lambda x: calls.append(len(x)) or path(module)(x), torch.randn(12, 3, 16, 16), 4)
    assert calls == [12]


@pytest.mark.parametrize("shape", [(12, 6), (12, 6, 5), (12, 6, 1, 1), (12, 6, 3, 2), (12, 6, 2, 3, 2)])
@pytest.mark.parametrize("order", ["contiguous", "reversed", "sliced", "expanded"])
def test_a_norm_alone_equals_the_loop_bit_for_bit_in_any_order_of_memory(shape, order):
    kind: Any = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[len(shape)]
    torch.manual_seed(0)
    norms = [kind(6) for _ in range(2)]
    x = torch.randn(shape)
    if order == "reversed":
        x = torch.randn(shape[::-1]).permute(*reversed(range(len(shape))))
    elif order == "sliced":
        x = torch.randn(2 * shape[0], *shape[1:])[::2]
    elif order == "expanded":
        x = torch.randn(shape[0], *shape[1:2], *(1,) * (len(shape) - 2)).expand(shape)
    outputs = [run(norm, norm, x, 4) for run, norm in zip((run_in_groups, by_loop), norms, strict=True)]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    for one, other in zip(*(norm.buffers() for norm in norms), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    if order == "contiguous":
        assert torch.equal(*outputs)


@pytest.mark.parametrize("case", NETWORKS)
def test_norms_are_restored_also_after_an_error(case):
    module, path = NETWORKS[case]()
    before = {name: dict(vars(m)) for name, m in module.named_modules()}
    run_in_groups(module, path(module), torch.randn(12, 3, 16, 16), 4)

    def stop(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        run_in_groups(module, stop, torch.randn(12, 3, 16, 16), 4)
    for name, m in module.named_modules():
        assert vars(m).keys() == before[name].keys()
        assert "forward" not in vars(m)


def test_norms_in_evaluation_have_no_groups():
    module, path = NETWORKS["paper's space"]()
    module.eval()
    x = torch.randn(12, 3, 16, 16)
    torch.testing.assert_close(run_in_groups(module, path(module), x, 4), path(module)(x))
    mixed, _ = plain(conv, frozen_norm, lambda: nn.BatchNorm2d(8))()
    assert torch.allclose(
        run_in_groups(mixed, mixed, x, 4), by_loop(copy.deepcopy(mixed), copy.deepcopy(mixed), x, 4), atol=1e-5
    )


def test_batch_statistics_in_groups_write_nothing():
    module, path = NETWORKS["paper's space"]()
    module.eval()
    before = {name: b.clone() for name, b in module.named_buffers()}
    x = torch.randn(12, 3, 16, 16)
    with torch.no_grad(), batch_statistics(module):
        torch.testing.assert_close(
            run_in_groups(module, path(module), x, 4), by_loop(module, path(module), x, 4), rtol=1e-4, atol=1e-5
        )
    assert all(torch.equal(b, before[name]) for name, b in module.named_buffers())


@pytest.mark.parametrize("freeze", ["weight", "bias", "both", "input"])
def test_gradients_of_frozen_norms(freeze):
    norms = [nn.BatchNorm2d(3) for _ in range(2)]
    grads = []
    x = torch.randn(8, 3, 4, 4)
    for run, norm in zip((run_in_groups, by_loop), norms, strict=True):
        norm.weight.requires_grad_(freeze not in ("weight", "both"))
        norm.bias.requires_grad_(freeze not in ("bias", "both"))
        x = x.detach().requires_grad_(freeze != "input")
        run(norm, norm, x, 4).square().sum().backward()
        grads.append([t.grad for t in (x, norm.weight, norm.bias)])
    for one, other in zip(*grads, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_gradients_pass_a_numerical_check():
    norm = nn.BatchNorm2d(3).double()
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: run_in_groups(norm, norm, x, 2), (x, norm.weight, norm.bias))


def test_a_compiled_network_does_not_keep_what_it_compiled_without_groups():
    module, _ = NETWORKS["ReLU in place"]()
    compiled = torch.compile(module, backend="eager")
    x = torch.randn(12, 3, 16, 16)
    whole = compiled(x)
    grouped = run_in_groups(module, compiled, x, 4)
    torch.testing.assert_close(grouped, by_loop(module, module, x, 4))
    assert not torch.allclose(grouped, whole)
    torch.testing.assert_close(compiled(x), whole)


class Checkpointed(nn.Module):
    """A network that computes its blocks again in the backward pass, with timm's name of the switch."""

    def __init__(self) -> None:
        super().__init__()
        self.grad_checkpointing = True
        self.block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = checkpoint(self.block, x, use_reentrant=False) if self.grad_checkpointing else self.block(x)
        return x.mean((2, 3))


def test_networks_that_compute_again_or_are_scripted_get_a_pass_for_each_group():
    torch.manual_seed(0)
    again, once = Checkpointed(), Checkpointed()
    once.load_state_dict(again.state_dict())
    once.grad_checkpointing = False
    x = torch.randn(12, 3, 16, 16)
    for network in (again, once):
        run_in_groups(network, network, x, 4).square().sum().backward()
    for p, q in zip(again.parameters(), once.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-5)
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten()))
    torch.testing.assert_close(run_in_groups(scripted, scripted, x, 4), by_loop(scripted, scripted, x, 4))


def test_errors_are_those_of_the_loop():
    norm = nn.BatchNorm1d(3)
    with pytest.raises(UserError, match="expected a multiple of batch_norm_images = 5 images"):
        run_in_groups(norm, norm, torch.randn(12, 3), 5)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        run_in_groups(norm, norm, torch.randn(12, 3), 1)
    with pytest.raises(ValueError, match="expected 2D or 3D input"):
        run_in_groups(norm, norm, torch.randn(12, 3, 2, 2), 4)
    with pytest.raises(ValueError, match="expected a multiple of 3 rows"):
        run_in_groups(norm, lambda x: norm(x[:10]), torch.randn(12, 3), 4)


def test_shuffled_groups_are_those_of_a_loop_over_the_shuffled_images():
    module, path = NETWORKS["paper's space"]()
    x = torch.randn(12, 3, 16, 16)
    with torch.no_grad(), batch_statistics(module):
        found = run_in_shuffled_groups(module, path(module), x, 4, np.random.default_rng(5))
        order = torch.from_numpy(np.random.default_rng(5).permutation(12))
        expected = by_loop(module, path(module), x[order], 4)[order.argsort()]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert F.cosine_similarity(found, path(module)(x).detach()).mean() < 0.999


def test_the_kernel_is_used_for_every_norm_of_the_spaces(monkeypatch):
    """In the precisions of training; the way around it costs a pass over each output."""
    seen = []
    has_kernel = batchnorm_groups._has_kernel

    def watched(*args: Any) -> bool:
        seen.append(has_kernel(*args))
        return seen[-1]

    monkeypatch.setattr(batchnorm_groups, "_has_kernel", watched)
    for case in ("paper's space", "nasbench201"):
        for precision in ("fp32", "bf16"):
            result(NETWORKS[case], precision, True, run_in_groups)
    assert seen
    assert all(seen)
