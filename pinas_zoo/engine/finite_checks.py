"""Checks that losses and weights are finite numbers. Weights are read from the device once for all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import nn


def non_finite_losses(values: Mapping[str, float]) -> list[str]:
    """The logged losses that are NaN or infinite, as ``loss nan``."""
    return [f"{name} {value:g}" for name, value in values.items() if "loss" in name and not math.isfinite(value)]


def non_finite_weights(module: nn.Module) -> list[str]:
    """Names of the parameters that are not finite, and of the buffers that are NaN; a mask of infinities is a buffer.

    On the meta device there is nothing to check.
    """
    flags = {name: p.detach().isfinite().all() for name, p in module.named_parameters()}
    flags |= {name: ~b.isnan().any() for name, b in module.named_buffers() if b.is_floating_point()}
    return _failed(flags)


def non_finite_tensors(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the floating-point tensors that hold a NaN or an infinity."""
    return _failed({name: t.isfinite().all() for name, t in tensors.items() if t.is_floating_point()})


def first_of(names: Iterable[str]) -> str:
    """``a``, or ``a and 3 more``, for a message."""
    first, *others = names
    return f"{first} and {len(others)} more" if others else first


def _failed(flags: Mapping[str, torch.Tensor]) -> list[str]:
    known = {name: flag for name, flag in flags.items() if flag.device.type != "meta"}
    if not known:
        return []
    device = next(iter(known.values())).device
    passed = torch.stack([flag.to(device) for flag in known.values()]).tolist()
    return [name for name, good in zip(known, passed, strict=True) if not good]
