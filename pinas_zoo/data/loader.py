"""Which images a step takes, and the loader that reads them in worker processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng


class BatchPart(NamedTuple):
    """The part of a step's batch that one process takes: consecutive positions of it."""

    step: int
    first: int  # position in the global batch of the first of them
    indices: list[int]  # of the images

    @property
    def positions(self) -> range:
        """Return the positions of the images in the global batch."""
        return range(self.first, self.first + len(self.indices))


class StepSampler(Sampler[BatchPart]):
    """Batches of indices as a function of (seed, step): epochs of shuffled images without their last incomplete batch.

    A sampler that starts at a later step gives what one that started at 0 would give there, without going through the
    steps before. Of ``world`` processes each takes consecutive positions of the batch.

    Raises:
        UserError: Fewer images than a batch, or a batch that the processes cannot share equally.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        start: int,
        stop: int,
        rank: int = 0,
        world: int = 1,
        order: Stream = Stream.ORDER,
    ):
        if length < batch_size:
            raise UserError(
                f"expected at least one batch of images, got {length} images for batches of "
                f"{batch_size}; lower batch_size of the stages, as in learn.batch_size"
            )
        if batch_size % world:
            raise UserError(
                f"expected a batch size that {world} processes can share equally, got {batch_size}; "
                f"{batch_size // world * world} or {(batch_size // world + 1) * world} would do"
            )
        self.length, self.batch_size, self.seed, self.start, self.stop = length, batch_size, seed, start, stop
        self.rank, self.each, self.order = rank, batch_size // world, order

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[BatchPart]:
        per_epoch = self.length // self.batch_size
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.stop):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = step_rng(self.seed, epoch, self.order).permutation(self.length)
            first = self.rank * self.each
            at = step % per_epoch * self.batch_size + first
            yield BatchPart(step, first, order[at : at + self.each].tolist())


def batch_loader(batches: Any, load: Callable[[Any], Any], workers: int) -> DataLoader:
    """``load(item)`` for each item of ``batches``, in worker processes. A result may be a :class:`UserError`.

    Args:
        batches: A sampler or a list, such as of ranges of indices.
        load: Makes a batch of an item.
        workers: Processes; 0 loads in this one. No more are started than there are items, or two for each core.
    """
    workers = min(workers, len(batches), 2 * available_cores())
    return DataLoader(
        _Loaded(load, len(batches)),
        batch_sampler=batches,
        collate_fn=_unchanged,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_one_thread,
        multiprocessing_context="fork" if workers else None,
    )


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def checked(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches of a loader; raises the first :class:`UserError` among them."""
    for batch in batches:
        if isinstance(batch, UserError):
            raise batch
        yield batch


class _Loaded(Dataset[Any]):
    """A data set whose items are what a function makes of the sampler's items."""

    def __init__(self, load: Callable[[Any], Any], length: int):
        self.load, self.length = load, length

    def __len__(self) -> int:
        return self.length

    def __getitems__(self, item: Any) -> Any:
        try:
            return self.load(item)
        except UserError as error:  # raised by the reader of the loader: a worker would wrap it in a traceback
            return error


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)


def _unchanged(batch: Any) -> Any:
    return batch
