"""Gradient checkpointing that leaves batch norm alone when it computes a block a second time.

timm's ``checkpoint_seq`` runs every block twice in training, and with it every batch norm: running statistics then move
twice a step and ``num_batches_tracked`` counts double. Here the second pass updates copies that are thrown away, so
a checkpointed step leaves the same buffers as an ordinary one, bit for bit.

The switch lives in the blocks, so that every way to run them obeys it: the network, ``forward_intermediates`` and
timm's feature wrappers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from timm.models import FeatureDictNet, FeatureHookNet, FeatureListNet, checkpoint
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = [
    "FEATURE_CLASSES",
    "CheckpointedBlock",
    "checkpoint_once",
    "set_block_checkpointing",
    "unrecorded_statistics",
]


class CheckpointedBlock(nn.Module):
    """A block that can checkpoint itself; :func:`set_block_checkpointing` finds blocks by this class."""

    def __init__(self) -> None:
        super().__init__()
        self.grad_checkpointing = False


@contextmanager
def unrecorded_statistics(module: nn.Module) -> Iterator[None]:
    """Within the block, training-mode batch norms (SyncBatchNorm too) update copies of their statistics."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    recorded = [dict(norm._buffers) for norm in norms]
    for norm, buffers in zip(norms, recorded, strict=True):
        norm._buffers.update({name: b.clone() for name, b in buffers.items() if b is not None})
    try:
        yield
    finally:
        for norm, buffers in zip(norms, recorded, strict=True):
            norm._buffers.update(buffers)


@torch.jit.ignore
def checkpoint_once(
    module: nn.Module, function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """``function(x)``, recomputed in backward instead of kept; ``module`` holds the batch norms that it runs."""
    if torch.compiler.is_compiling():  # the compiler's own recomputation does not repeat side effects
        return checkpoint(function, x)
    recomputing = False

    def run(x: torch.Tensor) -> torch.Tensor:
        nonlocal recomputing
        if recomputing:
            with unrecorded_statistics(module):
                return function(x)
        recomputing = True
        return function(x)

    return checkpoint(run, x)


def set_block_checkpointing(module: nn.Module, enable: bool) -> None:
    """Switch checkpointing of every block inside ``module``."""
    for block in module.modules():
        if isinstance(block, CheckpointedBlock):
            block.grad_checkpointing = enable


class _BlockwiseFeatures:
    """For timm's feature wrappers: leave checkpointing to the blocks; the wrappers' own would run batch norms twice."""

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        set_block_checkpointing(self, enable)  # type: ignore[arg-type]


class PiNASFeatureList(_BlockwiseFeatures, FeatureListNet):
    """timm's ``FeatureListNet`` with checkpointing by block."""


class PiNASFeatureDict(_BlockwiseFeatures, FeatureDictNet):
    """timm's ``FeatureDictNet`` with checkpointing by block."""


class PiNASFeatureHook(_BlockwiseFeatures, FeatureHookNet):
    """timm's ``FeatureHookNet`` with checkpointing by block."""


FEATURE_CLASSES = {"list": PiNASFeatureList, "dict": PiNASFeatureDict, "hook": PiNASFeatureHook}
