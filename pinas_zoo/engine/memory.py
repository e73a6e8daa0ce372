"""Memory: what a forward pass keeps for its backward pass, counted without running it; the peak of this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import nn


def saved_mib(module: nn.Module, run: Callable[[], torch.Tensor]) -> float:
    """MiB of the tensors that autograd keeps for a pass, each memory once, without the module's own.

    Args:
        module: Its parameters and buffers are there anyway.
        run: Makes the pass; on the meta device nothing is computed.
    """
    own = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no address comes twice

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
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
