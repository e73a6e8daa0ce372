"""Memory of the tensors of a forward pass, which can be counted on the meta device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


class _Live(TorchDispatchMode):
    """Counts the bytes of the storages that operators return, from when they are made until they are freed."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.bytes, self.peak = known, 0, 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        results = func(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, torch.Tensor) and result.untyped_storage()._cdata not in self.known:
                storage = result.untyped_storage()
                self.known.add(storage._cdata)
                self.bytes += storage.nbytes()
                weakref.finalize(storage, self.free, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.bytes)
        return results

    def free(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.bytes -= size


def live_mib(module: nn.Module, run: Callable[[], object]) -> float:
    """Highest memory in MiB of the tensors that exist at one time while a function runs without gradients.

    Buffers within operators are not counted.

    Args:
        module: Module whose parameters and buffers are not counted.
        run: The function; on the meta device it computes nothing.
    """
    known = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}
    with torch.no_grad(), _Live(known) as live:
        run()
    return live.peak / 2**20
