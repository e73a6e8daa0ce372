"""Classifiers and supernets of the authors' code, converted to networks of this package.

    file ─► read_checkpoint ─► the layout among LAYOUTS that it has ─► ConvertedNetwork ─► save_model_folder

Detectors and segmenters: :mod:`pinas_zoo.convert.openmmlab_model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.models.pinas import CANDIDATES, DEPTHS, EXPANSION, STEM_WIDTH, WIDTHS
from pinas_zoo.weights.checkpoint_reader import Tensors, read_checkpoint
from pinas_zoo.weights.size_limits import shortened
from pinas_zoo.weights.tensors import check_finite, network_shapes, shape_problems


@dataclass(frozen=True)
class SupernetOptions:
    """Which network to take out of a supernet.

    Attributes:
        path: The candidate of every layer.
        teacher: Take the teacher (the moving average of the student) instead of the student.
    """

    path: Arch | None = None
    teacher: bool = False


@dataclass(frozen=True)
class ConvertedNetwork:
    """A stand-alone network that was read from a checkpoint of the authors.

    Attributes:
        state_dict: All of its tensors, by timm's names.
        model_args: Arguments of :class:`pinas_zoo.models.pinas.PiNAS` that build it.
        layout: The kind of checkpoint that it was read from, in words.
        left_out: Number of tensors of each part of the checkpoint that is not in the network.
    """

    state_dict: Tensors
    model_args: dict[str, Any]
    layout: str
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One way in which the authors' code names the tensors of a checkpoint.

    Attributes:
        description: The names, in words.
        matches: Whether tensors are named in this way.
        convert: Makes the network.
    """

    description: str
    matches: Callable[[Mapping[str, Tensor]], bool]
    convert: Callable[[Tensors, SupernetOptions, str], ConvertedNetwork]


def convert_checkpoint(
    file: Path | str, options: SupernetOptions | None = None, arch: Arch | None = None
) -> ConvertedNetwork:
    """Read the network of a checkpoint.

    Args:
        file: ``.pth.tar``, ``.pth`` and the like (read as data only), or ``.safetensors``.
        options: For a supernet, the network to take.
        arch: The architecture that the file must have.

    Raises:
        UserError: The file is not there, is no checkpoint, is a pickle that asks for more than data, has an unknown
            layout, has another architecture than ``arch``, or lacks tensors or has others.
    """
    return convert_tensors(read_checkpoint(file), str(file), options, arch)


def convert_tensors(
    tensors: Tensors, where: str, options: SupernetOptions | None = None, arch: Arch | None = None
) -> ConvertedNetwork:
    """As :func:`convert_checkpoint`, from the tensors of the file ``where``."""
    layout = next((layout for layout in LAYOUTS if layout.matches(tensors)), None)
    if layout is None:
        raise WrongShapes(
            f"expected tensors of a network ({'; or '.join(layout.description for layout in LAYOUTS)}) in {where}, "
            f"got {len(tensors)} others, such as {', '.join(shortened(name) for name in list(tensors)[:3])}"
        )
    converted = layout.convert(tensors, options or SupernetOptions(), where)
    check_arch(converted.model_args, arch, where)
    return converted


def check_arch(model_args: Mapping[str, Any], arch: Arch | None, where: str) -> None:
    """Check the architecture that was inferred from a file; ``arch`` None accepts any.

    Raises:
        WrongShapes: The architectures differ.
    """
    found = Arch.parse(model_args["arch"])
    if arch is not None and found != arch:
        raise WrongShapes(f"expected architecture {arch} in {where}, got the tensors of {found}; leave out the arch")


def network_of(
    tensors: Tensors, layout: str, where: str, left_out: Mapping[str, int] | None = None
) -> ConvertedNetwork:
    """A stand-alone network from tensors by timm's names. Its architecture and sizes are inferred from the shapes.

    Raises:
        WrongShapes: No candidate has the shapes of a layer, or tensors are missing, unknown, of another shape or not
            finite.
    """
    tensors = dict(tensors)
    args = infer_args({name: tuple(value.shape) for name, value in tensors.items()}, where)
    expected = network_shapes(args)
    for name, shape in expected.items():
        if name.endswith("num_batches_tracked") and name not in tensors:  # PyTorch before 0.4.1 had none
            tensors[name] = torch.zeros(shape, dtype=torch.int64)
    problems = shape_problems({name: tuple(value.shape) for name, value in tensors.items()}, expected)
    if problems:
        raise WrongShapes(f"expected the tensors of architecture {args['arch']} in {where}, got {'; '.join(problems)}")
    check_finite(tensors, where)
    return ConvertedNetwork({name: tensors[name] for name in expected}, args, layout, dict(left_out or {}))


def infer_args(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    """The arguments of the network whose tensors have these shapes. Sizes that equal the paper's are left out.

    A candidate is identified by the width of its first convolution and by the splits and groups of its second.

    Raises:
        WrongShapes: No network of the space has these names and shapes.
    """
    depths, widths, choices = [], [], []
    for stage in range(1, 5):
        depth = 0
        while f"layer{stage}.{depth}.conv1.weight" in shapes:
            choices.append(_candidate(shapes, f"layer{stage}.{depth}", where))
            depth += 1
        if depth == 0:
            raise WrongShapes(f"expected layers of stage {stage} in {where}, got none (no layer{stage}.0.conv1.weight)")
        depths.append(depth)
        widths.append(_shape(shapes, f"layer{stage}.0.conv3.weight", 4, where)[0] // EXPANSION)
    stem_width, in_chans = _shape(shapes, "conv1.0.weight", 4, where)[:2]
    head = shapes.get("fc.weight")
    args: dict[str, Any] = {"arch": str(Arch(tuple(choices))), "num_classes": 0 if head is None else head[0]}
    sizes = {"depths": (depths, DEPTHS), "widths": (widths, WIDTHS)}
    args.update({name: found for name, (found, usual) in sizes.items() if found != list(usual)})
    if stem_width != STEM_WIDTH:
        args["stem_width"] = stem_width
    if in_chans != 3:
        args["in_chans"] = in_chans
    return args


def _candidate(shapes: Mapping[str, tuple[int, ...]], layer: str, where: str) -> int:
    """The candidate that has the shapes of a layer's tensors."""
    planes = _shape(shapes, f"{layer}.conv3.weight", 4, where)[0] // EXPANSION
    width = _shape(shapes, f"{layer}.conv1.weight", 4, where)[0]
    splits, per_group = _shape(shapes, f"{layer}.conv2.conv.weight", 4, where)[:2]
    for choice, candidate in enumerate(CANDIDATES):
        groups = candidate.cardinality * candidate.radix
        if (width, splits, per_group * groups) == (candidate.width(planes), width * candidate.radix, width):
            return choice
    raise WrongShapes(
        f"expected one of {', '.join(map(str, CANDIDATES))} in {layer} of {where}, got a layer of width {width} with "
        f"{splits} split channels from groups of {per_group}, which is none of them"
    )


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, ndim: int, where: str) -> tuple[int, ...]:
    if name not in shapes or len(shapes[name]) != ndim:
        found = f"of shape {shapes[name]}" if name in shapes else "missing"
        raise WrongShapes(f"expected {name} with {ndim} dimensions in {where}, got it {found}")
    return shapes[name]


def _convert_standalone(tensors: Tensors, options: SupernetOptions, where: str) -> ConvertedNetwork:
    if options.path is not None or options.teacher:
        raise UserError(f"expected no path and no teacher for {where}, which holds one network, not a supernet")
    return network_of(tensors, STANDALONE, where)


def _convert_supernet(tensors: Tensors, options: SupernetOptions, where: str) -> ConvertedNetwork:
    """One path of a supernet. The candidates of a layer share its downsample, which is stored under each of them."""
    prefix = _supernet_prefix(tensors, options.teacher)
    if prefix is None:
        wanted, other = ("teacher", "student") if options.teacher else ("student", "teacher")
        raise WrongShapes(f"expected a supernet's {wanted} in {where}, got only its {other}")
    backbone = {name.removeprefix(prefix): v for name, v in tensors.items() if name.startswith(prefix)}
    layers = _supernet_layers(backbone)
    if options.path is None:
        raise UserError(
            f"expected a path for {where}, which is a supernet of {len(layers)} layers; give one candidate per layer, "
            f"such as '{(('3013231203213032' * len(layers))[: len(layers)])}'"
        )
    path = Arch.parse(options.path, num_layers=len(layers), num_candidates=len(CANDIDATES))
    network: Tensors = {}
    for name, value in backbone.items():
        if (match := _SUPERNET_LAYER.match(name)) is None:
            if prefix or name.startswith(("conv1.", "bn1.")):
                network[name] = value
        elif int(match[2]) == path[layers[match[1]]]:
            network[f"{match[1]}.{name[match.end() :]}"] = value
    converted = network_of(network, SUPERNET, where)
    found = converted.model_args["arch"]
    if found != str(path):  # a supernet of other candidates than the authors'
        raise WrongShapes(f"expected the candidates of path {path} in {where}, got those of {found}")
    return ConvertedNetwork(converted.state_dict, converted.model_args, SUPERNET, _left_out(tensors, prefix))


# Teacher and student of the authors' learning stage are encoder_k and encoder_q; backbone is the student once more.
_SUPERNET_LAYER = re.compile(r"(layer[1-4]\.\d+)\.(\d+)\.(?=[a-z])")
STANDALONE = "a stand-alone network's layer1.0.conv1.weight, … and fc.weight"
SUPERNET = "a supernet's layer1.0.0.conv1.weight, … (alone, or under backbone, encoder_q.0, encoder_k.0)"
_FIRST = "layer1.0.0.conv1.weight"


def _supernet_prefix(tensors: Mapping[str, Tensor], teacher: bool = False) -> str | None:
    prefixes = ("encoder_k.0.",) if teacher else ("backbone.", "encoder_q.0.", "")
    return next((prefix for prefix in prefixes if prefix + _FIRST in tensors), None)


def _supernet_layers(backbone: Mapping[str, Tensor]) -> dict[str, int]:
    """Index of each layer, by name such as ``layer3.5``."""
    names = {match[1] for match in map(_SUPERNET_LAYER.match, backbone) if match}
    ordered = sorted(names, key=lambda name: (int(name[5]), int(name.partition(".")[2])))
    return {name: i for i, name in enumerate(ordered)}


def _left_out(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, int]:
    """Number of tensors of each part of a supernet that is not used. The student is stored twice; neither counts."""
    student = ("backbone.", "encoder_q.0.")
    used = student if prefix in student else (prefix,) if prefix else ("layer", "conv1.", "bn1.")
    counts: dict[str, int] = {}
    for name in tensors:
        if not name.startswith(used):
            part = next((words for start, words in _PARTS.items() if name.startswith(start)), name.partition(".")[0])
            counts[part] = counts.get(part, 0) + 1
    return counts


_PARTS = {
    "encoder_q.1.": "student's head",
    "encoder_k.1.": "teacher's head",
    "encoder_k.0.": "teacher",
    "encoder_q.0.": "student",
    "backbone.": "student",
    "head.": "linear head",
    "queue": "queue",
}

LAYOUTS = (
    Layout(
        SUPERNET,
        lambda t: _supernet_prefix(t) is not None or _supernet_prefix(t, teacher=True) is not None,
        _convert_supernet,
    ),
    Layout(STANDALONE, lambda t: "layer1.0.conv1.weight" in t, _convert_standalone),
)
