"""Batch-norm statistics of a path: those of the batch, or recalibrated on a fixed subset; both leave no trace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Every batch norm below a module, once."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch norms normalise by the batch and neither read nor write their running statistics (sec. 3.3)."""
    norms = batch_norms(module)
    before = [(m.training, m.track_running_stats) for m in norms]
    try:
        for m in norms:
            m.training, m.track_running_stats = True, False
        yield
    finally:
        for m, (training, track) in zip(norms, before, strict=True):
            m.training, m.track_running_stats = training, track


@contextmanager
def recalibrated(modules: Iterable[nn.Module], run: Iterable[object]) -> Iterator[None]:
    """Inside, the batch norms of ``modules`` hold statistics of the forward passes that iterating ``run`` makes.

    Each pass is normalised by its own statistics; the running statistics become the mean over passes of the batch mean
    and of the unbiased batch variance, in fp32. Leaving restores statistics and modes.

    Args:
        modules: What the path runs through.
        run: Every step of the iteration makes one forward pass of the path.
    """
    norms = [norm for module in modules for norm in batch_norms(module)]
    before = [
        (m.training, m.momentum, m.running_mean.clone(), m.running_var.clone(), m.num_batches_tracked.clone())
        for m in norms
    ]
    try:
        for m in norms:
            m.reset_running_stats()
            m.momentum = None  # torch's cumulative average
            m.training = True
        with torch.no_grad():
            for _ in run:
                pass
        for m in norms:
            m.training = False
        yield
    finally:
        for m, (training, momentum, mean, var, count) in zip(norms, before, strict=True):
            m.training, m.momentum = training, momentum
            m.running_mean.copy_(mean)
            m.running_var.copy_(var)
            m.num_batches_tracked.copy_(count)
