"""The network that a run starts from, and the model folder that it ends in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from torch import Tensor, nn

from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.train.config import TrainData
from pinas_zoo.train.evaluate import classes_of
from pinas_zoo.weights.entry_points import check_shares
from pinas_zoo.weights.model_folder import save_model_folder
from pinas_zoo.weights.size_limits import shortened
from pinas_zoo.weights.tensors import shape_problems, shapes_of
from pinas_zoo.weights.timm_cfg import check_preparation
from pinas_zoo.weights.timm_folder import save_timm_folder


@dataclass(frozen=True)
class Start:
    """A network that can be built, and where its first weights come from.

    Attributes:
        word: What the user named.
        timm_name: What ``timm.create_model`` builds with its weights.
        architecture: timm's entry point that builds it from ``args``.
        args: Arguments of the entry point.
        own_weights: Whether to start from the network's own weights.
        state_dict: Weights of another network of the same shapes, but for the classifier; None: none are given.
    """

    word: str
    timm_name: str
    architecture: str
    args: Mapping[str, Any] = field(default_factory=dict)
    own_weights: bool = False
    state_dict: Mapping[str, Tensor] | None = None


def build(
    start: Start, class_names: Sequence[str], model_args: Mapping[str, Any], reset_head: bool = False
) -> tuple[Any, str]:
    """The network with a classifier for the classes, and a few words on its weights.

    Its own classifier is kept if it is one for the same classes in the same order. torch's seed decides about what is
    new.

    Raises:
        UserError: Arguments that describe no network, or weights of another network.
    """
    count = len(class_names)
    if model_args.get("num_classes", count) != count:
        raise UserError(
            f"expected no model_args.num_classes, because the images have {count} classes, got "
            f"{shortened(model_args['num_classes'])}; leave it out"
        )
    if start.own_weights:
        model = _create(start.timm_name, pretrained=True, **model_args)
        if not reset_head and model.num_classes == count and classes_of(model) == tuple(class_names):
            return model, f"weights of {start.word}, with its classifier"
        model.reset_classifier(count)
        return model, f"weights of {start.word}, with a new classifier"
    model = _create(start.architecture, **{**start.args, **model_args, "num_classes": count})
    if start.state_dict is None:
        return model, "new weights"
    kept = load_body(model, start.state_dict, start.word, reset_head)
    return model, "given weights, with " + ("their classifier" if kept else "a new classifier")


def _create(name: str, **kwargs: Any) -> Any:
    try:
        check_shares(kwargs, [key for key in kwargs if "drop" in key and key.endswith("_rate")])
        return timm.create_model(name, **kwargs)
    except UserError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        given = {key: value for key, value in kwargs.items() if key != "pretrained"}
        raise UserError(f"expected arguments of the network {name}, got {shortened(given, 200)}: {reason}") from None


def load_body(model: Any, state_dict: Mapping[str, Tensor], where: str, reset_head: bool) -> bool:
    """Load weights of the same shapes; a classifier of other classes is left out. Returns whether it was loaded.

    Raises:
        WrongShapes: The weights are those of another network.
    """
    expected = shapes_of(model.state_dict())
    heads = model.pretrained_cfg["classifier"]
    names = (heads,) if isinstance(heads, str) else tuple(heads)
    of_head = {key for key in expected if key.startswith(tuple(f"{name}." for name in names))}
    found = {key: value for key, value in state_dict.items() if key in expected or not key.startswith(names)}
    keeps = not reset_head and all(key in found and found[key].shape == torch.Size(expected[key]) for key in of_head)
    body = found if keeps else {key: value for key, value in found.items() if key not in of_head}
    problems = shape_problems(shapes_of(body), {k: v for k, v in expected.items() if keeps or k not in of_head})
    if problems:
        raise WrongShapes(
            f"expected weights of the network {where}, got those of another: {'; '.join(problems)}; name the network "
            "that they belong to"
        )
    model.load_state_dict({**model.state_dict(), **body})
    return keeps


def image_config(model: nn.Module, data: TrainData) -> dict[str, Any]:
    """timm's data configuration of a network, with those values that the recipe sets.

    Raises:
        UserError: A network whose images have other than three channels, or are prepared in a way that is not possible.
    """
    args: dict[str, Any] = {key: getattr(data, key) for key in ("crop_pct", "interpolation", "mean", "std")}
    if data.image_size is not None:
        args["input_size"] = (3, data.image_size, data.image_size)
    config = resolve_data_config(args, model=model)
    if config["input_size"][0] != 3:
        raise UserError(f"expected a network for images of 3 channels, got one for {config['input_size'][0]}")
    check_preparation(config, "the recipe or its network")
    return config


def save(
    folder: Path,
    state_dict: Mapping[str, Tensor],
    start: Start,
    model_args: Mapping[str, Any],
    data_config: Mapping[str, Any],
    class_names: Sequence[str],
    facts: Mapping[str, Any],
) -> None:
    """Write a timm model folder of a trained network.

    A network of this package (with an ``arch``) is checked as :func:`save_model_folder` does; any other is written in
    timm's own format.
    """
    args = {**start.args, **model_args, "num_classes": len(class_names)}
    shown = {key: data_config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct")}
    cfg = {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in shown.items()},
        "num_classes": len(class_names),
        "label_names": list(class_names),
    }
    if "arch" in args:
        save_model_folder(folder, state_dict, args, {**cfg, "architecture": start.architecture}, facts)
        return
    save_timm_folder(folder, state_dict, start.architecture, args, cfg, facts)
