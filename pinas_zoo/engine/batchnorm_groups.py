"""Batch norm in groups of images: those of a group share batch statistics, as on a GPU of their own (8 x 24 images).

Only batch norms tell groups apart, so a network runs once on all images, and its batch norms take one group after the
other. A pass for each group would compute each weight's gradient, and under autocast its cast, as often as there are
groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_zoo.data.upload import upload
from pinas_zoo.engine import distributed
from pinas_zoo.errors import UserError

Run = Callable[[torch.Tensor], torch.Tensor]
OF_TORCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
DEVICES = frozenset({"cpu", "cuda"})  # where torch.native_batch_norm has been used
PRECISE = frozenset({torch.float32, torch.float64})  # of statistics


def run_in_groups(network: nn.Module, run: Run, x: torch.Tensor, images: int | None) -> torch.Tensor:
    """Run a network on groups of consecutive images, so that the images of a group share batch statistics.

    Outputs, gradients and running statistics are those of a pass for each group, one after the other, but for rounding.
    Random layers draw other numbers. All images are in memory at once, as without groups. A network with a scripted
    part or gradient checkpointing gets a pass for each group, because its batch norms run elsewhere or at another time.
    Checkpointing is recognised by timm's attribute ``grad_checkpointing``.

    Args:
        network: The module whose batch norms have groups. They are restored afterwards.
        run: Runs the network: from N x … to N x dim. It keeps the order of images, and treats each alike but in
            modules that derive from torch's batch norms.
        x: Images of this process, N x ….
        images: Number of images in a group, which must divide N. None: all N.

    Returns:
        N x dim.

    Raises:
        UserError: ``images`` does not divide N.
    """
    size = images or len(x)
    if len(x) % size:
        raise UserError(
            f"expected a multiple of batch_norm_images = {size} images for each process, got {len(x)}: "
            "learn.batch_size is shared by all processes; start fewer of them"
        )
    if size == len(x):
        return run(x)  # N x dim
    modules = list(network.modules())
    if any(getattr(m, "grad_checkpointing", False) or isinstance(m, torch.jit.ScriptModule) for m in modules):
        return torch.cat([run(part) for part in x.split(size)])  # N x dim
    with _grouped([m for m in modules if isinstance(m, _BatchNorm)], len(x) // size):
        return run(x)  # N x dim


def run_in_shuffled_groups(
    network: nn.Module, run: Run, x: torch.Tensor, images: int | None, rng: np.random.Generator
) -> torch.Tensor:
    """Run a network on random groups of the images of all processes (MoCo's shuffled batch norm).

    Args:
        network: As in :func:`run_in_groups`.
        run: As in :func:`run_in_groups`.
        x: Images of this process, N x ….
        images: Number of images in a group. None: N. A single group is not shuffled.
        rng: Generator in the same state in all processes.

    Returns:
        Outputs of the images of all processes, in order, (N * world) x dim.
    """
    count = len(x) * distributed.world()
    if (images or len(x)) >= count:
        return run(x)  # N x dim
    order = upload(rng.permutation(count), x.device)
    shuffled = distributed.own(distributed.gather(x)[order])  # N x …
    return distributed.gather(run_in_groups(network, run, shuffled, images))[order.argsort()]  # (N * world) x dim


@contextmanager
def _grouped(norms: list[_BatchNorm], groups: int) -> Iterator[None]:
    """Context manager in which batch norms divide the rows of their inputs into groups with statistics of their own."""
    before = [vars(norm).get("forward") for norm in norms]
    for norm in norms:
        norm.forward = partial(_forward, norm, norm.forward, groups)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for norm, forward in zip(norms, before, strict=True):
            if forward is None:
                del norm.forward  # the class's again
            else:
                norm.forward = forward  # type: ignore[method-assign]


def _forward(norm: _BatchNorm, forward: Run, groups: int, x: torch.Tensor) -> torch.Tensor:
    """Output of a batch norm for each group of rows; ``forward`` is the module's own."""
    if not norm.training and norm.running_mean is not None:
        return forward(x)
    if len(x) % groups:
        raise ValueError(f"expected a multiple of {groups} rows, a part for each group of images, got {len(x)}")
    if not _has_kernel(norm, forward, x, groups):
        return torch.cat([forward(part) for part in x.split(len(x) // groups)])
    norm._check_input_dim(x)
    mean, var = norm.running_mean, norm.running_var
    if not (norm.training and norm.track_running_stats):
        mean = var = None
    elif norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(groups)
    y: torch.Tensor = _NormalisedGroups.apply(x, norm.weight, norm.bias, mean, var, norm.momentum, norm.eps, groups)
    return y


def _has_kernel(norm: _BatchNorm, forward: Run, x: torch.Tensor, groups: int) -> bool:
    """Whether torch's kernel computes what the module does, and its statistics are precise.

    The module's own ``forward`` is for SyncBatchNorm and other subclasses, for cumulative averages, for compilers, and
    for errors such as a group of a single value.
    """
    given = [t for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var) if t is not None]
    return (
        type(norm) in OF_TORCH
        and getattr(forward, "__func__", None) is _BatchNorm.forward
        and norm.momentum is not None
        and x.device.type in DEVICES
        and x.dim() > 1
        and x.numel() > groups * x.shape[1]
        and (given[0] if given else x).dtype in PRECISE
        and not torch.compiler.is_compiling()
    )


class _NormalisedGroups(torch.autograd.Function):
    """Batch norm of each group of rows by torch's kernel, which writes into the group's part of the output.

    Running statistics take the groups in order. Concatenating the groups' outputs would be one more pass over them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        running_mean: torch.Tensor | None,
        running_var: torch.Tensor | None,
        momentum: float,
        eps: float,
        groups: int,
    ) -> torch.Tensor:
        x = x.contiguous(memory_format=_memory_format(x))
        y = torch.empty_like(x)
        given = [t for t in (weight, running_mean) if t is not None]
        mean, invstd = torch.empty(
            2, groups, x.shape[1], dtype=(given[0] if given else x).dtype, device=x.device
        )  # each groups x C
        for part, out, m, s in zip(x.chunk(groups), y.chunk(groups), mean, invstd, strict=True):
            torch.native_batch_norm(part, weight, bias, running_mean, running_var, True, momentum, eps, out=(out, m, s))
        ctx.save_for_backward(x, weight, mean, invstd)
        ctx.eps = eps
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, mean, invstd = ctx.saved_tensors
        dy = dy.contiguous(memory_format=_memory_format(x))
        needed = list(ctx.needs_input_grad[:3])
        dx = torch.empty_like(x)
        of_weights, of_biases = [], []
        parts = (t.chunk(len(mean)) for t in (x, dy, dx))
        for part, out, result, m, s in zip(*parts, mean, invstd, strict=True):
            of_input, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
                out, part, weight, None, None, m, s, True, ctx.eps, needed
            )
            if needed[0]:
                result.copy_(of_input)
            of_weights.append(of_weight)
            of_biases.append(of_bias)
        return (
            dx if needed[0] else None,
            torch.stack(of_weights).sum(0) if needed[1] else None,
            torch.stack(of_biases).sum(0) if needed[2] else None,
            *(None,) * 5,
        )


def _memory_format(x: torch.Tensor) -> torch.memory_format:
    """The memory format of the kernel for an input."""
    for dim, memory_format in ((4, torch.channels_last), (5, torch.channels_last_3d)):
        if x.dim() == dim and x.is_contiguous(memory_format=memory_format):
            return memory_format
    return torch.contiguous_format
