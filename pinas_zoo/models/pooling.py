"""Average pooling with padding whose gradient is right on CUDA.

Torch's CUDA kernel for channels-last maps ignores the padding in the backward pass, without an error
(https://github.com/pytorch/pytorch/issues/188344; with torch 2.11 on an H100, a relative error of 1.0). Maps that need
a gradient are therefore pooled in the contiguous format there, which costs a copy of the map. Pull request 188345 has
fixed the kernel: this file can go once the oldest supported version of torch contains it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


def has_wrong_gradient(x: torch.Tensor) -> bool:
    """Whether torch may compute a wrong gradient if it pools this map with padding in its own format."""
    return x.is_cuda and x.requires_grad


def pooling_format(x: torch.Tensor) -> torch.Tensor:
    """The map in the memory format in which it is pooled, N x C x H x W."""
    if not has_wrong_gradient(x) or (x.is_contiguous() and x.shape[1] > 1):
        return x
    return x.clone(memory_format=torch.contiguous_format)  # a map of one channel is contiguous in both formats


def format_of(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A pooled map in the memory format of the map ``x`` that was pooled."""
    if has_wrong_gradient(x) and x.is_contiguous(memory_format=torch.channels_last):
        return y.contiguous(memory_format=torch.channels_last)
    return y


# calls in a graph of torch.fx, which cannot follow their conditions
torch.fx.wrap("pooling_format")
torch.fx.wrap("format_of")


def average_pool(x: torch.Tensor, size: int, stride: int, padding: int, **options: Any) -> torch.Tensor:
    """:func:`torch.nn.functional.avg_pool2d` with a right gradient; N x C x H x W to a map in the same format."""
    return format_of(F.avg_pool2d(pooling_format(x), size, stride, padding, **options), x)


class PaddedAvgPool2d(nn.AvgPool2d):
    """:class:`torch.nn.AvgPool2d` with a right gradient; for pools with padding."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        pooled = F.avg_pool2d(
            pooling_format(input),
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )
        return format_of(pooled, input)


def mend_pools(network: nn.Module) -> None:
    """Make modules of torch's padded average pooling :class:`PaddedAvgPool2d`, which has the same attributes.

    Calls of :func:`torch.nn.functional.avg_pool2d`, such as those of timm's ``inception_v3``, stay as they are.
    """
    for module in network.modules():
        if type(module) is nn.AvgPool2d and module.padding not in (0, (0, 0)):
            module.__class__ = PaddedAvgPool2d
