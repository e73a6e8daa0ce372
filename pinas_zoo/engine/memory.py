"""What a forward pass keeps for its backward pass, counted without running it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.spaces.base import Supernet


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


def path_mib(supernet: Supernet, path: Arch, images: int, size: int, dtype: torch.dtype | None = None) -> float:
    """MiB of activations that one path keeps for its backward pass; the supernet is on the meta device.

    Args:
        supernet: With parameters on the meta device.
        path: Through it.
        images: In the batch.
        size: Their height and width in pixels.
        dtype: Of mixed precision, if any.
    """

    def run() -> torch.Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            return supernet(torch.empty(images, 3, size, size, device="meta"), path)

    return saved_mib(supernet.train(), run)
