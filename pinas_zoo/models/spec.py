"""What a network of the Π-NAS space is: its architecture and sizes as one value."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.models.blocks import CANDIDATES, DEPTHS, STEM_WIDTH, WIDTHS, LayerSpec, layer_specs


@dataclass(frozen=True)
class NetworkSpec:
    """Architecture and sizes of a network of the space; the size of its images is no part of it.

    Attributes:
        arch: Candidate per layer; ``sum(depths)`` long. The constructor also takes what
            :meth:`Arch.parse <pinas_zoo.arch.Arch.parse>` reads.
        depths: Layers per stage.
        widths: Planes per stage; a stage's output has four times as many channels.
        stem_width: Channels of the stem's first two convolutions; the third has twice as many.
        num_classes: 0 for a network without a classifier.
        in_chans: Channels of the images.
        output_stride: 8, 16 or 32.
        global_pool: timm's name of the pooling before the classifier; empty for none.

    Raises:
        ValueError: ``arch`` does not fit ``depths``, or a value is out of range or of the wrong type.

    >>> NetworkSpec("0123", depths=(1, 1, 1, 1)).num_classes
    1000
    """

    arch: Arch
    depths: tuple[int, ...] = DEPTHS
    widths: tuple[int, ...] = WIDTHS
    stem_width: int = STEM_WIDTH
    num_classes: int = 1000
    in_chans: int = 3
    output_stride: int = 32
    global_pool: str = "avg"

    def __init__(
        self,
        arch: str | int | Sequence[int] | Arch,
        depths: Sequence[int] = DEPTHS,
        widths: Sequence[int] = WIDTHS,
        stem_width: int = STEM_WIDTH,
        num_classes: int = 1000,
        in_chans: int = 3,
        output_stride: int = 32,
        global_pool: str | None = "avg",
    ):
        if not isinstance(global_pool, str | None):
            raise ValueError(f"expected global_pool as a name, got {global_pool!r}")
        values: dict[str, Any] = {
            "depths": _counts("depths", depths),
            "widths": _counts("widths", widths),
            "stem_width": _count("stem_width", stem_width, 1),
            "num_classes": _count("num_classes", num_classes, 0),
            "in_chans": _count("in_chans", in_chans, 1),
            "output_stride": _count("output_stride", output_stride, 1),
            "global_pool": global_pool or "",
        }
        layers = layer_specs(values["depths"], values["widths"], values["stem_width"], values["output_stride"])
        values["arch"] = Arch.parse(arch, num_layers=len(layers), num_candidates=len(CANDIDATES))
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> NetworkSpec:
        """The specification in a network's arguments; those that say nothing of it, such as drop_rate, are left out.

        Raises:
            ValueError: As the constructor; or there is no arch.
        """
        if "arch" not in args:
            raise ValueError(f"expected arguments with an arch, got {sorted(args)}")
        return cls(**{field.name: args[field.name] for field in fields(cls) if field.name in args})

    @classmethod
    def from_model(cls, model: Any) -> NetworkSpec:
        """The specification of a :class:`~pinas_zoo.models.pinas.PiNAS`, read off its modules."""
        stages = [getattr(model, f"layer{i}") for i in range(1, 5)]
        return cls(
            arch=model.arch,
            depths=[len(stage) for stage in stages],
            widths=[stage[0].conv3.out_channels // stage[0].expansion for stage in stages],
            stem_width=model.conv1[0].out_channels,
            num_classes=model.num_classes,
            in_chans=model.in_chans,
            output_stride=model.feature_info[-1]["reduction"],
            global_pool=model.global_pool.pool_type,
        )

    def to_args(self) -> dict[str, Any]:
        """Arguments of timm's entry point ``pinas``, all of them, as plain data."""
        return {**asdict(self), "arch": str(self.arch), "depths": list(self.depths), "widths": list(self.widths)}

    def layers(self) -> list[LayerSpec]:
        """The layers in order, without their candidates."""
        return layer_specs(self.depths, self.widths, self.stem_width, self.output_stride)

    def is_papers_size(self) -> bool:
        """Whether depths, widths, stem and stride are those of the paper (sec. 4.1)."""
        sizes = (self.depths, self.widths, self.stem_width, self.output_stride)
        return sizes == (DEPTHS, WIDTHS, STEM_WIDTH, 32)


def _count(key: str, value: Any, least: int) -> int:
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None:
        raise ValueError(f"expected {key} as a whole number, got {value!r}")
    if count < least:
        raise ValueError(f"expected {key} of at least {least}, got {value!r}")
    return count


def _counts(key: str, values: Any) -> tuple[int, ...]:
    try:
        if isinstance(values, str) or not values:
            raise ValueError(key)
        return tuple(_count(key, value, 1) for value in values)
    except (TypeError, ValueError):
        raise ValueError(f"expected {key} as positive whole numbers, got {values!r}") from None
