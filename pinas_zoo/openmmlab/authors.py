"""``--authors`` of ``tools/test.py`` and ``tools/train.py``: a config by detectron2's or PyTorch-Encoding's rules.

====================  =================================================================================================
detectors, both       images decoded and resized by Pillow, sizes by detectron2's rule; boxes may shrink by any factor
detectors, test       AP in percent, not rounded
segmenters, test      images decoded by Pillow; windows, scales and mirror images as ``--tta``; a class that is in no
                      image counts as 0
segmenters, training  images decoded and resized by Pillow; black below and to the right of images smaller than the
                      crop; dropout of the auxiliary head is of elements
====================  =================================================================================================

Each row is an ordinary part of a config, so that one of them can be set alone. Weights do not change.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.data_checks import datasets

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
RESIZES = ("Resize", "RandomChoiceResize", "RandomResize")


def follow_authors(cfg: Config, mode: str) -> None:
    """Change a config, in place, to what the authors' libraries do.

    Args:
        cfg: A config of mmdet or mmseg.
        mode: ``train`` or ``test``.

    Raises:
        UserError: A segmenter's config without the parts that ``--tta`` needs.
    """
    if cfg.default_scope == "mmdet":
        _import(cfg, "pinas_zoo.openmmlab.detectron_rules")
        _detector(cfg)
    else:
        _import(cfg, "pinas_zoo.openmmlab.multi_eval", "pinas_zoo.openmmlab.auxiliary_head")
        if mode == "test":
            use_tta(cfg)
            for evaluator in _evaluators(cfg, "IoUMetric"):
                evaluator.nan_to_num = 0
        else:
            _segmenter_in_training(cfg)
        for step in _steps(cfg):
            if step.type in RESIZES:
                step.backend = "pillow"
    for step in _steps(cfg):
        if step.type == "LoadImageFromFile":
            step.imdecode_backend = "pillow"


def use_tta(cfg: Config) -> None:
    """Test by the config's ``tta_model`` and ``tta_pipeline``.

    Raises:
        UserError: It has none.
    """
    if "tta_pipeline" not in cfg or "tta_model" not in cfg:
        raise UserError(f"expected tta_pipeline and tta_model in {cfg.filename} for --tta and --authors, found none")
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(**cfg.tta_model, module=cfg.model)


def _detector(cfg: Config) -> None:
    for step in _steps(cfg):
        if step.type == "Resize" and step.get("keep_ratio"):
            step.type = "DetectronResize"
        elif step.type == "RandomChoiceResize" and step.get("keep_ratio"):
            step.resize_type = "DetectronResize"
    head = cfg.model.get("roi_head", {}).get("bbox_head", {})
    for part in (cfg.model.get("rpn_head", {}), *(head if isinstance(head, list) else [head])):
        if part.get("bbox_coder", {}).get("type") == "DeltaXYWHBBoxCoder":
            part.bbox_coder.type = "DetectronBBoxCoder"
    for evaluator in _evaluators(cfg, "CocoMetric"):
        evaluator.type = "DetectronCocoMetric"


def _segmenter_in_training(cfg: Config) -> None:
    for part in datasets(cfg, "train_dataloader"):
        pipeline = list(part.get("pipeline") or ())
        for crop in [step for step in pipeline if step.type == "RandomCrop"]:
            height, width = crop.crop_size
            black = dict(type="Pad", size=(width, height), pad_val=dict(img=0, seg=255))
            pipeline.insert(-1, black)  # before packing: a mirror image, too, has the black on the right
        part.pipeline = pipeline
    head: Any = cfg.model.get("auxiliary_head") or {}
    for part in head if isinstance(head, list) else [head]:
        if part.get("type") == "FCNHead":
            part.type = "EncodingFCNHead"


def _steps(cfg: Config) -> Iterator[Any]:
    """The steps of the pipelines of all data sets."""
    for loader in LOADERS:
        for part in datasets(cfg, loader):
            yield from part.get("pipeline") or ()


def _evaluators(cfg: Config, kind: str) -> Iterator[Any]:
    for name in ("val_evaluator", "test_evaluator"):
        found: Any = cfg.get(name) or ()
        for evaluator in found if isinstance(found, (list, tuple)) else [found]:
            if evaluator.get("type") == kind:
                yield evaluator


def _import(cfg: Config, *modules: str) -> None:
    """Import modules now, and by ``custom_imports`` where the config of the run is used again."""
    said = cfg.get("custom_imports") or {}
    names = said.get("imports") or []
    names = [names] if isinstance(names, str) else list(names)
    cfg.custom_imports = dict(imports=[*names, *(m for m in modules if m not in names)], allow_failed_imports=False)
    for module in modules:
        importlib.import_module(module)
