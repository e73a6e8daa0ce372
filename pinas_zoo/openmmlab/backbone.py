"""The zoo's networks as backbones of mmdet and mmseg: ``backbone=dict(type="PiNAS", arch="pinas_trans")``.

The class is the timm model with the head cut off: names, weights and numbers are the same. It stands in mmengine's root
registry, where both libraries look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.model import initialize
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models import pinas as family
from pinas_zoo.openmmlab.checkpoints import load_backbone
from pinas_zoo.zoo import resolve as resolve_network

STAGES = 4
_SIZES = ("depths", "widths", "stem_width")


@MODELS.register_module(name="PiNAS")
class PiNASBackbone(family.PiNAS):
    """A network of the Π-NAS space that gives its stages' outputs.

    Args:
        arch: A name (``pinas_cls``, or one of your registry), the digits (``"1" * 16`` is ResNeSt-50), a timm model
            folder, or ``hf-hub:user/name``. It says what the network is; weights come by ``init_cfg``.
        depths: Layers per stage, for networks smaller than the paper's; a name or folder says its own.
        widths: Planes per stage, likewise.
        stem_width: Likewise.
        in_channels: Of the images.
        out_indices: Stages whose outputs are given, 0 to 3.
        output_stride: 8, 16 or 32; dilates as the authors do.
        frozen_stages: Stem (0) and stages 1 to this are not trained and keep their statistics; -1: all are trained.
        norm_cfg: ``BN`` or ``SyncBN``; ``requires_grad``, ``eps`` and ``momentum`` besides.
        norm_eval: Keep all running statistics.
        with_cp: Recompute blocks in backward, which saves memory.
        zero_init_last: Start each residual branch at zero.
        init_cfg: As in mmengine, one or a list; ``dict(type="Pretrained", checkpoint=…)`` is loaded whole or refused.

    Raises:
        UserError: An unknown arch, sizes that contradict it, or values out of range.
    """

    def __init__(
        self,
        arch: str | int | Sequence[int] | Arch,
        depths: Sequence[int] | None = None,
        widths: Sequence[int] | None = None,
        stem_width: int | None = None,
        in_channels: int = 3,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        output_stride: int = 32,
        frozen_stages: int = -1,
        norm_cfg: Mapping[str, Any] | None = None,
        norm_eval: bool = False,
        with_cp: bool = False,
        zero_init_last: bool = True,
        init_cfg: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ):
        given = {"depths": depths, "widths": widths, "stem_width": stem_width}
        args = resolve(arch, {key: value for key, value in given.items() if value is not None})
        norm = dict(norm_cfg or {"type": "BN"})
        trained_norms = norm.pop("requires_grad", True)
        if not out_indices or not set(out_indices) <= set(range(STAGES)):
            raise UserError(f"expected out_indices among 0, 1, 2, 3, got {tuple(out_indices)}")
        if frozen_stages not in range(-1, STAGES + 1):
            raise UserError(f"expected frozen_stages from -1 to {STAGES}, got {frozen_stages}")
        try:
            super().__init__(
                **args,
                num_classes=0,
                in_chans=in_channels,
                output_stride=output_stride,
                norm_layer=norm_layer(norm),
                zero_init_last=zero_init_last,
            )
        except ValueError as error:
            raise UserError(f"backbone of arch {arch}: {error}") from None
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.init_cfg = init_cfg
        self.left_out = tuple(f"layer{i + 1}" for i in range(max(out_indices) + 1, STAGES))
        for name in (*self.left_out, "global_pool", "fc"):  # nothing without a gradient, for DDP
            delattr(self, name)
        for module in self.modules():
            if isinstance(module, _BatchNorm) and module.affine:
                module.weight.requires_grad_(trained_norms)
                module.bias.requires_grad_(trained_norms)
        self.set_grad_checkpointing(with_cp)
        self.train()

    def init_weights(self, *args: Any, **kwargs: Any) -> None:
        """Called by the constructor with arguments, for random weights, and by mmengine without, for ``init_cfg``."""
        if args or kwargs:
            super().init_weights(*args, **kwargs)
            return
        given = self.init_cfg or ()
        several = [given] if isinstance(given, Mapping) else given
        for init in sorted(several, key=_is_pretrained):  # as in mmengine, pretrained weights come last
            if _is_pretrained(init):
                load_backbone(self, init["checkpoint"], init.get("prefix"))
            else:
                initialize(self, init)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """N x in_channels x H x W to the maps of the stages in ``out_indices``, N x C x H/stride x W/stride each."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))  # N x 2*stem_width x H/4 x W/4
        outputs = []
        for i in range(max(self.out_indices) + 1):
            x = self.get_submodule(f"layer{i + 1}")(x)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs)

    def train(self, mode: bool = True) -> PiNASBackbone:
        """Training mode, in which frozen stages, and all norms with ``norm_eval``, keep their statistics."""
        super().train(mode)
        frozen: list[nn.Module] = []
        if self.frozen_stages >= 0:
            frozen += [self.conv1, self.bn1]
        for i in range(min(self.frozen_stages, max(self.out_indices) + 1)):
            frozen.append(self.get_submodule(f"layer{i + 1}"))
        for module in frozen:
            module.eval()
            module.requires_grad_(False)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def _is_pretrained(init: Mapping[str, Any]) -> bool:
    return init.get("type") == "Pretrained"


def norm_layer(cfg: Mapping[str, Any]) -> Any:
    """A norm's constructor from what is left of a ``norm_cfg``.

    Raises:
        UserError: Another type than BN and SyncBN.
    """
    kwargs = dict(cfg)
    kind = kwargs.pop("type", None)
    if kind not in ("BN", "BN2d", "SyncBN"):
        raise UserError(f"expected norm_cfg of type 'BN' or 'SyncBN', got {kind!r}")
    layer = MODELS.get(kind) if kind == "SyncBN" else nn.BatchNorm2d
    return partial(layer, **kwargs) if kwargs else layer


def resolve(arch: str | int | Sequence[int] | Arch, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """``arch`` and the sizes of the network that an ``arch`` of any form names.

    Raises:
        UserError: Nothing of that name, or sizes that are given and differ from the named network's.
    """
    if isinstance(arch, int):  # what `--cfg-options` makes of digits, leading zeros lost
        arch = str(arch).zfill(sum(sizes.get("depths", family.DEPTHS)))
    if not isinstance(arch, str) or arch.isdigit():
        return {"arch": arch, **sizes}
    args = _named(arch)
    for key, value in sizes.items():
        known = args.get(key, getattr(family, key.upper()))
        if _plain(known) != _plain(value):
            raise UserError(f"expected {key}={known}, which arch {arch!r} says, got {value}; leave it out")
    return args


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) else value


def _named(name: str) -> dict[str, Any]:
    network = resolve_network(name)
    if network.spec is None:
        raise UserError(f"expected a network of the Π-NAS space as a backbone, got {name!r}, one of another")
    args = network.spec.to_args()
    return {key: args[key] for key in ("arch", *_SIZES)}
