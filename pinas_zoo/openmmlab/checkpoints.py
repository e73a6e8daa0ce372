"""Checkpoints for mmengine: more places that weights are loaded from, and checks that they fit the model.

The ``checkpoint=`` of an ``init_cfg`` and ``load_from`` accept, in addition to mmengine's own schemes:

    hf-hub:user/name[@revision]     a timm model repo on the Hub
    local-dir:FOLDER                a timm model folder, such as a run's ``winner``
    pinas:NAME                      a name of the user's registry or of the paper, with weights
    FILE.safetensors                the file itself
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, CheckpointLoader, Runner
from torch import Tensor, nn

from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.weights.checkpoint_reader import check_archive, read_checkpoint, refused_globals
from pinas_zoo.weights.size_limits import shortened
from pinas_zoo.weights.sources import find_source
from pinas_zoo.weights.tensors import check_real, shape_problems, without_wrappers
from pinas_zoo.zoo.resolve import weights_file

Checkpoint = dict[str, Any]
PREFIX = "backbone."
HEAD = "fc."  # the classifier, of which a backbone has none
LONGEST_LIST = 2**29  # bytes; a run's checkpoint has its losses of up to a million iterations in the list of tensors


@CheckpointLoader.register_scheme(prefixes=("hf-hub:", "hf_hub:"))
def load_from_hub(filename: str, map_location: Any = None) -> Checkpoint:
    """``hf-hub:user/name``: the weights of a Hub repo, from the cache where it is there."""
    return _read(weights_file(filename), map_location)


@CheckpointLoader.register_scheme(prefixes="local-dir:")
def load_from_folder(filename: str, map_location: Any = None) -> Checkpoint:
    """``local-dir:FOLDER``: the weights of a timm model folder."""
    return _read(weights_file(filename), map_location)


@CheckpointLoader.register_scheme(prefixes="pinas:")
def load_from_registry(filename: str, map_location: Any = None) -> Checkpoint:
    """``pinas:NAME``: what ``timm.create_model(NAME, pretrained=True)`` would load."""
    return _read(find_source(filename.partition(":")[2]).file(), map_location)


@CheckpointLoader.register_scheme(prefixes=r".*\.safetensors$")
def load_from_safetensors(filename: str, map_location: Any = None) -> Checkpoint:
    """A safetensors file."""
    return _read(Path(os.path.expanduser(filename)), map_location)


def _read(path: Path, map_location: Any) -> Checkpoint:
    device = map_location if isinstance(map_location, (str, torch.device)) else "cpu"
    return {"state_dict": {name: tensor.to(device) for name, tensor in read_checkpoint(path).items()}, "meta": {}}


def read_weights(weights: str) -> Checkpoint:
    """A checkpoint, from any place that mmengine's loader knows, read as data.

    Raises:
        UserError: The checkpoint is missing or damaged, or asks to run code.
    """
    if (file := Path(weights)).is_file():  # mmengine's loader does not look at sizes
        check_archive(file, LONGEST_LIST)
    try:
        content = CheckpointLoader.load_checkpoint(weights, map_location="cpu", logger="silent")
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"expected a checkpoint, got {weights}, which is not there") from None
    except Exception as error:  # damaged archives and refused pickles raise many types
        file = Path(os.path.expanduser(weights))
        refused = ", ".join(refused_globals(file)[:5]) if file.is_file() else ""
        reason = f"it is a pickle that wants {refused}" if refused else " ".join(str(error).split())[:200]
        raise UserError(
            f"expected a checkpoint of tensors and plain values, got {weights}, which cannot be read: {reason}; "
            + ("nothing of it was run" if refused else "get it again, or name another one")
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f"expected a checkpoint with a state_dict of tensors, got a {type(content).__name__} in {weights}"
        )
    return content


def forget_code(checkpoint: Checkpoint) -> None:
    """Take the config out of a checkpoint's meta data. ``Runner.resume`` would run that text as Python, to compare a
    number of GPUs that ``Runner`` itself does not write."""
    meta = checkpoint.get("meta")
    if isinstance(meta, dict):
        meta.pop("config", None)


def load_backbone(backbone: nn.Module, checkpoint: str, prefix: str | None = None) -> None:
    """Load all weights of a backbone.

    Args:
        backbone: The module to load into.
        checkpoint: Anything that mmengine's loader reads.
        prefix: Of the backbone's tensors in the checkpoint. Default: ``backbone.`` if there are such, otherwise none.

    Raises:
        WrongShapes: The weights are those of another network; nothing was loaded.
        UserError: They are missing or damaged, or ask to run code.
    """
    state = state_dict_of(read_weights(checkpoint), checkpoint)
    if prefix is None and any(name.startswith(PREFIX) for name in state):
        prefix = PREFIX
    if prefix:
        prefix = prefix.rstrip(".") + "."
        state = {name.removeprefix(prefix): t for name, t in state.items() if name.startswith(prefix)}
    check_backbone(state, backbone, checkpoint)
    wanted = backbone.state_dict()
    backbone.load_state_dict({name: state[name] for name in wanted}, strict=True)


def check_backbone(state: Mapping[str, Tensor], backbone: nn.Module, where: str) -> None:
    """Compare a state dict with a backbone. It may have a classifier and stages that the backbone leaves out.

    Raises:
        WrongShapes: Tensors are missing, unknown or of another shape.
    """
    expected = {name: tuple(t.shape) for name, t in backbone.state_dict().items()}
    unused = (HEAD, *getattr(backbone, "left_out", ()))
    found = {name: tuple(t.shape) for name, t in state.items() if not name.startswith(unused)}
    problems = shape_problems(found, expected)
    if problems:
        what = f"arch {backbone.arch}" if hasattr(backbone, "arch") else type(backbone).__name__
        raise WrongShapes(
            f"expected the weights of a backbone of {what} in {where}, got " + "; ".join(problems) + "; they belong "
            "to another backbone: name the right checkpoint, or set model.backbone.arch to theirs"
        )


@HOOKS.register_module()
class CheckpointCheckHook(Hook):
    """Compares every checkpoint that a run loads with its model; mmengine loads whatever names agree.

    A network of the zoo as ``load_from`` (names without ``backbone.``) is loaded into the backbone. Heads of another
    size are not loaded when training starts, as in mmengine; in testing and resuming they are an error.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: Checkpoint) -> None:
        forget_code(checkpoint)
        model: Any = getattr(runner.model, "module", runner.model)
        backbone = getattr(model, "backbone", None)
        where = str(runner._load_from)
        state = state_dict_of(checkpoint, where)
        if backbone is None:
            return
        if not any(name.startswith(PREFIX) for name in state):
            check_backbone(state, backbone, where)
            state = {PREFIX + name: t for name, t in state.items() if PREFIX + name in model.state_dict()}
            checkpoint["state_dict"] = state
        inner = {name.removeprefix(PREFIX): t for name, t in state.items() if name.startswith(PREFIX)}
        check_backbone(inner, backbone, where)
        if isinstance(runner._train_loop, BaseLoop) and not runner._resume:
            return
        rest = {name: tuple(t.shape) for name, t in state.items()}
        problems = shape_problems(rest, {name: tuple(t.shape) for name, t in model.state_dict().items()})
        if problems:
            raise WrongShapes(
                f"expected the weights of this config's whole model in {where}, got " + "; ".join(problems) + "; "
                "test with the config that it was trained with (the same classes and heads)"
            )


def state_dict_of(content: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """The tensors of a loaded checkpoint, without the prefixes of data-parallel training and ``torch.compile``.

    Raises:
        UserError: There are none.
        WrongShapes: One is not a network's: NaN, infinity, sparse or without data.
    """
    state = content.get("state_dict", content)
    named = state.items() if isinstance(state, Mapping) else ()
    tensors = {str(name): t for name, t in named if isinstance(t, Tensor)}
    if not tensors:
        names = ", ".join(shortened(name) for name in list(content)[:5])
        raise UserError(f"expected a checkpoint with a state_dict of tensors, got {where} with {names}")
    check_real(tensors, where)
    return without_wrappers(tensors)


def allow_resuming() -> None:
    """Let torch read mmengine's own checkpoints, which hold the message hub's loss histories beside the tensors.

    The list of allowed classes that this extends belongs to the whole process. There is no narrower way: mmengine's
    ``CheckpointLoader`` and ``Runner.resume`` call ``torch.load(file)`` themselves, without a parameter for it, and
    torch 2.6 and newer then read with ``weights_only=True``, which refuses a ``HistoryBuffer``.

    What is added runs no code: the class itself, numpy's arrays and number types, and in place of ``getattr``, which
    the pickle of a ``HistoryBuffer`` asks for, a function that gives that class's four statistics and nothing else.
    A second call changes nothing.
    """
    multiarray: Any = importlib.import_module(f"numpy.{'_core' if hasattr(np, '_core') else 'core'}.multiarray")
    dtypes = {type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64, np.int32, np.bool_)}
    needed: list[Any] = [HistoryBuffer, np.ndarray, np.dtype, *dtypes, multiarray._reconstruct, multiarray.scalar]
    needed.append((_history_statistic, "builtins.getattr"))
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.add_safe_globals([entry for entry in needed if entry not in allowed])


def _history_statistic(owner: Any, name: str) -> Any:
    """``getattr`` for checkpoints, which is refused for anything but the statistics of a ``HistoryBuffer``."""
    if owner is not HistoryBuffer or name not in ("min", "max", "mean", "current"):
        raise pickle.UnpicklingError(f"getattr of {owner!r}, {name!r} is not allowed in a checkpoint")
    return getattr(owner, name)
