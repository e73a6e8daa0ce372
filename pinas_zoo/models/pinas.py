"""The networks of the Π-NAS space as timm models.

A network is timm's ``ResNet`` with a deep stem (width 32), average-pool downsampling and one split-attention candidate
per layer (Peng et al., "Pi-NAS: Improving Neural Architecture Search by Reducing Supernet Training Consistency Shift",
ICCV 2021, sec. 4.1). State-dict names equal the authors' and timm's. The layers are in :mod:`pinas_zoo.models.blocks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import create_classifier, get_act_layer, get_norm_layer
from timm.models import generate_default_cfgs, register_model
from timm.models.resnet import ResNet, drop_blocks
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.models.blocks import (
    CANDIDATES,
    DEPTHS,
    EXPANSION,
    STEM_WIDTH,
    WIDTHS,
    Candidate,
    LayerSpec,
    PiNASBlock,
    SplitAttention,
    layer_specs,
    make_downsample,
    make_stem,
)
from pinas_zoo.models.checkpointing import FEATURE_CLASSES, set_block_checkpointing
from pinas_zoo.models.spec import NetworkSpec
from pinas_zoo.weights import builder, entry_points
from pinas_zoo.weights.entry_points import EntryPoint, FunctionArg, check_flags, check_pool, check_shares
from pinas_zoo.weights.size_limits import shortened
from pinas_zoo.weights.timm_private import feature_take_indices

__all__ = [
    "ARCHS",
    "CANDIDATES",
    "DEPTHS",
    "EXPANSION",
    "STEM_WIDTH",
    "WIDTHS",
    "Candidate",
    "LayerSpec",
    "PiNAS",
    "PiNASBlock",
    "SplitAttention",
    "layer_specs",
    "make_downsample",
    "make_stem",
]


class PiNAS(ResNet):
    """A network of the Π-NAS space: one candidate per layer, everything else as timm's ``ResNet``.

    Args:
        arch: Candidate per layer, as text (``"3013231203213032"``), number, sequence or :class:`Arch`;
            ``sum(depths)`` long.
        depths: Layers per stage.
        widths: Planes per stage; a stage's output has four times as many channels.
        stem_width: Channels of the stem's first two convolutions; the third has twice as many.
        output_stride: 8, 16 or 32.
        zero_init_last: Start each residual branch at zero.

    Raises:
        ValueError: ``arch`` does not fit ``depths``, or sizes out of range.
    """

    if TYPE_CHECKING:  # never at run time, where torchscript would try to read them
        layer1: nn.Sequential
        layer2: nn.Sequential
        layer3: nn.Sequential
        layer4: nn.Sequential

    def __init__(
        self,
        arch: str | int | Sequence[int] | Arch = "1" * 16,
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
        spec = NetworkSpec(arch, depths, widths, stem_width, num_classes, in_chans, output_stride)
        layers = spec.layers()
        self.arch = str(spec.arch)
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False  # as set; the blocks carry the switch
        act_layer = get_act_layer(act_layer)
        norm_layer = get_norm_layer(norm_layer)

        self.conv1 = make_stem(in_chans, stem_width, act_layer, norm_layer, **dd)
        self.bn1 = norm_layer(stem_width * 2, **dd)
        self.act1 = act_layer(inplace=True)
        self.add_module("maxpool", nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
        self.feature_info = [dict(num_chs=stem_width * 2, reduction=2, module="act1")]

        drop_block_fns = drop_blocks(drop_block_rate)
        reduction = 4
        stages: list[list[nn.Module]] = [[] for _ in depths]
        for i, (layer, choice) in enumerate(zip(layers, spec.arch, strict=True)):
            stages[layer.stage].append(
                PiNASBlock(
                    layer,
                    CANDIDATES[choice],
                    make_downsample(layer, norm_layer, **dd),
                    act_layer=act_layer,
                    norm_layer=norm_layer,
                    drop_block=drop_block_fns[layer.stage],
                    drop_path=drop_path_rate * i / max(len(layers) - 1, 1),
                    **dd,
                )
            )
            reduction *= layer.stride
            if layer.block == depths[layer.stage] - 1:
                name = f"layer{layer.stage + 1}"
                self.add_module(name, nn.Sequential(*stages[layer.stage]))
                self.feature_info.append(dict(num_chs=layer.out_chs, reduction=reduction, module=name))

        self.num_features = widths[-1] * EXPANSION
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool, **dd)
        self.head_hidden_size = self.num_features * self.global_pool.feat_mult()
        self.init_weights(zero_init_last=zero_init_last, needs_reset=False)

    @torch.jit.ignore
    def init_weights(self, zero_init_last: bool = True, needs_reset: bool = True) -> None:
        """Initialise as timm's ``ResNet`` does.

        Args:
            zero_init_last: Start each residual branch at zero.
            needs_reset: Also set what the modules' own constructors set (norms and their statistics, biases, the
                classifier): for a network built on the meta device and moved by ``to_empty``.
        """
        if needs_reset:
            for module in self.modules():
                if hasattr(module, "reset_parameters"):
                    module.reset_parameters()  # type: ignore[operator]
        super().init_weights(zero_init_last=zero_init_last)

    def train(self, mode: bool = True) -> PiNAS:
        """As in torch; where a part refuses (:func:`pinas_zoo.fuse`), all of the network stays in eval mode."""
        try:
            return super().train(mode)
        except RuntimeError:
            super().train(False)
            raise

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each block in backward instead of keeping it; batch-norm statistics still move once a step."""
        self.grad_checkpointing = enable
        set_block_checkpointing(self, enable)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """N x in_chans x H x W to N x num_features x H/stride x W/stride, unpooled."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))  # N x 2*stem_width x H/4 x W/4
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        return self.layer4(x)

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """The stem's (index 0) and the stages' (1 to 4) outputs on the way to the last one; arguments as in timm.

        Raises:
            ValueError: An output format other than NCHW.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"expected output_fmt 'NCHW', got {output_fmt!r}")
        take, last = feature_take_indices(5, indices)
        x = self.act1(self.bn1(self.conv1(x)))
        intermediates = [x] if 0 in take else []
        x = self.maxpool(x)
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        for i, stage in enumerate(stages[:last] if stop_early else stages, start=1):
            x = stage(x)
            if i in take:
                intermediates.append(x)
        return intermediates if intermediates_only else (x, intermediates)


def create(variant: str, pretrained: bool | str = False, **kwargs: Any) -> PiNAS:
    """A network under a registered name; weights by this package's rules (:mod:`pinas_zoo.weights.builder`)."""
    if kwargs.get("features_only"):
        cfg = dict(kwargs.pop("feature_cfg", None) or {})
        chosen = kwargs.pop("feature_cls", None) or cfg.pop("feature_cls", None) or "list"
        kwargs["feature_cfg"] = {**cfg, "feature_cls": FEATURE_CLASSES.get(chosen, chosen)}
    return builder.build(PiNAS, variant, pretrained, **kwargs)


def check_args(args: Mapping[str, Any]) -> None:
    """Check arguments of :class:`PiNAS` without building a network.

    Raises:
        ValueError: An unknown argument, a value out of range, or an architecture that does not fit the depths.
    """
    entry_points.check_parameters(args, PiNAS)
    NetworkSpec.from_args({**args, "arch": args.get("arch", "1" * 16)})
    check_flags(args, ("zero_init_last",))
    check_shares(args, ("drop_rate", "drop_path_rate", "drop_block_rate"))
    for name, read in (("act_layer", get_act_layer), ("norm_layer", get_norm_layer)):
        layer = args.get(name)
        try:
            known = layer is None or callable(layer) or (isinstance(layer, str) and read(layer) is not None)
        except (KeyError, AssertionError, ValueError):
            known = False
        if not known:
            raise ValueError(f"expected {name} as a name that timm knows, got {shortened(layer)}; leave it out")
    check_pool(args)


def spec_of(architecture: str, args: Mapping[str, Any]) -> NetworkSpec | None:
    """The specification of a network by its entry point and arguments; None when it is of another space.

    Raises:
        ValueError: Arguments that describe no network.
    """
    name, fixed = entry_points.generic_form(architecture)
    return NetworkSpec.from_args({**fixed, **args}) if name == ENTRY_POINT.name else None


# Images as in the authors' script of verification: the central 7/8 of the shorter side, resized bicubically. The paper
# gives the size alone (Table 2). Their script crops before it resizes, timm's transform afterwards.
DEFAULT_CFG: dict[str, Any] = {
    "url": "",
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "pool_size": (7, 7),
    "crop_pct": 0.875,
    "interpolation": "bicubic",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
    "first_conv": "conv1.0",
    "classifier": "fc",
    "license": "apache-2.0",
    "paper_name": "Pi-NAS: Improving Neural Architecture Search by Reducing Supernet Training Consistency Shift",
    "paper_ids": "arXiv:2108.09671",
}
ARCHS = {"pinas_alpha": "3013231203213032", "pinas_gamma": "3333113330011021"}
ALIASES = {"pinas_cls": "pinas_alpha", "pinas_trans": "pinas_gamma"}
ENTRY_POINT = EntryPoint(
    name="pinas",
    build=create,
    default_cfg=DEFAULT_CFG,
    named={name: {"arch": ARCHS[ALIASES.get(name, name)]} for name in (*ARCHS, *ALIASES)},
    aliases=ALIASES,
    prefix="pinas",
    function_args={
        "act_layer": FunctionArg(nn.ReLU, read=get_act_layer),
        "norm_layer": FunctionArg(nn.BatchNorm2d, read=get_norm_layer),
        "output_stride": FunctionArg(32, callers_choice=True),
        "global_pool": FunctionArg("avg", callers_choice=True),
    },
    check_args=check_args,
)
entry_points.declare(ENTRY_POINT, default=True)
default_cfgs = generate_default_cfgs(
    {name: {**DEFAULT_CFG, **builder.hub_fields(name)} for name in (ENTRY_POINT.name, *ARCHS, *ALIASES)}
)


@register_model
def pinas(pretrained: bool | str = False, **kwargs: Any) -> PiNAS:
    """Any network of the space: ``arch="…"`` with one digit per layer; ResNeSt-50 when none is given."""
    return create("pinas", pretrained, **kwargs)


@register_model
def pinas_alpha(pretrained: bool | str = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-α, the network searched on ImageNet for classification."""
    return create("pinas_alpha", pretrained, **{**ENTRY_POINT.named["pinas_alpha"], **kwargs})


@register_model
def pinas_gamma(pretrained: bool | str = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-γ, the network that transfers best to detection and segmentation."""
    return create("pinas_gamma", pretrained, **{**ENTRY_POINT.named["pinas_gamma"], **kwargs})


@register_model
def pinas_cls(pretrained: bool | str = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-cls: the paper's other name for Π-NAS-α."""
    return create("pinas_cls", pretrained, **{**ENTRY_POINT.named["pinas_cls"], **kwargs})


@register_model
def pinas_trans(pretrained: bool | str = False, **kwargs: Any) -> PiNAS:
    """Π-NAS-trans: the paper's other name for Π-NAS-γ."""
    return create("pinas_trans", pretrained, **{**ENTRY_POINT.named["pinas_trans"], **kwargs})
