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


class Statistics:
    """Running statistics of one batch norm at one place of a tree of paths; fp32, or fp64 where the norm's are.

    Installing points the norm at them, which copies nothing; only within :func:`restored`.
    """

    def __init__(self, norm: _BatchNorm):
        self.norm = norm
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError(f"expected batch norms with running statistics, got {norm}")
        kind = torch.promote_types(norm.running_mean.dtype, torch.float32)
        self.mean = torch.zeros_like(norm.running_mean, dtype=kind)
        self.var = torch.ones_like(norm.running_var, dtype=kind)
        self.passes = torch.zeros((), dtype=torch.long, device=self.mean.device)

    def install(self, calibrate: bool) -> None:
        """The norm's next forward pass normalises by the batch and joins the average, or uses the average."""
        norm = self.norm
        norm.running_mean, norm.running_var, norm.num_batches_tracked = self.mean, self.var, self.passes
        norm.momentum, norm.training = None, calibrate  # None: torch's cumulative average


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Leaving puts back the statistics and modes of all batch norms below ``module``: the very tensors, not copies."""
    norms = batch_norms(module)
    before = [(m.training, m.momentum, m.running_mean, m.running_var, m.num_batches_tracked) for m in norms]
    try:
        yield
    finally:
        for m, state in zip(norms, before, strict=True):
            m.training, m.momentum, m.running_mean, m.running_var, m.num_batches_tracked = state


@contextmanager
def recalibrated(modules: Iterable[nn.Module], run: Iterable[object]) -> Iterator[None]:
    """Inside, the batch norms of ``modules`` hold statistics of the forward passes that iterating ``run`` makes.

    Each pass is normalised by its own statistics; the running statistics become the mean over passes of the batch mean
    and of the unbiased batch variance, in fp32 (:class:`Statistics`). Leaving restores statistics and modes.

    Args:
        modules: What the path runs through.
        run: Every step of the iteration makes one forward pass of the path.
    """
    whole = nn.ModuleList(modules)
    with restored(whole):
        statistics = [Statistics(norm) for norm in batch_norms(whole)]
        for s in statistics:
            s.install(calibrate=True)
        with torch.no_grad():
            for _ in run:
                pass
        for s in statistics:
            s.install(calibrate=False)
        yield
