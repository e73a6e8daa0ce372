"""Whole detectors and segmenters through onnxruntime: equal boxes and equal masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmdet")
pytest.importorskip("onnxruntime")
import onnxruntime
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

import pinas_zoo.openmmlab  # noqa: F401
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.onnx_export import export, function_of
from tests.openmmlab.small import DET, DET_OPTIONS, SEG, SEG_OPTIONS, model_options

pytestmark = pytest.mark.filterwarnings("ignore")  # of tracing: sizes are meant to be constants


def build(path: Path, options: list[str]) -> Any:
    cfg = Config.fromfile(str(path))
    init_default_scope(cfg.default_scope)
    pairs = (option.partition("=") for option in model_options(options))
    cfg.merge_from_dict({key: DictAction._parse_iterable(value) for key, _, value in pairs})
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def runner(file: Path) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda images: [torch.from_numpy(out) for out in session.run(None, {"images": images.numpy()})]


def test_detector(tmp_path: Path) -> None:
    model = build(DET, DET_OPTIONS)
    with torch.no_grad():  # scores that differ, as a trained head's
        model.roi_head.bbox_head.fc_cls.weight.normal_(std=3)
        model.rpn_head.rpn_cls.weight.normal_(std=1)
    model.roi_head.test_cfg.score_thr = 0.3
    assert export(model, tmp_path / "det.onnx", 96, 128) == ["boxes", "scores", "labels", "masks"]
    run = runner(tmp_path / "det.onnx")
    for seed in range(3):  # not what was traced
        torch.manual_seed(seed)
        images = torch.randn(1, 3, 96, 128)
        boxes, scores, labels, masks = run(images)
        whole = own_prediction(model, images)  # as mmdet detects
        assert len(boxes) > 0
        torch.testing.assert_close(boxes, whole.bboxes, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(scores, whole.scores, rtol=1e-4, atol=1e-4)
        assert torch.equal(labels, whole.labels)
        with torch.no_grad():
            expected = function_of(model)(images)[3]
        torch.testing.assert_close(masks, expected, rtol=1e-3, atol=1e-3)
    model.roi_head.test_cfg.score_thr = 1.0
    export(model, tmp_path / "none.onnx", 96, 128)
    assert [len(out) for out in runner(tmp_path / "none.onnx")(images)] == [0, 0, 0, 0]


def own_prediction(model: Any, images: torch.Tensor) -> InstanceData:
    from mmdet.structures import DetDataSample

    size = tuple(images.shape[2:])
    meta = {"img_shape": size, "ori_shape": size, "scale_factor": (1.0, 1.0), "batch_input_shape": size}
    with torch.no_grad():
        return model.predict(images, [DetDataSample(metainfo=meta)], rescale=True)[0].pred_instances


def test_segmenter(tmp_path: Path) -> None:
    model = build(SEG, SEG_OPTIONS)
    assert export(model, tmp_path / "seg.onnx", 64, 96) == ["logits"]
    run = runner(tmp_path / "seg.onnx")
    for seed in range(2):
        torch.manual_seed(seed)
        images = torch.randn(1, 3, 64, 96)
        with torch.no_grad():
            expected = function_of(model)(images)
        (logits,) = run(images)
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(logits.argmax(1), expected.argmax(1))


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="multiples of 32, got 100 x 96"):
        export(torch.nn.Linear(1, 1), tmp_path / "x.onnx", 100, 96)
    with pytest.raises(UserError, match="two-stage detector or a segmenter, got a Linear"):
        export(torch.nn.Linear(1, 1), tmp_path / "x.onnx", 96, 96)
    assert list(tmp_path.iterdir()) == []
