"""Checkpoints of timm's train.py: the weights, and the arguments of the script, which say what network they are of.

The arguments are a pickled ``argparse.Namespace`` of plain values. It is read as data: of all classes that a pickle can
ask for, this one alone is allowed in addition, and it holds no code.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pinas_zoo.data.class_folders import natural_key, printable
from pinas_zoo.data.decoding import extensions
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.checkpoint_reader import read_content, refused_globals
from pinas_zoo.weights.tensors import check_dense, without_wrappers

NAMESPACE = "argparse.Namespace"
IMAGE_FIELDS = ("mean", "std", "crop_pct", "interpolation")
SPLITS = ("train", "training", "")  # folders of classes under --data-dir
LAYOUT = "a checkpoint of timm's train.py"


@dataclass(frozen=True)
class TimmCheckpoint:
    """A network of timm's train.py.

    Attributes:
        state_dict: All tensors; of the moving average if the script kept one.
        architecture: timm's entry point.
        args: Its arguments, with ``num_classes``.
        cfg: timm's pretrained_cfg fields that the script was given, with ``label_names`` if its data is still there.
        facts: Epoch, metric, and whether the weights are the moving average.
    """

    state_dict: dict[str, Tensor]
    architecture: str
    args: dict[str, Any]
    cfg: dict[str, Any]
    facts: dict[str, Any]


def is_timm_checkpoint(file: Path) -> bool:
    """Whether a file asks for the arguments of a script and for no other class. It is not loaded."""
    return file.suffix != ".safetensors" and file.is_file() and refused_globals(file) == [NAMESPACE]


def read_timm_checkpoint(file: Path) -> TimmCheckpoint:
    """Read such a checkpoint.

    Raises:
        UserError: It is damaged, lacks arguments or weights, or is of a network that timm does not know here.
    """
    content: Any = read_content(file)
    given = content.get("args") if isinstance(content, Mapping) else None
    state = content.get("state_dict_ema") or content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(given, argparse.Namespace) or not isinstance(state, Mapping):
        raise WrongShapes(f"expected args and a state_dict in {file}, as timm's train.py writes them, got neither")
    options = vars(given)
    name = str(options.get("model") or content.get("arch") or "")
    architecture, fixed = entry_points.generic_form(name.partition(".")[0])
    entry_points.check_known(architecture)
    tensors = without_wrappers({str(key): value for key, value in state.items() if isinstance(value, Tensor)})
    check_dense(tensors, where=str(file))
    kwargs = options.get("model_kwargs")
    args = {**fixed, **(kwargs if isinstance(kwargs, Mapping) else {})}
    args["num_classes"] = _classes(tensors, architecture, args, file)
    facts = {key: content[key] for key in ("epoch", "metric") if isinstance(content.get(key), int | float)} | {
        "moving_average": "state_dict_ema" in content
    }
    return TimmCheckpoint(tensors, architecture, args, _cfg(options, args["num_classes"]), facts)


def _classes(tensors: Mapping[str, Tensor], architecture: str, args: Mapping[str, Any], file: Path) -> int:
    """Number of classes, read off the classifier."""
    head = entry_points.on_meta(architecture, args).pretrained_cfg.get("classifier")
    weight = tensors.get(f"{head}.weight") if isinstance(head, str) else None
    if weight is None or not weight.ndim:
        raise UserError(f"expected the classifier {head} of {architecture} in {file}, got none")
    return int(weight.shape[0])


def _cfg(options: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """What the script was told of the images; sizes, and names of the classes from its data folder."""
    cfg = {key: options[key] for key in IMAGE_FIELDS if options.get(key)}
    if options.get("input_size"):
        cfg["input_size"] = options["input_size"]
    elif options.get("img_size"):
        cfg["input_size"] = [3, options["img_size"], options["img_size"]]
    root = options.get("data_dir") or options.get("data")
    names = class_folders(Path(root)) if isinstance(root, str) and not options.get("dataset") else []
    if len(names) == classes:
        cfg["label_names"] = names
    return cfg


def class_folders(root: Path) -> list[str]:
    """Names of the class folders that timm's script trained on, in its order; empty if they are gone or are others.

    A checkpoint names the folder, which may be any of this machine, so only the folders directly below the split are
    looked at, and all of them must hold images.
    """
    try:
        split = next((root / name for name in SPLITS if (root / name).is_dir()), None)
        folders = [entry for entry in os.scandir(split) if entry.is_dir()] if split else []
        if not all(_has_image(folder.path) for folder in folders):
            return []
    except (OSError, ValueError):  # not to be read; a null byte in the name
        return []
    return sorted((printable(folder.name) for folder in folders), key=natural_key)


def _has_image(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(os.path.splitext(entry.name)[1].lower() in extensions() for entry in entries)
