"""Precision of outputs and losses, which autocast leaves in half precision."""

from __future__ import annotations

import torch


def at_least_fp32(x: torch.Tensor) -> torch.Tensor:
    """Cast half precision to fp32. fp32 and fp64 stay as they are, so that a network in fp64 has a loss in fp64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
