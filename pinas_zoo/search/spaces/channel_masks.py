"""Channel masks on the paper's space: the candidates of a layer share the channels of one wide block.

FBNetV2 and TuNAS search numbers of channels. Sec. 4.2 of the Π-NAS paper applies them to its space by treating the four
candidates of a layer as four channel decisions. The released code has neither method. Here the masks are read so:

- The 1x1 convolutions and norms of a layer exist once, at the width of the widest candidate. A candidate of width w
  uses the first w channels, as FBNetV2's mask of w ones does.
- The split attention between them is not shared. Its grouped 3x3 convolution has other connections for each radix and
  cardinality, so no candidate's weights are a part of another's.
- Outputs of split attentions are padded with zeros to the common width, weighted by the gates, and added. The wide
  1x1 convolution then runs once. FBNetV2's weighted sum of masks gives the same sum where the masked maps are equal.

:func:`copy_shared` writes the shared weights into the separate candidates of the supernet, which then computes the same
along each path, so that scoring and the winner do not know about masks.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.models.pinas import PiNASBlock
from pinas_zoo.search.spaces.base import Supernet
from pinas_zoo.search.spaces.resnest50 import ResNeStSupernet


def use_masks(supernet: Supernet, masks: bool | None) -> bool:
    """Whether a method's candidates share channels, by its option ``masks``; None: where they can.

    Raises:
        ValueError: They should, but the candidates of the supernet cannot.
    """
    if masks and not isinstance(supernet, ResNeStSupernet):
        raise ValueError("expected a space whose candidates can share channels for masks=True; try masks=False")
    return isinstance(supernet, ResNeStSupernet) if masks is None else masks


def pooled_features(supernet: Supernet, x: torch.Tensor, path: Arch | torch.Tensor, masks: bool) -> torch.Tensor:
    """Pooled features of a path, N x C x H x W to N x num_features, with or without shared channels."""
    if masks:
        assert isinstance(supernet, ResNeStSupernet)
        return masked_features(supernet, x, path)
    features: torch.Tensor = supernet(x, path)
    return features


def masked_features(supernet: ResNeStSupernet, x: torch.Tensor, path: Arch | torch.Tensor) -> torch.Tensor:
    """Pooled features of a path whose candidates share channels: N x C x H x W to N x num_features."""
    x = supernet.stem(x)  # N x 2*stem_width x H/4 x W/4
    for name, chosen in zip(supernet.layer_names, path, strict=True):
        x = masked_layer(candidates_of(supernet, name), x, chosen)
    return supernet.pool(x)


def masked_layer(blocks: list[PiNASBlock], x: torch.Tensor, chosen: int | torch.Tensor) -> torch.Tensor:
    """Run one layer: N x in_chs x H x W to N x out_chs x H/stride x W/stride.

    Args:
        blocks: The candidates of the layer. Only split attentions are theirs alone.
        x: Input.
        chosen: A candidate, or one gate per candidate.
    """
    wide = blocks[widest(blocks)]
    inner = wide.act1(wide.bn1(wide.conv1(x)))  # N x width x H x W
    width = inner.shape[1]
    gates: Iterable[tuple[int, torch.Tensor | None]]
    gates = enumerate(chosen.unbind(0)) if isinstance(chosen, torch.Tensor) else [(int(chosen), None)]
    total: torch.Tensor | None = None
    for candidate, gate in gates:
        block = blocks[candidate]
        own = block.conv1.out_channels
        out = F.pad(block.conv2(inner[:, :own]), (0, 0, 0, 0, 0, width - own))  # N x width x H x W
        out = out if gate is None else out * gate
        total = out if total is None else total + out
    assert total is not None
    out = wide.bn3(wide.conv3(wide.avd_last(total)))  # N x out_chs x H/stride x W/stride
    return wide.act3(out + (x if wide.downsample is None else wide.downsample(x)))


def widest(blocks: list[PiNASBlock]) -> int:
    """The candidate with the most channels, whose 1x1 convolutions and norms all candidates of the layer share."""
    return max(range(len(blocks)), key=lambda k: blocks[k].conv1.out_channels)


def candidates_of(supernet: ResNeStSupernet, layer: str) -> list[PiNASBlock]:
    return list(supernet.get_submodule(layer).children())  # type: ignore[arg-type]


def widest_path(supernet: Supernet) -> Arch:
    """The widest candidate of each layer."""
    assert isinstance(supernet, ResNeStSupernet)
    return Arch(tuple(widest(candidates_of(supernet, name)) for name in supernet.layer_names))


@torch.no_grad()
def copy_shared(supernet: Supernet) -> None:
    """Write the first channels of each layer's widest candidate into its other candidates."""
    assert isinstance(supernet, ResNeStSupernet)
    for layer in supernet.layer_names:
        blocks = candidates_of(supernet, layer)
        wide = blocks[widest(blocks)]
        for block in blocks:
            if block is not wide:
                for name in ("conv1", "bn1", "conv3", "bn3", "downsample"):
                    _copy_first(getattr(wide, name), getattr(block, name))


def _copy_first(source: nn.Module | None, target: nn.Module | None) -> None:
    """Copy parameters and buffers, of each dimension as many entries as the target has."""
    if source is None or target is None or source is target:
        return
    for a, b in zip(source.state_dict().values(), target.state_dict().values(), strict=True):
        b.copy_(a[tuple(slice(size) for size in b.shape)])
