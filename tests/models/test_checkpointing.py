"""A checkpointed training step equals an ordinary one bit for bit: outputs, gradients and every buffer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import nn

import pinas_zoo  # noqa: F401  registers the family
from pinas_zoo.models.checkpointing import CheckpointedBlock, unrecorded_statistics
from tests.golden import seeded_input

TINY = dict(arch="01233", depths=(1, 1, 2, 1), widths=(16, 32, 48, 64), stem_width=8, num_classes=5)


def total(outputs: Any) -> torch.Tensor:
    """One number that depends on every output."""
    if isinstance(outputs, torch.Tensor):
        return outputs.square().mean()
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    return sum((total(o) for o in outputs), torch.zeros(()))


def step(model: nn.Module, run: Callable[[nn.Module, torch.Tensor], Any]) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)  # drop path and drop block draw the same
    loss = total(run(model, seeded_input((3, 3, 64, 64), seed=4)))
    loss.backward()
    found = {"loss": loss.detach(), **{f"buffer {k}": b for k, b in model.named_buffers()}}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            found[f"gradient {name}"] = parameter.grad
    return found


def assert_equal_steps(model: nn.Module, run: Callable[[nn.Module, torch.Tensor], Any] = lambda m, x: m(x)) -> None:
    plain, checkpointed = model.train(), copy.deepcopy(model).train()
    checkpointed.set_grad_checkpointing()  # type: ignore[operator]
    runs: dict[nn.Module, int] = {}
    for block in checkpointed.modules():
        if isinstance(block, CheckpointedBlock):
            block.conv1.register_forward_hook(lambda m, i, o: runs.update({m: runs.get(m, 0) + 1}))  # type: ignore[union-attr]
    expected, found = step(plain, run), step(checkpointed, run)
    assert runs, "no block was run"
    assert set(runs.values()) == {2}, "a block was not recomputed in backward"
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    assert all(int(b) == 1 for name, b in found.items() if name.endswith("num_batches_tracked"))
    assert checkpointed(seeded_input((2, 3, 64, 64), seed=5)) is not None  # the batch norms record again
    assert {int(b) for k, b in checkpointed.named_buffers() if k.endswith("num_batches_tracked")} == {2}


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model("pinas", **TINY)


def test_forward(model: nn.Module) -> None:
    assert_equal_steps(model)


def test_forward_intermediates(model: nn.Module) -> None:
    assert_equal_steps(model, lambda m, x: m.forward_intermediates(x)[1])  # type: ignore[operator]


@pytest.mark.parametrize("feature_cls", ["list", "dict", "hook", None])
def test_features_only(feature_cls: str | None) -> None:
    torch.manual_seed(0)
    kwargs = {} if feature_cls is None else {"feature_cls": feature_cls}
    assert_equal_steps(timm.create_model("pinas", **TINY, features_only=True, **kwargs))


def test_with_drop_path_and_drop_block() -> None:
    torch.manual_seed(0)
    assert_equal_steps(timm.create_model("pinas", **TINY, drop_path_rate=0.5, drop_block_rate=0.2))


def test_with_sync_batch_norm(model: nn.Module) -> None:
    assert_equal_steps(nn.SyncBatchNorm.convert_sync_batchnorm(model))


def test_with_cumulative_statistics(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    assert_equal_steps(model)


def test_frozen_batch_norms_stay_frozen(model: nn.Module) -> None:
    model.train().set_grad_checkpointing()  # type: ignore[operator]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    before = {k: b.clone() for k, b in model.named_buffers()}
    model(seeded_input((2, 3, 64, 64), seed=1)).sum().backward()
    assert all(torch.equal(b, before[k]) for k, b in model.named_buffers())


def test_reentrant_checkpointing_of_timm(model: nn.Module) -> None:
    timm.layers.set_reentrant_ckpt(True)
    try:
        assert_equal_steps(model)
    finally:
        timm.layers.set_reentrant_ckpt(False)


def test_switched_off_again(model: nn.Module) -> None:
    model.set_grad_checkpointing()  # type: ignore[operator]
    model.set_grad_checkpointing(False)  # type: ignore[operator]
    assert not any(b.grad_checkpointing for b in model.modules() if isinstance(b, CheckpointedBlock))


def test_less_is_kept_for_backward(model: nn.Module) -> None:
    def kept_bytes() -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            model(seeded_input((2, 3, 64, 64), seed=1))
        return sum(sizes.values())

    model.train()
    plain = kept_bytes()
    model.set_grad_checkpointing()  # type: ignore[operator]
    assert kept_bytes() < 0.8 * plain


def test_statistics_are_recorded_again_after_an_error(model: nn.Module) -> None:
    before = dict(model.named_buffers())
    with pytest.raises(RuntimeError, match="stop"), unrecorded_statistics(model.train()):
        raise RuntimeError("stop")
    assert all(b is before[name] for name, b in model.named_buffers())


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_a_checkpointed_network_is_traced_and_scripted() -> None:
    torch.manual_seed(0)
    model = timm.create_model(
        "pinas", arch="0123", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8, num_classes=5
    ).eval()
    x = torch.randn(1, 3, 32, 32)
    expected = model(x).detach()
    model.set_grad_checkpointing()  # type: ignore[operator]
    for exported in (torch.jit.trace(model, x), torch.jit.script(model)):
        torch.testing.assert_close(exported(x).detach(), expected)
