"""The fused SGD computes what torch's SGD does, for parameters that get gradients now and then."""

from __future__ import annotations

import copy
import io

import pytest
import torch

from pinas_zoo.engine.fused_sgd import FusedSGD
from tests.device_reads import no_device_reads

SHAPES = ((16, 8, 3, 3), (16, 1, 3, 3), (32, 16, 1, 1), (7,), (3, 5))
OPTIONS = dict(lr=0.1, momentum=0.9, weight_decay=1e-2)


def parameters(memory_format: torch.memory_format = torch.contiguous_format) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator) for shape in SHAPES]
    return [
        p.to(memory_format=memory_format if p.dim() == 4 else torch.contiguous_format).requires_grad_() for p in made
    ]


def steps(optimizer: torch.optim.Optimizer, numbers: range) -> None:
    """Steps in which some parameters have gradients; in memory they lie in torch's default order."""
    for k in numbers:
        generator = torch.Generator().manual_seed(k)
        for i, p in enumerate(optimizer.param_groups[0]["params"]):
            grad = torch.randn(p.shape, generator=generator)
            p.grad = grad if (i + k) % 3 else None
        optimizer.step()


def assert_same(one: torch.optim.Optimizer, other: torch.optim.Optimizer) -> None:
    for p, q in zip(one.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
        assert one.state[p].keys() == other.state[q].keys()
        for key, value in one.state[p].items():
            torch.testing.assert_close(value, other.state[q][key], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("change", [{}, {"momentum": 0.0}, {"weight_decay": 0.0}])
def test_updates_and_state_are_those_of_torch(memory_format, change):
    ours = FusedSGD(parameters(memory_format), **(OPTIONS | change))
    theirs = torch.optim.SGD(parameters(), **(OPTIONS | change))
    assert ours.param_groups[0]["fused"]
    for count in (1, 2, 7):  # after the first step, some parameters have no momentum yet
        steps(ours, range(count))
        steps(theirs, range(count))
        assert_same(ours, theirs)


@pytest.mark.parametrize("kind", [torch.optim.SGD, FusedSGD])
@pytest.mark.parametrize("before", [torch.contiguous_format, torch.channels_last])
def test_training_resumes_from_either_optimiser_in_either_memory_format(kind, before):
    """torch's kernel for CPUs does not look at strides; without care it takes the momentum of other weights."""
    first = kind(parameters(before), **OPTIONS)
    steps(first, range(4))
    kept = io.BytesIO()
    torch.save(first.state_dict(), kept)
    kept.seek(0)
    for after in (torch.contiguous_format, torch.channels_last):
        resumed = FusedSGD(parameters(after), **OPTIONS)
        with torch.no_grad():
            for p, q in zip(resumed.param_groups[0]["params"], first.param_groups[0]["params"], strict=True):
                p.copy_(q)
        kept.seek(0)
        resumed.load_state_dict(torch.load(kept, weights_only=True))
        assert resumed.param_groups[0]["fused"]
        steps(resumed, range(4, 8))
        straight = torch.optim.SGD(parameters(), **OPTIONS)
        steps(straight, range(8))
        assert_same(resumed, straight)


def test_a_parameter_with_gaps_in_memory_is_not_fused():
    """The kernel would write over the gaps, which belong to other tensors."""
    whole = torch.randn(4, 6)
    twin = copy.deepcopy(whole)
    ours, theirs = (x[:, :3].requires_grad_() for x in (whole, twin))
    for kind, p in ((FusedSGD, ours), (torch.optim.SGD, theirs)):
        optimizer = kind([p], **OPTIONS)
        steps(optimizer, range(1, 3))
    assert torch.equal(whole, twin)


def test_a_scaled_step_is_skipped_or_taken_without_a_read():
    """As fp16 does on a GPU: a gradient that is not finite leaves weights and momentum alone."""
    ours, theirs = FusedSGD(parameters(), **OPTIONS), torch.optim.SGD(parameters(), **OPTIONS)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale(torch.ones(()))  # the scaler makes its tensors in its first step
    for infinite in (True, False, True, False):
        for p, q in zip(ours.param_groups[0]["params"], theirs.param_groups[0]["params"], strict=True):
            q.grad = torch.ones_like(q)
            p.grad = torch.full_like(p, float("inf")) if infinite else q.grad * scaler._scale
        with no_device_reads():
            scaler.step(ours)
        scaler.update()
        if not infinite:
            theirs.step()
    for p, q in zip(ours.param_groups[0]["params"], theirs.param_groups[0]["params"], strict=True):
        torch.testing.assert_close(p, q)
