"""The primary blocks of a network and their feature maps, as AZ-NAS compares them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pinas_zoo.errors import UserError

CONTAINERS = (nn.Sequential, nn.ModuleList)


def primary_blocks(model: nn.Module) -> list[nn.Module]:
    """The outermost modules that have parts of their own and are no containers, such as residual blocks and cells.

    A stage, which holds a container of blocks, counts as a container too. Single layers and norms are no blocks.
    """
    return list(_blocks_in(model))


def _blocks_in(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        if isinstance(child, CONTAINERS) or _is_stage(child):
            yield from _blocks_in(child)
        elif _has_parts(child) and not isinstance(child, _NormBase):
            yield child


def _is_stage(module: nn.Module) -> bool:
    containers = [child for child in module.children() if isinstance(child, CONTAINERS)]
    return any(_has_parts(part) and not isinstance(part, _NormBase) for child in containers for part in child)


def _has_parts(module: nn.Module) -> bool:
    return next(module.children(), None) is not None


def block_features(model: nn.Module, x: torch.Tensor, blocks: Sequence[nn.Module] | None = None) -> list[torch.Tensor]:
    """Feature maps of the primary blocks in the order of execution, each N x C x H x W.

    Tokens, N x L x C, count as maps of L x 1. Outputs without positions, such as a head's, are left out.

    Args:
        model: The network.
        x: Its input.
        blocks: The blocks; None: :func:`primary_blocks`.

    Raises:
        UserError: There are fewer than two.
    """
    found: list[torch.Tensor] = []
    channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"  # as timm's Swin has its maps

    def keep(module: nn.Module, inputs: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor) or output.ndim not in (3, 4):
            return output
        if output.ndim == 3:
            found.append(output.transpose(1, 2)[..., None])
            return found[-1][..., 0].transpose(1, 2)
        found.append(output.permute(0, 3, 1, 2) if channels_last else output)
        copy = found[-1].clone()  # what follows may work in place
        return copy.permute(0, 2, 3, 1) if channels_last else copy

    chosen = primary_blocks(model) if blocks is None else blocks
    with ExitStack() as hooks:
        for block in chosen:
            hooks.callback(block.register_forward_hook(keep).remove)
        model(x)
    if len(found) < 2:
        raise UserError(
            f"expected a network with at least two blocks, found {len(found)} in {type(model).__name__}; try blocks=, "
            "the list of its modules whose outputs are compared"
        )
    return found
