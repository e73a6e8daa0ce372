"""Check that a converted detector or segmenter fits the model of a config, before it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import MODELS, init_default_scope

from pinas_zoo.convert.openmmlab_model import ConvertedModel
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.openmmlab.launch import read_config
from pinas_zoo.weights.tensors import shape_problems


def check_config(file: Path, converted: ConvertedModel) -> None:
    """Compare every name and shape with the model of the config, which is built without memory.

    Raises:
        UserError: The config is not there, or its model is not one of ours.
        WrongShapes: The architecture, the number of classes or any tensor differs.
    """
    model = build_empty(file)
    wanted, found = getattr(model.backbone, "arch", type(model.backbone).__name__), converted.backbone_args["arch"]
    if str(wanted) != str(found):
        raise WrongShapes(
            f"expected a backbone of arch {wanted}, which {file} says, got {found}; "
            f'take the config of that network, or set model.backbone.arch="{found}" in a config of your own'
        )
    classes = {n: m.num_classes for n, m in model.named_modules() if hasattr(m, "num_classes") and n in _HEADS}
    other = {n: c for n, c in classes.items() if c != converted.num_classes}
    if other:
        wanted = ", ".join(f"model.{name}.num_classes={count}" for name, count in other.items())
        raise WrongShapes(f"expected {wanted}, which {file} says, got {converted.num_classes} classes; set the file's")
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    problems = shape_problems({name: tuple(t.shape) for name, t in converted.state_dict.items()}, expected)
    if problems:
        raise WrongShapes(f"expected the whole model of {file}, got {converted.layout} with " + "; ".join(problems))


_HEADS = ("roi_head.bbox_head", "roi_head.mask_head", "decode_head", "auxiliary_head")


def build_empty(file: Path) -> Any:
    """The model of a config on the meta device, without weights.

    Raises:
        UserError: The config is not there, or its model has no backbone.
    """
    cfg = read_config(file)
    if "backbone" not in cfg.model:
        raise UserError(f"expected a config with a model that has a backbone, got a {cfg.model.get('type')} in {file}")
    init_default_scope(cfg.default_scope)
    with torch.device("meta"):
        return MODELS.build(cfg.model)
