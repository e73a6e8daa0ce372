"""Configs of this project shrunk to seconds on one core, and the tools run in this process."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from tests.golden import shared_dir

ROOT = Path(__file__).resolve().parents[2]
DET = ROOT / "configs/det/mask-rcnn_pinas_fpn_syncbn_1x_coco.py"
SEG = ROOT / "configs/seg/deeplabv3_pinas-d8_120e_ade20k-480x480.py"
CITY = ROOT / "configs/seg/deeplabv3_pinas-d8_240e_cityscapes-768x768.py"
CONFIGS = sorted(path for task in ("det", "seg") for path in (ROOT / "configs" / task).glob("*.py"))

BACKBONE = [
    "model.backbone.arch=0123",
    "model.backbone.depths=[1,1,1,1]",
    "model.backbone.widths=[16,32,32,32]",
    "model.backbone.stem_width=8",
]
_RUN = [
    *(f"{split}_dataloader.num_workers=0" for split in ("train", "val", "test")),
    *(f"{split}_dataloader.persistent_workers=False" for split in ("train", "val", "test")),
    "train_cfg.max_iters=2",
    "train_cfg.val_interval=2",
    "default_hooks.checkpoint.interval=2",
    "default_hooks.logger.interval=1",
]
DET_OPTIONS = [
    *BACKBONE,
    *_RUN,
    "model.neck.in_channels=[64,128,128,128]",
    "model.neck.out_channels=16",
    "model.rpn_head.in_channels=16",
    "model.rpn_head.feat_channels=16",
    "model.roi_head.bbox_roi_extractor.out_channels=16",
    "model.roi_head.mask_roi_extractor.out_channels=16",
    "model.roi_head.bbox_head.in_channels=16",
    "model.roi_head.bbox_head.conv_out_channels=16",
    "model.roi_head.bbox_head.fc_out_channels=32",
    "model.roi_head.mask_head.in_channels=16",
    "model.roi_head.mask_head.conv_out_channels=16",
    "model.train_cfg.rpn_proposal.max_per_img=50",
    "model.train_cfg.rcnn.sampler.num=32",
    "model.test_cfg.rpn.max_per_img=20",
    "model.test_cfg.rcnn.score_thr=0.0",
    "model.test_cfg.rcnn.max_per_img=5",
    "train_dataloader.dataset.pipeline.2.scales=[(128,96),(128,112)]",
    "val_dataloader.dataset.pipeline.1.scale=(128,96)",
    "test_dataloader.dataset.pipeline.1.scale=(128,96)",
    "val_dataloader.dataset.indices=4",
    "test_dataloader.dataset.indices=4",
    "test_pipeline.1.scale=(128,96)",
]
SEG_OPTIONS = [
    *BACKBONE,
    *_RUN,
    "model.decode_head.in_channels=128",
    "model.decode_head.channels=16",
    "model.auxiliary_head.in_channels=128",
    "model.auxiliary_head.channels=16",
    "model.data_preprocessor.size=(64,64)",
    "model.test_cfg.crop_size=(64,64)",
    "model.test_cfg.stride=(43,43)",
    "train_dataloader.dataset.pipeline.2.scale=(96,96)",
    "train_dataloader.dataset.pipeline.3.crop_size=(64,64)",
    "val_dataloader.dataset.pipeline.1.scale=(96,96)",
    "test_dataloader.dataset.pipeline.1.scale=(96,96)",
    "test_pipeline.1.scale=(96,96)",
]


def model_options(options: Sequence[str]) -> list[str]:
    """The options that determine the shapes of the model and of its images."""
    return [option for option in options if option.startswith(("model.", "test_pipeline", "test_dataloader"))]


def data(name: str) -> Path:
    """A data set of ``../shared/data``; skips the test where it is absent."""
    path = shared_dir() / "data" / name
    if not path.is_dir():
        pytest.skip(f"../shared/data/{name} is absent")
    return path


def tool(name: str) -> ModuleType:
    """``tools/NAME.py`` as a module."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
