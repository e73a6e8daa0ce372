"""``--authors``: what it changes in the configs, what training images then look like, and both tools' runs."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mmdet")
pytest.importorskip("pinas_zoo.openmmlab")

from mmengine.config import Config, DictAction
from mmengine.dataset import Compose
from mmengine.registry import MODELS, init_default_scope
from torch import nn

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab import launch
from pinas_zoo.openmmlab.authors import follow_authors
from tests.openmmlab.small import CITY, DET, DET_OPTIONS, SEG, SEG_OPTIONS, data, model_options, tool


def changed(path: Path, mode: str) -> Config:
    cfg = launch.read_config(path)
    follow_authors(cfg, mode)
    return cfg


@pytest.mark.parametrize("mode", ["train", "test"])
def test_a_detector_has_detectron2_s_rules(mode: str) -> None:
    cfg = changed(DET, mode)
    load, _, resize = cfg.train_dataloader.dataset.pipeline[:3]
    assert (load.imdecode_backend, resize.resize_type, len(resize.scales)) == ("pillow", "DetectronResize", 6)
    load, resize = cfg.test_dataloader.dataset.pipeline[:2]
    assert (load.imdecode_backend, resize.type, resize.scale) == ("pillow", "DetectronResize", (1333, 800))
    assert cfg.model.rpn_head.bbox_coder.type == cfg.model.roi_head.bbox_head.bbox_coder.type == "DetectronBBoxCoder"
    assert cfg.test_evaluator.type == "DetectronCocoMetric"
    again = Config.fromstring(cfg.pretty_text, ".py")  # as saved in a work folder
    assert "pinas_zoo.openmmlab.detectron_rules" in again.custom_imports.imports


@pytest.mark.parametrize("path", [SEG, CITY])
def test_a_segmenter_is_tested_as_in_pytorch_encoding(path: Path) -> None:
    cfg = changed(path, "test")
    assert cfg.model.type == "EncodingTTAModel"
    assert cfg.test_evaluator.nan_to_num == 0
    assert [step.type for step in cfg.test_dataloader.dataset.pipeline] == [
        "LoadImageFromFile",
        "LoadAnnotations",
        "PackSegInputs",
    ]
    assert cfg.test_dataloader.dataset.pipeline[0].imdecode_backend == "pillow"


def test_a_segmenter_without_tta_is_refused() -> None:
    cfg = launch.read_config(SEG)
    cfg.pop("tta_model")
    with pytest.raises(UserError, match="expected tta_pipeline and tta_model"):
        follow_authors(cfg, "test")


@pytest.mark.parametrize("flipped", [0.0, 1.0])
def test_training_images_end_in_black_on_the_right_and_below(tmp_path: Path, flipped: float) -> None:
    """A grey image of 40 x 60 at half its size in a crop of 48, whose labels are all of one class."""
    init_default_scope("mmseg")
    cfg = launch.read_config(SEG)
    cfg.train_dataloader.dataset.pipeline[2].update(scale=(30, 30), ratio_range=(1.0, 1.0))
    cfg.train_dataloader.dataset.pipeline[3].crop_size = (48, 48)
    cfg.train_dataloader.dataset.pipeline[4].prob = flipped
    follow_authors(cfg, "train")
    picture, labels = np.full((40, 60, 3), 99, np.uint8), np.full((40, 60), 3, np.uint8)
    picture[:, :30] = 200
    Image.fromarray(picture).save(tmp_path / "image.png")
    Image.fromarray(labels).save(tmp_path / "label.png")
    paths = dict(img_path=str(tmp_path / "image.png"), seg_map_path=str(tmp_path / "label.png"))
    packed = Compose(cfg.train_dataloader.dataset.pipeline)(dict(paths, reduce_zero_label=True, seg_fields=[]))
    image, found = packed["inputs"], packed["data_samples"].gt_sem_seg.data[0]
    assert image.shape == (3, 48, 48)
    assert (image[:, 20:] == 0).all()
    assert (image[:, :, 30:] == 0).all()
    assert (image[:, :20, :30] > 0).all()
    assert image[0, 0, 0] == (99 if flipped else 200)
    assert (found[:20, :30] == 2).all()
    assert (found == 255).sum() == 48 * 48 - 20 * 30


def test_images_are_decoded_and_resized_by_pillow() -> None:
    init_default_scope("mmseg")
    root = data("ADEChallengeData2016")
    cfg = launch.read_config(SEG)
    cfg.train_dataloader.dataset.pipeline[2].ratio_range = (0.5, 0.5)
    follow_authors(cfg, "train")
    path = root / "images/validation/ADE_val_00000001.jpg"
    load, _, resize = cfg.train_dataloader.dataset.pipeline[:3]
    found = Compose([load, resize])(dict(img_path=str(path), seg_fields=[]))["img"][:, :, ::-1]  # BGR
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        small = image.convert("RGB").resize(found.shape[1::-1], Image.Resampling.BILINEAR)
    assert max(found.shape) == 260
    assert (found == np.asarray(small)).all()


def test_the_auxiliary_head_drops_elements() -> None:
    init_default_scope("mmseg")
    cfg = changed(SEG, "train")
    cfg.model.auxiliary_head.update(in_channels=8, channels=6, num_classes=3, norm_cfg=dict(type="BN"))
    head = MODELS.build(cfg.model.auxiliary_head)
    assert type(head.dropout) is nn.Dropout
    assert head.dropout.p == 0.1
    plain = MODELS.build({**cfg.model.auxiliary_head, "type": "FCNHead"})
    assert {k: v.shape for k, v in head.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}
    torch.manual_seed(0)
    dropped = head.dropout(torch.ones(1, 400, 5, 5)) == 0
    assert 0 < dropped.flatten(2).float().mean(2).max() < 1  # no map is dropped whole


def weights(path: Path, options: list[str], where: Path) -> str:
    """Random weights of a shrunk config's model."""
    cfg = launch.read_config(path)
    parser = argparse.ArgumentParser()
    parser.add_argument("--o", nargs="+", action=DictAction)
    cfg.merge_from_dict(parser.parse_args(["--o", *model_options(options)]).o)
    torch.manual_seed(0)
    torch.save(dict(state_dict=launch.load_model(cfg, None, "cpu").state_dict()), where)
    return str(where)


def test_a_detector_is_tested_in_percent(tmp_path: Path) -> None:
    file = weights(DET, DET_OPTIONS, tmp_path / "w.pth")
    args = [str(DET), file, "--data-root", str(data("coco_mini")), "--work-dir", str(tmp_path / "test"), "--authors"]
    assert tool("test").main([*args, "--cfg-options", *DET_OPTIONS]) == 0
    text = "\n".join(path.read_text() for path in (tmp_path / "test").glob("*/*.log"))
    assert "coco/bbox_mAP: " in text
    assert "coco/segm_mAP: " in text
    assert "DetectronBBoxCoder" in text


def test_a_segmenter_trains_and_is_tested(tmp_path: Path) -> None:
    args = ["--data-root", str(data("ADEChallengeData2016")), "--work-dir", str(tmp_path), "--authors", "--cfg-options"]
    assert tool("train").main([str(SEG), *args, *SEG_OPTIONS]) == 0
    small = [*SEG_OPTIONS, "tta_model.base_size=64", "tta_model.crop_size=48", "tta_model.scales=[1.0]"]
    assert tool("test").main([str(SEG), str(tmp_path / "iter_2.pth"), *args, *small]) == 0
    assert "mIoU: " in "\n".join(path.read_text() for path in sorted(tmp_path.glob("*/*.log"))[-1:])
