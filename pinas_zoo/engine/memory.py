"""Memory: activations of a forward pass, which can be counted on the meta device, and the peak of this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import nn


def saved_mib(module: nn.Module, run: Callable[[], torch.Tensor]) -> float:
    """Memory in MiB of the tensors that autograd saves in a forward pass, each storage once.

    Args:
        module: Module whose parameters and buffers are not counted.
        run: Function that runs the forward pass; on the meta device it computes nothing.
    """
    own = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # kept alive, so that no address is reused

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    del output
    return sum(storage.nbytes() for storage in kept.values()) / 2**20


def peak_memory_mib() -> float:
    """Highest resident memory of this process so far, in MiB."""
    import resource  # not available on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
