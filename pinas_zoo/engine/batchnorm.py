"""Batch-norm statistics: of the batch, or recalibrated. Modules are restored after each use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Every batch norm in a module, each once."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm)]


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Context manager in which batch norms use batch statistics, and do not read or write running ones (sec. 3.3)."""
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
    """Batch-norm statistics of some modules that are stored outside of them. Modules are restored after each use.

    The statistics are averages of the batch mean and of the unbiased batch variance over the gathered passes, in the
    precision of the running statistics.

    Args:
        modules: Modules that contain the batch norms.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> norm = nn.BatchNorm2d(3)
        >>> statistics = Statistics([norm])
        >>> with statistics.gather():
        ...     _ = norm(torch.ones(2, 3, 4, 4))
        >>> with statistics.use():
        ...     norm.running_mean.tolist()
        [1.0, 1.0, 1.0]
        >>> norm.running_mean.tolist()
        [0.0, 0.0, 0.0]
    """

    def __init__(self, modules: Iterable[nn.Module]):
        self.norms = [norm for module in modules for norm in batch_norms(module)]
        self.buffers = [{key: _initial(key, b) for key, b in m.named_buffers(recurse=False)} for m in self.norms]

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Context manager in which forward passes use batch statistics, which are added to these statistics."""
        with self._swapped():
            for m in self.norms:
                m.momentum, m.training = None, True  # torch computes a cumulative average if momentum is None
            yield

    @contextmanager
    def use(self) -> Iterator[None]:
        """Context manager in which the modules normalise by these statistics."""
        with self._swapped():
            for m in self.norms:
                m.training = False
            yield

    @contextmanager
    def _swapped(self) -> Iterator[None]:
        before = [(m.training, m.momentum, dict(m.named_buffers(recurse=False))) for m in self.norms]
        try:
            for m, buffers in zip(self.norms, self.buffers, strict=True):
                m._buffers.update(buffers)
            yield
        finally:
            for m, (training, momentum, buffers) in zip(self.norms, before, strict=True):
                m.training, m.momentum = training, momentum
                m._buffers.update(buffers)


def _initial(key: str, buffer: torch.Tensor) -> torch.Tensor:
    """Fresh statistics. The number of batches is on the host, because torch reads it in each pass to average."""
    device = "cpu" if key == "num_batches_tracked" else buffer.device
    return torch.full_like(buffer, float(key == "running_var"), device=device)


@contextmanager
def recalibrated(modules: Iterable[nn.Module], run: Iterable[object]) -> Iterator[None]:
    """Context manager in which batch norms have statistics that are recalibrated on some forward passes.

    Args:
        modules: Modules of the path.
        run: Iterable that runs one forward pass of the path per iteration.
    """
    statistics = Statistics(modules)
    with torch.no_grad(), statistics.gather():
        for _ in run:
            pass
    with statistics.use():
        yield
