"""Rules in which detectron2, with which the authors' Table 5 is measured, differs from mmdet.

``DetectronResize``       sizes of resized images, one pixel apart from mmdet's for some elongated images; Pillow
``DetectronBBoxCoder``    a box may shrink by any factor in one step; growth is limited to 62.5 times, as in mmdet
``DetectronCocoMetric``   AP in percent without rounding to three digits; the paper's table has two decimals

``--authors`` of ``tools/test.py`` and ``tools/train.py`` takes all of them.
"""

from __future__ import annotations

import contextlib
import io
import math
import tempfile
from pathlib import Path
from typing import Any

import torch
from mmdet.datasets.transforms import Resize
from mmdet.evaluation import CocoMetric
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmdet.registry import METRICS, TASK_UTILS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes, get_box_tensor
from mmengine.fileio import load
from mmengine.logging import MMLogger
from pycocotools.cocoeval import COCOeval
from torch import Tensor

MAX_GROWTH = 1000 / 16  # of a side in one step
DETECTIONS = (1, 10, 100)  # an image, of which the last counts for AP
FIGURES = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")  # COCOeval's first six


def short_side_size(height: int, width: int, short: float, longest: float) -> tuple[int, int]:
    """Height and width of an image whose short side is brought to ``short``, or its long one to ``longest``.

    Both steps are rounded once, at the end. mmdet takes the smaller of two factors instead.

    >>> short_side_size(480, 640, 800, 1333), short_side_size(54, 172, 800, 1333)
    ((800, 1067), (418, 1333))
    """
    factor = float(short) / min(height, width)
    high, wide = (float(short), factor * width) if height < width else (factor * height, float(short))
    if max(high, wide) > longest:
        factor = float(longest) / max(high, wide)
        high, wide = factor * high, factor * wide
    return int(high + 0.5), int(wide + 0.5)


@TRANSFORMS.register_module()
class DetectronResize(Resize):
    """mmdet's ``Resize`` to ``scale``, the longest and the short side in either order, by detectron2's rule and Pillow.

    Args:
        kwargs: Arguments of ``Resize``. The ratio of the sides is always kept.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "keep_ratio": False, "backend": "pillow"})

    def _resize_img(self, results: dict[str, Any]) -> None:
        if results.get("img") is not None:
            sides = results["scale"]
            height, width = results["img"].shape[:2]
            results["scale"] = short_side_size(height, width, min(sides), max(sides))[::-1]
        super()._resize_img(results)


@TASK_UTILS.register_module()
class DetectronBBoxCoder(DeltaXYWHBBoxCoder):
    """mmdet's ``DeltaXYWHBBoxCoder``, whose decoding limits growth alone."""

    def decode(self, bboxes: Any, pred_bboxes: Tensor, max_shape: Any = None, wh_ratio_clip: Any = None) -> Any:
        """Boxes, ... x 4 of each class, from anchors or proposals, N x 4, and deltas, N x (4 classes).

        Args:
            bboxes: Anchors or proposals.
            pred_bboxes: Deltas of centre and size.
            max_shape: Height and width of the image, to which boxes are clipped.
            wh_ratio_clip: mmdet's limit; not used.
        """
        start = get_box_tensor(bboxes)[:, None]  # N x 1 x 4
        deltas = pred_bboxes.unflatten(1, (-1, 4)) * start.new_tensor(self.stds) + start.new_tensor(self.means)
        size = start[..., 2:] - start[..., :2]
        centre = start[..., :2] + 0.5 * size + deltas[..., :2] * size  # N x classes x 2
        half = 0.5 * size * deltas[..., 2:].clamp(max=math.log(MAX_GROWTH)).exp()
        boxes = torch.cat([centre - half, centre + half], dim=-1)  # N x classes x 4
        if self.clip_border and max_shape is not None:
            height, width = max_shape[:2]
            boxes = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
        boxes = boxes.reshape(pred_bboxes.shape)
        return HorizontalBoxes(boxes) if self.use_box_type else boxes


@METRICS.register_module()
class DetectronCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` with figures in percent, not rounded: ``coco/bbox_mAP: 44.0712``, not 0.441.

    At most 100 objects an image count, as in COCO's own evaluation.
    """

    cat_ids: Any
    img_ids: Any

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """AP of boxes and masks over all images, in percent."""
        if self.format_only or self._coco_api is None or not {"bbox", "segm"}.issuperset(self.metrics):
            return dict(super().compute_metrics(results))
        if self.cat_ids is None:
            self.cat_ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta["classes"])
        if self.img_ids is None:
            self.img_ids = self._coco_api.get_img_ids()
        found: dict[str, float] = {}
        with tempfile.TemporaryDirectory() as folder:
            files = self.results2json([pred for _, pred in results], self.outfile_prefix or str(Path(folder) / "all"))
            for kind in self.metrics:
                found.update(
                    {f"{kind}_{name}": value for name, value in self._percent(kind, load(files[kind])).items()}
                )
        return found

    def _percent(self, kind: str, predictions: list[dict[str, Any]]) -> dict[str, float]:
        """COCO's figures of ``bbox`` or ``segm``: 0 where nothing was found, -1 where there is nothing to find."""
        if not predictions:
            return dict.fromkeys(FIGURES, 0.0)
        if kind == "segm":  # sizes of objects follow from masks
            predictions = [{k: v for k, v in p.items() if k != "bbox"} for p in predictions]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            run = COCOeval(self._coco_api, self._coco_api.loadRes(predictions), kind)
            run.params.catIds, run.params.imgIds, run.params.maxDets = self.cat_ids, self.img_ids, list(DETECTIONS)
            run.evaluate()
            run.accumulate()
            run.summarize()
        MMLogger.get_current_instance().info(f"{kind}\n{said.getvalue()}")
        return {n: 100 * float(v) if v >= 0 else -1.0 for n, v in zip(FIGURES, run.stats, strict=False)}
