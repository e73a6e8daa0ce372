"""The Π-NAS family as timm models.

A network is timm's ``ResNet`` with a deep stem (width 32), average-pool downsampling and one split-attention candidate
per layer (Peng et al., "Pi-NAS: Improving Neural Architecture Search by Reducing Supernet Training Consistency Shift",
ICCV 2021, sec. 4.1). State-dict names equal the authors' and timm's. Where the block differs from timm's
``ResNestBottleneck``, it follows the authors: the attention width is not rounded, and the first block of a dilated
stage keeps its 3x3 average pool at stride 1 with a downsample that does not dilate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, create_classifier, get_act_layer, get_norm_layer
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import ResNet, drop_blocks
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.weights import build_with_weights, hub_fields

__all__ = ["CANDIDATES", "Candidate", "LayerSpec", "PiNAS", "PiNASBlock", "SplitAttention", "layer_specs"]

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


CANDIDATES = (Candidate(1, 1, 64), Candidate(2, 1, 64), Candidate(1, 2, 42), Candidate(2, 2, 40))


@dataclass(frozen=True)
class LayerSpec:
    """Where a layer stands in the network, whatever candidate fills it."""

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
    if min(depths) < 1 or any(w < 16 or w % 16 for w in widths):
        raise ValueError(
            f"expected depths of at least 1 and widths in multiples of 16, got {tuple(depths)} and {tuple(widths)}"
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
                    downsample=first and (stride > 1 or in_chs != planes * EXPANSION),
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
        attn_chs = max(channels * radix // 4, 32)  # the authors' width; timm rounds it to a multiple of 8
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
        out = x[:, : self.channels] * attn[:, : self.channels]
        for r in range(1, self.radix):
            split = slice(r * self.channels, (r + 1) * self.channels)
            out = torch.addcmul(out, x[:, split], attn[:, split])
        return out  # N x C x H x W


class PiNASBlock(nn.Module):
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
        self.avd_last = nn.AvgPool2d(3, spec.stride, padding=1) if spec.pool else nn.Identity()
        self.conv3 = nn.Conv2d(width, spec.out_chs, 1, bias=False, **dd)
        self.bn3 = norm_layer(spec.out_chs, **dd)
        self.drop_path = DropPath(drop_path) if drop_path > 0.0 else nn.Identity()
        self.act3 = act_layer(inplace=True)
        self.downsample = downsample

    def zero_init_last(self) -> None:
        weight = getattr(self.bn3, "weight", None)
        if isinstance(weight, torch.Tensor):
            nn.init.zeros_(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
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

    def conv(in_chs: int, out_chs: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(in_chs, out_chs, 3, stride=stride, padding=1, bias=False, **dd)

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
    return nn.Sequential(
        pool, nn.Conv2d(spec.in_chs, spec.out_chs, 1, bias=False, **dd), norm_layer(spec.out_chs, **dd)
    )


class PiNAS(ResNet):
    """A network of the Π-NAS space: one candidate per layer, everything else as timm's ``ResNet``.

    Args:
        arch: Candidate per layer, as text (``"3013231203213032"``), sequence or :class:`Arch`; ``sum(depths)`` long.
        depths: Layers per stage.
        widths: Planes per stage; a stage's output has four times as many channels.
        stem_width: Channels of the stem's first two convolutions; the third has twice as many.
        output_stride: 8, 16 or 32.
        zero_init_last: Start each residual branch at zero.

    Raises:
        ValueError: ``arch`` does not fit ``depths``, or sizes out of range.
    """

    def __init__(
        self,
        arch: str | Sequence[int] | Arch = "1" * 16,
        depths: Sequence[int] = DEPTHS,
        widths: Sequence[int] = WIDTHS,
        stem_width: int = STEM_WIDTH,
        num_classes: int = 1000,
        in_chans: int = 3,
        output_stride: int = 32,
        global_pool: str = "avg",
        act_layer: Any = nn.ReLU,
        norm_layer: Any = nn.BatchNorm2d,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        drop_block_rate: float = 0.0,
        zero_init_last: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        nn.Module.__init__(self)  # timm's constructor knows one block per stage; everything after it is inherited
        dd = {"device": device, "dtype": dtype}
        specs = layer_specs(depths, widths, stem_width, output_stride)
        self.arch = str(Arch.parse(arch, num_layers=len(specs), num_candidates=len(CANDIDATES)))
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        act_layer = get_act_layer(act_layer)
        norm_layer = get_norm_layer(norm_layer)

        self.conv1 = make_stem(in_chans, stem_width, act_layer, norm_layer, **dd)
        self.bn1 = norm_layer(stem_width * 2, **dd)
        self.act1 = act_layer(inplace=True)
        self.maxpool: nn.Module = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.feature_info = [dict(num_chs=stem_width * 2, reduction=2, module="act1")]

        drop_block_fns = drop_blocks(drop_block_rate)
        reduction = 4
        stages: list[list[nn.Module]] = [[] for _ in depths]
        for i, (spec, choice) in enumerate(zip(specs, Arch.parse(self.arch), strict=True)):
            stages[spec.stage].append(
                PiNASBlock(
                    spec,
                    CANDIDATES[choice],
                    make_downsample(spec, norm_layer, **dd),
                    act_layer=act_layer,
                    norm_layer=norm_layer,
                    drop_block=drop_block_fns[spec.stage],
                    drop_path=drop_path_rate * i / max(len(specs) - 1, 1),
                    **dd,
                )
            )
            reduction *= spec.stride
            if spec.block == depths[spec.stage] - 1:
                name = f"layer{spec.stage + 1}"
                self.add_module(name, nn.Sequential(*stages[spec.stage]))
                self.feature_info.append(dict(num_chs=spec.out_chs, reduction=reduction, module=name))

        self.num_features = widths[-1] * EXPANSION
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool, **dd)
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        self.init_weights(zero_init_last=zero_init_last)


def _create_pinas(variant: str, pretrained: bool = False, **kwargs: Any) -> PiNAS:
    if pretrained:
        return build_with_weights(PiNAS, variant, **kwargs)
    return build_model_with_cfg(PiNAS, variant, False, **kwargs)


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "conv1.0",
        "classifier": "fc",
        "license": "apache-2.0",
        "paper_name": "Pi-NAS: Improving Neural Architecture Search by Reducing Supernet Training Consistency Shift",
        "paper_ids": "arXiv:2108.09671",
        **kwargs,
    }


ARCHS = {"pinas_alpha": "3013231203213032", "pinas_gamma": "3333113330011021"}
ALIASES = {"pinas_cls": "pinas_alpha", "pinas_trans": "pinas_gamma"}


def same_network(name: str) -> tuple[str, ...]:
    """A name and its other names: ``pinas_cls`` is ``pinas_alpha``."""
    root = ALIASES.get(name, name)
    return (name, *(n for n in (root, *ALIASES) if n != name and ALIASES.get(n, n) == root))


default_cfgs = generate_default_cfgs({name: _cfg(**hub_fields(name)) for name in ("pinas", *ARCHS, *ALIASES)})


@register_model
def pinas(pretrained: bool = False, **kwargs: Any) -> PiNAS:
    """Any network of the space: ``arch="…"`` with one digit per layer; ResNeSt-50 when none is given."""
    return _create_pinas("pinas", pretrained, **kwargs)


@register_model
def pinas_alpha(pretrained: bool = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-α, the network searched on ImageNet for classification."""
    return _create_pinas("pinas_alpha", pretrained, **{"arch": ARCHS["pinas_alpha"], **kwargs})


@register_model
def pinas_gamma(pretrained: bool = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-γ, the network that transfers best to detection and segmentation."""
    return _create_pinas("pinas_gamma", pretrained, **{"arch": ARCHS["pinas_gamma"], **kwargs})


@register_model
def pinas_cls(pretrained: bool = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-cls: the paper's other name for Π-NAS-α."""
    return _create_pinas("pinas_cls", pretrained, **{"arch": ARCHS["pinas_alpha"], **kwargs})


@register_model
def pinas_trans(pretrained: bool = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-trans: the paper's other name for Π-NAS-γ."""
    return _create_pinas("pinas_trans", pretrained, **{"arch": ARCHS["pinas_gamma"], **kwargs})
