"""Detectors and segmenters of this package's configs as ONNX files, for onnxruntime, OpenVINO and TensorRT.

    export(model, "detector.onnx", height=800, width=1216)

mmdet 3 still asks for export code that its version 2 had, so the model is traced first and the trace is exported. What
depends on the number of regions is written here without branches, because a trace keeps one of them. Images come
normalised and padded to one size: ``model.data_preprocessor`` says mean, std and divisor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from mmcv.ops import RoIAlign
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.model import revert_sync_batchnorm
from torch import Tensor, nn

from pinas_zoo.errors import UserError
from pinas_zoo.weights.atomic import replacing

OPSET = 17
DETECTIONS = ("boxes", "scores", "labels", "masks")


class AllLevels(nn.Module):
    """mmdet's RoI extractor over the pyramid without its branch on levels that no region falls to.

    A trace keeps only the branch that its example took. Here every level's part stays, also where it has no region.
    """

    def __init__(self, extractor: Any):
        super().__init__()
        self.extractor = extractor

    def forward(self, features: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Regions R x 5 (image, x1, y1, x2, y2) to R x C x size x size."""
        levels = self.extractor.map_roi_levels(rois, len(features))
        places = [(levels == i).nonzero().squeeze(1) for i in range(len(features))]
        parts = [
            layer(feature, rois[place])
            for layer, feature, place in zip(self.extractor.roi_layers, features, places, strict=True)
        ]
        return torch.cat(parts)[torch.cat(places).argsort()]


class Detector(nn.Module):
    """A two-stage detector of mmdet as a function of one image.

    Forward takes 1 x 3 x H x W and gives boxes N x 4 (x1, y1, x2, y2 in pixels of the input), scores N and labels N, by
    falling score; and, of a detector with masks, their probabilities N x 28 x 28 within the boxes.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        head = model.roi_head
        self.boxes_from = AllLevels(head.bbox_roi_extractor)
        self.masks_from = AllLevels(head.mask_roi_extractor) if head.with_mask else None
        for module in self.modules():
            if isinstance(module, RoIAlign):
                module.use_torchvision = True  # mmcv's own writes nodes of an old ONNX

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        size = tuple(int(n) for n in images.shape[2:])
        meta = {"img_shape": size, "ori_shape": size, "pad_shape": size, "batch_input_shape": size}
        features = self.model.extract_feat(images)
        proposals = self.model.rpn_head.predict(features, [DetDataSample(metainfo=meta)], rescale=False)
        boxes, scores, labels = self.found(features, bbox2roi([proposals[0].bboxes]), size)
        if self.masks_from is None:
            return boxes, scores, labels
        regions = self.masks_from(features[: len(self.masks_from.extractor.featmap_strides)], bbox2roi([boxes]))
        logits = self.model.roi_head.mask_head(regions)  # N x classes x 28 x 28
        classes = labels if logits.shape[1] > 1 else torch.zeros_like(labels)
        rows = torch.arange(logits.shape[0], device=logits.device)
        return boxes, scores, labels, logits[rows, classes].sigmoid()

    def found(self, features: Sequence[Tensor], rois: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes, scores and labels of the box head after the suppression of each class, without a branch on counts."""
        head, test_cfg = self.model.roi_head.bbox_head, self.model.roi_head.test_cfg
        regions = self.boxes_from(features[: len(self.boxes_from.extractor.featmap_strides)], rois)
        cls_score, bbox_pred = head(regions)
        scores = cls_score.softmax(-1)[:, :-1]  # R x classes; the last one is background
        classes = scores.shape[1]
        if head.reg_class_agnostic:
            bbox_pred = bbox_pred.repeat(1, classes)
        boxes = head.bbox_coder.decode(rois[:, 1:], bbox_pred, max_shape=size).reshape(-1, 4)  # R*classes x 4
        labels = torch.arange(classes, device=scores.device).repeat(scores.shape[0])
        flat = scores.reshape(-1)
        sure = (flat > test_cfg.score_thr).nonzero().squeeze(1)
        boxes, flat, labels = boxes[sure], flat[sure], labels[sure]
        apart = boxes + (labels * (max(size) + 1)).to(boxes)[:, None]  # boxes of two classes never meet
        kept = torchvision.ops.nms(apart, flat, test_cfg.nms.iou_threshold)[: test_cfg.max_per_img]
        return boxes[kept], flat[kept], labels[kept]


class Segmenter(nn.Module):
    """A segmenter of mmseg as a function of images: N x 3 x H x W to logits N x classes x H x W, in one window."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        size = tuple(int(n) for n in images.shape[2:])
        return self.model.encode_decode(images, [{"img_shape": size, "ori_shape": size}])


def function_of(model: Any) -> Detector | Segmenter:
    """The model as a function of tensors, in eval mode; its SyncBN becomes plain batch norm in place.

    Raises:
        UserError: Neither a two-stage detector nor a segmenter.
    """
    model = revert_sync_batchnorm(model).eval()
    if hasattr(model, "encode_decode"):
        return Segmenter(model)
    if not (hasattr(model, "rpn_head") and hasattr(model, "roi_head")):
        raise UserError(
            f"expected a two-stage detector or a segmenter, got a {type(model).__name__}; export others with mmdeploy"
        )
    head, suppression = model.roi_head.bbox_head, model.roi_head.test_cfg.nms
    if head.custom_activation or head.loss_cls.use_sigmoid or suppression.type != "nms":
        raise UserError(
            "expected a box head with softmax and plain nms, as in configs/det, got another; export it with mmdeploy"
        )
    return Detector(model)


@torch.no_grad()
def export(model: Any, file: Path | str, height: int, width: int, opset: int = OPSET) -> list[str]:
    """Write a model of mmdet or mmseg as an ONNX file for images of one size.

    The boxes of a detector and the masks of a segmenter equal the model's own on an image that is normalised and padded
    to this size. A detector's RoIAlign is switched to torchvision's, in place.

    Args:
        model: Built from one of this package's configs, with its weights.
        file: The ONNX file; replaced when it is there.
        height, width: Of the images in pixels, multiples of 32.
        opset: ONNX's.

    Returns:
        Names of the file's outputs; the input is ``images``, 1 x 3 x height x width.

    Raises:
        UserError: A size that is no multiple of 32, or another kind of model.
    """
    if height < 32 or width < 32 or height % 32 or width % 32:
        raise UserError(f"expected height and width as multiples of 32, got {height} x {width}; pad the images")
    function = function_of(model)
    example = torch.rand(1, 3, height, width, device=next(model.parameters()).device)
    traced = torch.jit.trace(function, (example,), check_trace=False)
    outputs = function(example)
    names = list(DETECTIONS[: len(outputs)]) if isinstance(outputs, tuple) else ["logits"]
    with replacing(Path(file)) as temporary:
        torch.onnx.export(
            traced,
            (example,),
            os.fspath(temporary),
            opset_version=opset,
            dynamo=False,
            input_names=["images"],
            output_names=names,
            dynamic_axes={name: {0: "detections"} for name in names} if len(names) > 1 else None,
        )
    return names
