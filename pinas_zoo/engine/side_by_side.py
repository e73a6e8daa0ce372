"""Passes of a frozen network that run side by side, each in a thread with its share of the cores.

The kernels of small networks are too short to use several cores well, and one path's kernels wait for each other. Two
paths do not (benchmarks/side_by_side.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import torch
from torch import nn

MOST = 4  # passes at once: each holds its activations

Network = TypeVar("Network", bound=nn.Module)
T = TypeVar("T")


def passes_at_once(device: torch.device | str) -> int:
    """How many passes run side by side by default: one for each thread of a CPU, up to :data:`MOST`, else one."""
    return min(MOST, torch.get_num_threads()) if torch.device(device).type == "cpu" else 1


class SideBySide(Generic[Network]):
    """Runs jobs on copies of a network. Copies share its parameters; each has buffers and batch-norm modes of its own.

    Args:
        network: A network on its device, whose weights no longer change.
        count: Number of copies, the network included. None: :func:`passes_at_once`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> side = SideBySide(nn.Linear(2, 1), count=2)
        >>> parts = side.split([torch.ones(1, 2)] * 3)
        >>> [len(inputs) for _, inputs in parts]
        [2, 1]
        >>> [len(outputs) for outputs in side.run([lambda n=n, xs=xs: [n(x) for x in xs] for n, xs in parts])]
        [2, 1]
    """

    def __init__(self, network: Network, count: int | None = None):
        tensors = list(network.parameters())
        self.device = tensors[0].device if tensors else torch.device("cpu")
        count = passes_at_once(self.device) if count is None else count
        self.networks = [network, *(copy.deepcopy(network, {id(p): p for p in tensors}) for _ in range(count - 1))]

    def split(self, items: Sequence[T]) -> list[tuple[Network, Sequence[T]]]:
        """Consecutive parts of the items, of equal size or nearly, each with a network of its own; none is empty."""
        count = min(len(self.networks), len(items))
        bounds = [round(k * len(items) / count) for k in range(count + 1)] if count else []
        return [(self.networks[k], items[bounds[k] : bounds[k + 1]]) for k in range(count)]

    def run(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """Run jobs side by side, without gradients, and return their results in order.

        A job has the same number of threads however many jobs there are, so that results do not depend on that.

        Raises:
            Exception: That of the first job that failed, after all have ended.
        """
        if len(self.networks) == 1:
            with torch.no_grad():
                return [job() for job in jobs]
        threads = torch.get_num_threads()
        share = max(1, threads // len(self.networks)) if self.device.type == "cpu" else threads
        try:
            with ThreadPoolExecutor(len(self.networks), initializer=torch.set_num_threads, initargs=(share,)) as pool:
                return [done.result() for done in [pool.submit(self._run, job) for job in jobs]]
        finally:
            torch.set_num_threads(threads)  # what a thread sets is the start of those that torch has not seen yet

    def _run(self, job: Callable[[], T]) -> T:
        with torch.no_grad():
            if self.device.type != "cuda":
                return job()
            before = torch.cuda.default_stream(self.device)
            stream = torch.cuda.Stream(self.device)
            stream.wait_stream(before)
            with torch.cuda.stream(stream):
                result = job()
            before.wait_stream(stream)
            return result
