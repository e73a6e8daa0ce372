"""The parts of a layer of the Π-NAS space: candidates, a layer's place, split attention and the bottleneck.

Where the block differs from timm's ``ResNestBottleneck``, it follows the authors of Pi-NAS: the attention width is not
rounded, and the first block of a dilated stage keeps its 3x3 average pool at stride 1 with a downsample that does not
dilate. Stochastic depth drops the residual branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from timm.layers import DropPath
from torch import nn

from pinas_zoo.models.checkpointing import CheckpointedBlock, checkpoint_once
from pinas_zoo.models.pooling import PaddedAvgPool2d

__all__ = [
    "CANDIDATES",
    "Candidate",
    "LayerSpec",
    "PiNASBlock",
    "SplitAttention",
    "attention_width",
    "layer_specs",
    "make_downsample",
    "make_stem",
]

EXPANSION = 4
DEPTHS = (3, 4, 6, 3)  # layers per stage, sec. 4.1
WIDTHS = (64, 128, 256, 512)  # planes per stage
STEM_WIDTH = 32  # deep stem: 32, 32, 64 channels


@dataclass(frozen=True)
class Candidate:
    """One choice of a layer: radix ``s``, cardinality ``x`` and width ``d`` of ResNeSt's notation (``2s1x64d``)."""

    radix: int
    cardinality: int
    base_width: int

    def __str__(self) -> str:
        return f"{self.radix}s{self.cardinality}x{self.base_width}d"

    def width(self, planes: int) -> int:
        """Channels of the 3x3 convolution's output, before the splits: ``planes * base_width / 64 * cardinality``."""
        return int(planes * (self.base_width / 64.0)) * self.cardinality

    def attention_width(self, planes: int) -> int:
        """Channels between split attention's two layers."""
        return attention_width(self.width(planes), self.radix)

    def fits(self, planes: int) -> bool:
        """Whether the groups of every convolution divide its channels at this width."""
        splits = self.width(planes) % (self.radix * self.cardinality)
        return planes > 0 and not splits and not self.attention_width(planes) % self.cardinality


def attention_width(channels: int, radix: int) -> int:
    """Channels between the two layers of split attention over ``radix`` splits of ``channels`` each.

    The authors do not round it; timm rounds it to a multiple of 8.
    """
    return max(channels * radix // 4, 32)


CANDIDATES = (Candidate(1, 1, 64), Candidate(2, 1, 64), Candidate(1, 2, 42), Candidate(2, 2, 40))


@dataclass(frozen=True)
class LayerSpec:
    """A layer's place and sizes in the network, the same for every candidate."""

    stage: int  # 0-based; the module is layer{stage + 1}
    block: int
    in_chs: int
    planes: int
    stride: int
    dilation: int
    pool: bool  # 3x3 average pool after the 3x3 convolution, which then has stride 1 (ResNeSt's avd)
    downsample: bool

    @property
    def out_chs(self) -> int:
        return self.planes * EXPANSION


def layer_specs(
    depths: Sequence[int] = DEPTHS,
    widths: Sequence[int] = WIDTHS,
    stem_width: int = STEM_WIDTH,
    output_stride: int = 32,
) -> list[LayerSpec]:
    """The layers of a network in order.

    Raises:
        ValueError: An output stride other than 8, 16 or 32; not four stages; a width that no candidate can have.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"expected output_stride 8, 16 or 32, got {output_stride}")
    if len(depths) != 4 or len(widths) != 4:
        raise ValueError(f"expected four stages, got depths {tuple(depths)} and widths {tuple(widths)}")
    if min(depths) < 1:
        raise ValueError(f"expected depths of at least 1, got {tuple(depths)}")
    for planes in widths:
        unfit = [str(c) for c in CANDIDATES if not c.fits(planes)]
        if unfit:
            raise ValueError(
                f"expected widths that every candidate's groups divide (multiples of 128 do, and 16, 32, 48, 64, 96), "
                f"got {planes}, which {', '.join(unfit)} cannot have"
            )
    specs = []
    in_chs, net_stride, dilation = stem_width * 2, 4, 1
    for stage, (depth, planes) in enumerate(zip(depths, widths, strict=True)):
        stride = 1 if stage == 0 else 2
        previous = dilation
        if net_stride >= output_stride:
            dilation *= stride
            stride = 1
        else:
            net_stride *= stride
        for block in range(depth):
            first = block == 0
            specs.append(
                LayerSpec(
                    stage=stage,
                    block=block,
                    in_chs=in_chs,
                    planes=planes,
                    stride=stride if first else 1,
                    dilation=previous if first else dilation,
                    pool=first and stage > 0,
                    # of the undilated network's weights, so that they fit at any output stride
                    downsample=first and (stage > 0 or in_chs != planes * EXPANSION),
                )
            )
            in_chs = planes * EXPANSION
    return specs


class SplitAttention(nn.Module):
    """Split attention of ResNeSt (Zhang et al., 2020, sec. 3): N x C x H x W to N x C x H x W.

    A grouped 3x3 convolution makes ``radix`` splits of C channels; their weights come from the globally pooled sum of
    the splits, by softmax over the splits (sigmoid for a radix of 1), per cardinal group.
    """

    def __init__(
        self,
        channels: int,
        radix: int,
        cardinality: int,
        dilation: int = 1,
        act_layer: type[nn.Module] = nn.ReLU,
        norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
        drop_block: Callable[[], nn.Module] | None = None,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        dd = {"device": device, "dtype": dtype}
        self.radix = radix
        self.cardinality = cardinality
        self.channels = channels
        attn_chs = attention_width(channels, radix)
        groups = cardinality * radix
        self.conv = nn.Conv2d(
            channels, channels * radix, 3, padding=dilation, dilation=dilation, groups=groups, bias=False, **dd
        )
        self.bn0 = norm_layer(channels * radix, **dd)
        self.drop = drop_block() if drop_block is not None else nn.Identity()
        self.act0 = act_layer(inplace=True)
        self.fc1 = nn.Conv2d(channels, attn_chs, 1, groups=cardinality, **dd)
        self.bn1 = norm_layer(attn_chs, **dd)
        self.act1 = act_layer(inplace=True)
        self.fc2 = nn.Conv2d(attn_chs, channels * radix, 1, groups=cardinality, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act0(self.drop(self.bn0(self.conv(x))))  # N x RC x H x W
        gap = x.mean((2, 3), keepdim=True)  # N x RC x 1 x 1
        if self.radix > 1:  # pooling first: the sum of the splits is then over vectors, not over maps
            gap = gap.unflatten(1, (self.radix, self.channels)).sum(1)  # N x C x 1 x 1
        attn = self.fc2(self.act1(self.bn1(self.fc1(gap))))  # N x RC x 1 x 1, cardinal groups outermost
        if self.radix == 1:
            return x * attn.sigmoid()
        attn = attn.reshape(-1, self.cardinality, self.radix, self.channels // self.cardinality)
        attn = attn.transpose(1, 2).softmax(1).reshape(-1, self.radix * self.channels, 1, 1)  # N x RC x 1 x 1
        # split and not slices: its gradient is one concatenation, in the input's memory format
        splits, weights = x.split(self.channels, 1), attn.split(self.channels, 1)
        out = splits[0] * weights[0]
        for r in range(1, self.radix):
            out = torch.addcmul(out, splits[r], weights[r])
        return out  # N x C x H x W


class PiNASBlock(CheckpointedBlock):
    """Bottleneck of one candidate: N x in_chs x H x W to N x out_chs x H/stride x W/stride."""

    expansion = EXPANSION

    def __init__(
        self,
        spec: LayerSpec,
        candidate: Candidate,
        downsample: nn.Module | None = None,
        act_layer: type[nn.Module] = nn.ReLU,
        norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
        drop_block: Callable[[], nn.Module] | None = None,
        drop_path: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        dd = {"device": device, "dtype": dtype}
        width = candidate.width(spec.planes)
        self.conv1 = nn.Conv2d(spec.in_chs, width, 1, bias=False, **dd)
        self.bn1 = norm_layer(width, **dd)
        self.act1 = act_layer(inplace=True)
        self.conv2 = SplitAttention(
            width,
            candidate.radix,
            candidate.cardinality,
            dilation=spec.dilation,
            act_layer=act_layer,
            norm_layer=norm_layer,
            drop_block=drop_block,
            **dd,
        )
        self.avd_last = PaddedAvgPool2d(3, spec.stride, padding=1) if spec.pool else nn.Identity()
        self.conv3 = nn.Conv2d(width, spec.out_chs, 1, bias=False, **dd)
        self.bn3 = norm_layer(spec.out_chs, **dd)
        self.drop_path = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()
        self.act3 = act_layer(inplace=True)
        self.downsample = downsample

    def zero_init_last(self) -> None:
        weight = getattr(self.bn3, "weight", None)
        if weight is not None:
            nn.init.zeros_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.grad_checkpointing and not torch.jit.is_scripting():  # noqa: SIM102  scripting skips what is inside
            if not torch.jit.is_tracing():
                return checkpoint_once(self, self._forward, x)
        return self._forward(x)

    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.act1(self.bn1(self.conv1(x)))
        out = self.avd_last(self.conv2(out))
        out = self.drop_path(self.bn3(self.conv3(out)))
        if self.downsample is not None:
            x = self.downsample(x)
        out += x
        return self.act3(out)


def make_stem(
    in_chans: int,
    stem_width: int = STEM_WIDTH,
    act_layer: type[nn.Module] = nn.ReLU,
    norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d,
    **dd: Any,
) -> nn.Sequential:
    """Deep stem, three 3x3 convolutions: N x in_chans x H x W to N x 2*stem_width x H/2 x W/2."""
    conv: Callable[..., nn.Module] = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False, **dd)
    return nn.Sequential(
        conv(in_chans, stem_width, stride=2),
        norm_layer(stem_width, **dd),
        act_layer(inplace=True),
        conv(stem_width, stem_width),
        norm_layer(stem_width, **dd),
        act_layer(inplace=True),
        conv(stem_width, stem_width * 2),
    )


def make_downsample(
    spec: LayerSpec, norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d, **dd: Any
) -> nn.Sequential | None:
    """Average pool, 1x1 convolution and norm of a stage's first shortcut; None where the shortcut is the identity."""
    if not spec.downsample:
        return None
    pool: nn.Module = nn.Identity()
    if spec.stride > 1:
        pool = nn.AvgPool2d(spec.stride, spec.stride, ceil_mode=True, count_include_pad=False)
    conv = nn.Conv2d(spec.in_chs, spec.out_chs, 1, bias=False, **dd)
    return nn.Sequential(pool, conv, norm_layer(spec.out_chs, **dd))
