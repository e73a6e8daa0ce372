"""Detectors and segmenters of the authors' code, converted to checkpoints of the OpenMMLab models in ``configs``.

    file ─► read_checkpoint ─► convert_detector or convert_segmenter ─► ConvertedModel ─► save_converted_model

Tensor names are mapped by rules, so an error about a tensor that is missing, unknown or of another shape gives its name
in the file. The rules need names and shapes only; this module does not import OpenMMLab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pinas_zoo.convert.classifier import ConvertedNetwork, infer_args, network_of
from pinas_zoo.errors import UserError, WrongShapes, disk_error, is_full_disk
from pinas_zoo.models.pinas import EXPANSION, WIDTHS
from pinas_zoo.weights.abandoned import remove_abandoned
from pinas_zoo.weights.atomic import replacing
from pinas_zoo.weights.checkpoint_reader import Tensors
from pinas_zoo.weights.tensors import check_finite, network_shapes, save_tensors, shape_problems

Shape = tuple[int, ...]
BACKBONE = "backbone."  # prefix of the backbone's tensors in mmdet and mmseg
FORMATS = (".safetensors", ".pth")
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class ConvertedModel:
    """A whole detector or segmenter for OpenMMLab that was read from a checkpoint of the authors.

    Attributes:
        state_dict: All tensors, named as in the models of ``configs``.
        task: ``det`` or ``seg``.
        layout: The kind of checkpoint that it was read from, in words.
        backbone_args: Arguments of :class:`pinas_zoo.models.pinas.PiNAS` that build the backbone.
        num_classes: Number of classes of the heads, without background.
        notes: Changes other than renaming, a sentence each.
    """

    state_dict: Tensors
    task: str
    layout: str
    backbone_args: dict[str, Any]
    num_classes: int
    notes: tuple[str, ...] = ()

    def backbone(self) -> ConvertedNetwork:
        """The backbone alone, as a network without a classifier."""
        inner = {k.removeprefix(BACKBONE): v for k, v in self.state_dict.items() if k.startswith(BACKBONE)}
        heads = {f"heads of {self.layout}": len(self.state_dict) - len(inner)}
        return network_of(inner, self.layout, f"the backbone of {self.layout}", heads)


@dataclass(frozen=True)
class Layer:
    """Names and shape of a convolution or linear layer and, where it has one, of the norm that follows it.

    Attributes:
        source: Name of the layer in the file.
        target: Name of the layer in the model.
        shape: Shape of its weight.
        bias: Whether it has a bias.
        norm: Names of the norm in the file and in the model.
    """

    source: str
    target: str
    shape: Shape
    bias: bool = False
    norm: tuple[str, str] | None = None

    def tensors(self) -> Iterable[tuple[str, str, Shape]]:
        """For each tensor: its name in the file, its name in the model, and its shape."""
        yield f"{self.source}.weight", f"{self.target}.weight", self.shape
        width = (self.shape[1] if self.target.endswith("upsample") else self.shape[0],)  # transposed: in x out
        if self.bias:
            yield f"{self.source}.bias", f"{self.target}.bias", width
        if self.norm:
            for leaf in _NORM:
                yield f"{self.norm[0]}.{leaf}", f"{self.norm[1]}.{leaf}", () if leaf == _NORM[-1] else width


def backbone_of(
    tensors: Mapping[str, Tensor], name_in_file: Callable[[str], str], where: str
) -> tuple[dict[str, Any], list[tuple[str, str, Shape]]]:
    """The backbone's arguments, inferred from the shapes, and its tensors in the form of :meth:`Layer.tensors`.

    Args:
        tensors: All tensors of the file.
        name_in_file: Gives the file's name of a tensor of the zoo's network.
        where: The file, for messages.

    Raises:
        WrongShapes: No network of the space has these names and shapes.
    """
    depths = []
    for stage in range(1, 5):
        depths.append(0)
        while name_in_file(f"layer{stage}.{depths[-1]}.conv1.weight") in tensors:
            depths[-1] += 1
    if 0 in depths:
        first = name_in_file(f"layer{depths.index(0) + 1}.0.conv1.weight")
        raise WrongShapes(f"expected a backbone of four stages in {where}, got none with {first}")
    names = network_shapes({"arch": "0" * sum(depths), "depths": depths, "num_classes": 0})  # the same for all choices
    present = {n: tuple(tensors[name_in_file(n)].shape) for n in names if name_in_file(n) in tensors}
    args = infer_args(present, where)
    expected = network_shapes({**args, "num_classes": 0})
    return args, [(name_in_file(n), BACKBONE + n, shape) for n, shape in expected.items()]


def stage_channels(backbone_args: Mapping[str, Any]) -> list[int]:
    """Numbers of channels of the four stages' outputs."""
    return [EXPANSION * width for width in backbone_args.get("widths", WIDTHS)]


def rename(tensors: Mapping[str, Tensor], expected: Iterable[tuple[str, str, Shape]], what: str, where: str) -> Tensors:
    """All tensors under the model's names.

    Raises:
        WrongShapes: Tensors are missing, unknown, of another shape or not finite. The message has the file's names.
    """
    expected = list(expected)
    found = dict(tensors)
    for source, _, shape in expected:
        norm, _, leaf = source.rpartition(".")
        if leaf == _NORM[-1] and f"{norm}.running_var" in found:  # frozen norms and PyTorch before 0.4.1 have none
            found.setdefault(source, torch.zeros(shape, dtype=torch.int64))
    problems = shape_problems({n: tuple(t.shape) for n, t in found.items()}, {s: shape for s, _, shape in expected})
    if problems:
        raise WrongShapes(f"expected {what} in {where}, got {'; '.join(problems)}")
    check_finite(found, where)
    return {target: found[source] for source, target, _ in expected}


def shape_of(tensors: Mapping[str, Tensor], name: str, ndim: int, what: str, where: str) -> Shape:
    """Shape of a tensor from which sizes of the model are inferred.

    Raises:
        WrongShapes: The tensor is missing or has another number of dimensions.
    """
    found = tensors.get(name)
    if found is None or found.ndim != ndim:
        got = "none" if found is None else f"one of shape {tuple(found.shape)}"
        raise WrongShapes(f"expected {what} with {name} of {ndim} dimensions in {where}, got {got}")
    return tuple(found.shape)


def save_converted_model(file: Path | str, model: ConvertedModel, facts: Mapping[str, Any]) -> None:
    """Write a checkpoint for mmengine's ``load_from``, with ``facts`` as metadata; the file is replaced atomically.

    Raises:
        UserError: The name ends in neither ``.safetensors`` nor ``.pth``, or the file cannot be written.
    """
    file = Path(file)
    if file.suffix not in FORMATS:
        raise UserError(f"expected a file that ends in {' or '.join(FORMATS)} for {model.layout}, got {file}")
    tensors = model.state_dict
    remove_abandoned(file.parent, file.name)
    try:
        if file.suffix == ".pth":
            with replacing(file) as temporary:
                torch.save({"state_dict": tensors, "meta": dict(facts)}, temporary)
        else:
            save_tensors(file, tensors, {"format": "pt", **{k: str(v) for k, v in facts.items()}})
    except OSError as error:
        raise disk_error(error, file) from None
    except RuntimeError as error:  # of torch's writer, which does not say more
        if not is_full_disk(error):
            raise
        raise UserError(f"expected space on the disk for {file}, got an error of the writer; free some") from None
