"""How learning starts on the paper's space: zero last gammas, the head's deviation, a teacher equal to the student."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space


@pytest.fixture(scope="module")
def method() -> PiNASMethod:
    torch.manual_seed(0)
    return PiNASMethod(ResNeSt50Space(), queue_size=64)


def test_last_gammas_start_at_0_and_the_others_at_1(method):
    norms = {name: m for name, m in method.learned.named_modules() if isinstance(m, nn.BatchNorm2d)}
    last = {name for name in norms if name.endswith(".bn3")}
    assert len(last) == 16 * 4  # a candidate each
    for name, norm in norms.items():
        assert norm.weight.eq(0 if name in last else 1).all(), name
        assert not norm.bias.any(), name


def test_every_initial_path_is_the_same_network_of_shortcuts(method):
    """A block whose last gamma is 0 computes its shortcut, and a layer's candidates share that."""
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    supernet, paths = method.learned.double().eval(), ResNeSt50Space().sample(np.random.default_rng(0), 2)
    with torch.inference_mode():
        first, second = (supernet(images, path) for path in paths)
        assert torch.equal(first, second)
        for stage in (1, 2, 3, 4):
            x = torch.rand(1, 128 * 2**stage, 8, 8, dtype=torch.float64)
            for candidate in range(4):  # of a block without downsample
                assert torch.equal(supernet.get_submodule(f"layer{stage}.1.{candidate}")(x), x)
    assert first.std() > 0
    supernet.float()


def test_the_head_starts_as_kaiming_normal_without_biases(method):
    """2048-2048-128 with 2,048 inputs each: a deviation of sqrt(2 / 2048) = 0.03125."""
    first, second = method.student.mlp[0], method.student.mlp[-1]
    assert (first.in_features, first.out_features, second.out_features) == (2048, 2048, 128)
    for layer in (first, second):
        weight = layer.weight.detach()
        assert weight.std().item() == pytest.approx(0.03125, rel=0.01)
        assert abs(weight.mean().item()) < 4 * 0.03125 / weight.numel() ** 0.5
        assert (weight.abs() > 2 * 0.03125).double().mean().item() == pytest.approx(0.0455, rel=0.1)  # a normal's
        assert not layer.bias.any()


def test_teacher_and_queue_start(method):
    student, teacher = method.student.state_dict(), method.teacher.state_dict()
    assert all(torch.equal(tensor, teacher[name]) for name, tensor in student.items())
    torch.testing.assert_close(method.queue.norm(dim=0), torch.ones(64))
    assert int(method.queue_ptr) == 0
