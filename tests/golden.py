"""Weights and inputs that follow from names and seeds, as ``../shared/golden/README.md`` sets them down.

>>> fill_(model)                     # every tensor from its state-dict name
>>> fill_(teacher, prefix="k:")      # the same names under another prefix give other numbers
>>> images = seeded_input((2, 3, 96, 96), seed=7)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

_SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def shared_dir() -> Path:
    """The folder of reference numbers, data sets and hooks beside the project; skips the test where it is absent."""
    if not _SHARED.is_dir():
        pytest.skip("../shared is absent: this test compares with the reference numbers in it")
    return _SHARED


def golden_tensor(name: str, shape: Sequence[int]) -> torch.Tensor:
    """The tensor of that state-dict name: fp32, int64 zeros for ``num_batches_tracked``."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    shape = tuple(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if leaf == "running_mean":
        return torch.randn(shape, generator=generator) * 0.1
    if leaf == "running_var":
        return torch.rand(shape, generator=generator) * 0.5 + 0.75
    if len(shape) == 1:
        if leaf == "weight":
            return torch.rand(shape, generator=generator) * 0.5 + 0.75
        return torch.randn(shape, generator=generator) * 0.1
    return torch.randn(shape, generator=generator) * math.sqrt(2 / math.prod(shape[1:]))


@torch.no_grad()
def fill_(module: nn.Module, prefix: str = "") -> nn.Module:
    """Overwrite every parameter and buffer with the tensor of ``prefix`` + its name; returns the module."""
    for name, tensor in module.state_dict().items():
        tensor.copy_(golden_tensor(prefix + name, tensor.shape))
    return module


def seeded_input(shape: Sequence[int], seed: int) -> torch.Tensor:
    """Standard-normal fp32 numbers of that shape and seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative_error(ours: torch.Tensor, reference: torch.Tensor) -> float:
    """The largest difference in fp64, relative to the largest magnitude of the reference."""
    assert ours.shape == reference.shape
    ours, reference = ours.detach().cpu().double(), reference.detach().cpu().double()
    return ((ours - reference).abs().max() / reference.abs().max()).item()
