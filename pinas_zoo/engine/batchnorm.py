"""Batch-norm statistics: of the batch, of groups in it, or recalibrated on a fixed subset; modules stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_zoo.engine import distributed
from pinas_zoo.errors import UserError


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
    """Statistics of the batch norms below some modules, kept apart from them; the modules are as before after each use.

    They are the mean over passes of the batch mean and of the unbiased batch variance, in fp32; each pass is
    normalised by its own.
    """

    def __init__(self, modules: Iterable[nn.Module]):
        self.norms = [norm for module in modules for norm in batch_norms(module)]
        self.buffers = [
            {key: torch.full_like(b, float(key == "running_var")) for key, b in m.named_buffers(recurse=False)}
            for m in self.norms
        ]

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Inside, a forward pass is normalised by its own statistics, which join these."""
        with self._swapped():
            for m in self.norms:
                m.momentum, m.training = None, True  # torch's cumulative average
            yield

    @contextmanager
    def use(self) -> Iterator[None]:
        """Inside, the modules normalise by these statistics."""
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


@contextmanager
def recalibrated(modules: Iterable[nn.Module], run: Iterable[object]) -> Iterator[None]:
    """Inside, batch norms hold :class:`Statistics` of the forward passes that iterating ``run`` makes.

    Args:
        modules: What the path runs through.
        run: Every step of the iteration makes one forward pass of the path.
    """
    statistics = Statistics(modules)
    with torch.no_grad(), statistics.gather():
        for _ in run:
            pass
    with statistics.use():
        yield


def run_in_groups(run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, images: int | None) -> torch.Tensor:
    """Run a module on groups of images that share batch statistics; all images of the process are one when None.

    Args:
        run: n x … to n x dim.
        x: N x …, of this process.
        images: Of a group; divides N.

    Raises:
        UserError: It does not.
    """
    size = images or len(x)
    if len(x) % size:
        raise UserError(
            f"expected a multiple of batch_norm_images = {size} images for each process, got {len(x)}: "
            "learn.batch_size is shared by all processes; start fewer of them"
        )
    return torch.cat([run(part) for part in x.split(size)])  # N x dim


def run_in_shuffled_groups(
    run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, images: int | None, rng: np.random.Generator
) -> torch.Tensor:
    """Run a module on groups drawn at random from the images of all processes (MoCo's shuffled batch norm).

    Args:
        run: n x … to n x dim.
        x: N x …, of this process.
        images: Of a group; with one group in all, nothing is shuffled.
        rng: The same in all processes.

    Returns:
        Outputs of the images of all processes, in order: N of all x dim.
    """
    count = len(x) * distributed.world()
    if (images or len(x)) >= count:
        return run(x)
    order = torch.from_numpy(rng.permutation(count)).to(x.device)
    shuffled = distributed.own(distributed.gather(x)[order])
    return distributed.gather(run_in_groups(run, shuffled, images))[order.argsort()]
