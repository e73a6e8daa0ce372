"""What a network of the Π-NAS space is: its architecture and sizes as one value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.models.blocks import CANDIDATES, DEPTHS, EXPANSION, STEM_WIDTH, WIDTHS, LayerSpec, layer_specs
from pinas_zoo.weights.size_limits import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_LAYERS,
    check_count,
    check_parameters,
    shortened,
)


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
            raise ValueError(f"expected global_pool as a name, got {shortened(global_pool)}")
        values: dict[str, Any] = {
            **read_sizes(depths, widths, stem_width),
            "num_classes": check_count("num_classes", num_classes, 0, MAX_CLASSES),
            "in_chans": check_count("in_chans", in_chans, 1, MAX_CHANNELS),
            "output_stride": check_count("output_stride", output_stride, 1, 32),
            "global_pool": global_pool or "",
        }
        outside = values["num_classes"] * values["widths"][-1] * EXPANSION + 9 * values["in_chans"] * stem_width
        check_parameters(outside + largest_path(values["depths"], values["widths"]), "a network")
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


def read_sizes(depths: Any, widths: Any, stem_width: Any) -> dict[str, Any]:
    """Depths, widths and stem width as whole numbers that a network can have; nothing is built.

    Raises:
        ValueError: Another type, or out of range.
    """
    sizes: dict[str, Any] = {
        "depths": _counts("depths", depths, MAX_LAYERS),
        "widths": _counts("widths", widths, MAX_CHANNELS),
        "stem_width": check_count("stem_width", stem_width, 1, MAX_CHANNELS),
    }
    if sum(sizes["depths"]) > MAX_LAYERS:
        raise ValueError(f"expected depths of at most {MAX_LAYERS} layers in all, got {sum(sizes['depths'])}")
    check_parameters(27 * stem_width**2, "a stem")
    return sizes


def largest_path(depths: Sequence[int], widths: Sequence[int]) -> int:
    """Parameters of the layers along the largest candidates, counted a little too high (norms and biases not at all).

    A layer of ``w`` planes has convolutions of w x in, 9 w x w and 4w x w weights and attention of at most 2 w x w; the
    first of a stage also has a downsample of 4w x in, where ``in`` is at most four times the planes before.
    """
    total, before = 0, 0
    for depth, w in zip(depths, widths, strict=False):
        total += depth * (EXPANSION * w * w + 11 * w * w + EXPANSION * w * w)
        total += EXPANSION * before * (w + EXPANSION * w)
        before = w
    return total


def _counts(key: str, values: Any, most: int) -> tuple[int, ...]:
    try:
        if isinstance(values, str) or not values:
            raise ValueError(key)
        return tuple(check_count(key, value, 1, most) for value in values)
    except (TypeError, ValueError):
        raise ValueError(
            f"expected {key} as positive whole numbers of at most {most}, got {shortened(values)}"
        ) from None
