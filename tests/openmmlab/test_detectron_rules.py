"""detectron2's rules: sizes that it computes, its decoding by formula, and COCO's figures in percent."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("mmdet")
pytest.importorskip("pinas_zoo.openmmlab")

from mmdet.evaluation import CocoMetric
from mmdet.models.task_modules.coders import DeltaXYWHBBoxCoder
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from pinas_zoo.openmmlab.detectron_rules import DetectronBBoxCoder, DetectronCocoMetric, short_side_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1067)),
        ((640, 480), (1067, 800)),
        ((500, 500), (800, 800)),
        ((427, 640), (800, 1199)),
        ((300, 640), (625, 1333)),
        ((54, 172), (418, 1333)),  # mmdet: 419
        ((372, 54), (1333, 193)),  # mmdet: 194
        ((63, 186), (451, 1333)),  # mmdet: 452
    ],
)
def test_sizes_are_detectron2_s(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert short_side_size(*size, 800, 1333) == expected


@pytest.mark.parametrize("scale", [(1333, 120), (120, 1333)])
@pytest.mark.parametrize("kind", ["Resize", "RandomChoiceResize"])
def test_pixels_are_pillow_s(scale: tuple[int, int], kind: str) -> None:
    init_default_scope("mmdet")
    image = np.random.default_rng(0).integers(0, 256, (200, 310, 3), dtype=np.uint8)
    step = dict(type="DetectronResize", scale=scale, keep_ratio=True)
    if kind == "RandomChoiceResize":
        step = dict(type=kind, scales=[scale], keep_ratio=True, resize_type="DetectronResize")
    found = Compose([step])(dict(img=image, img_shape=(200, 310)))
    assert (found["img"] == np.asarray(Image.fromarray(image).resize((186, 120), Image.Resampling.BILINEAR))).all()
    assert found["scale_factor"] == (0.6, 0.6)


def test_boxes_shrink_by_any_factor_and_grow_by_62() -> None:
    g = torch.Generator().manual_seed(0)
    corner, size = 90 * torch.rand(200, 2, generator=g), 1 + 60 * torch.rand(200, 2, generator=g)
    start = torch.cat([corner, corner + size], 1)
    deltas = 20 * torch.randn(200, 12, generator=g)  # three classes; stds 0.1 and 0.2 below
    stds = (0.1, 0.1, 0.2, 0.2)
    coder = DetectronBBoxCoder(target_stds=stds)
    found = coder.decode(start, deltas, max_shape=(100, 150))
    for i, j in [(i, j) for i in range(200) for j in range(3)]:
        (x0, y0, x1, y1), (dx, dy, dw, dh) = start[i].tolist(), deltas[i, 4 * j : 4 * j + 4].tolist()
        w, h = x1 - x0, y1 - y0
        x, y = x0 + w / 2 + dx * 0.1 * w, y0 + h / 2 + dy * 0.1 * h
        w, h = w * min(math.exp(dw * 0.2), 62.5), h * min(math.exp(dh * 0.2), 62.5)
        box = [
            min(max(v, 0), end)
            for v, end in zip((x - w / 2, y - h / 2, x + w / 2, y + h / 2), (150, 100) * 2, strict=True)
        ]
        torch.testing.assert_close(
            found[i, 4 * j : 4 * j + 4], torch.tensor(box, dtype=torch.float32), rtol=1e-4, atol=2e-3
        )
    assert (found - DeltaXYWHBBoxCoder(target_stds=stds).decode(start, deltas, max_shape=(100, 150))).abs().max() > 0.1
    small = deltas.clamp(-20, 20)  # within mmdet's limit, the two agree
    theirs = DeltaXYWHBBoxCoder(target_stds=stds).decode(start, small, max_shape=(100, 150))
    torch.testing.assert_close(coder.decode(start, small, max_shape=(100, 150)), theirs, rtol=1e-4, atol=1e-3)
    assert coder.decode(start[:0], deltas[:0, :4]).shape == (0, 4)


def test_figures_are_coco_s_in_percent_with_all_digits(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    content: dict[str, list[dict]] = dict(
        images=[dict(id=i, width=100, height=80, file_name=f"{i}.jpg") for i in (1, 2, 3)],
        categories=[dict(id=7, name="cat"), dict(id=9, name="dog")],
        annotations=[],
    )
    samples = []
    for image in (1, 2, 3):
        boxes, masks = [], []
        for k in range(5):
            x, y, w, h = (int(v) for v in rng.integers([0, 0, 10, 10], [60, 40, 40, 40]))
            outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
            content["annotations"].append(
                dict(id=10 * image + k, image_id=image, category_id=(7, 9)[k % 2], bbox=[x, y, w, h], area=w * h)
                | dict(iscrowd=0, segmentation=outline)
            )
            x0, y0, x1, y1 = np.array([x, y, x + w, y + h]) + rng.normal(0, 2, 4)
            boxes.append([x0, y0, x1, y1])
            mask = np.zeros((80, 100), bool)
            mask[max(int(y0), 0) : int(y1), max(int(x0), 0) : int(x1)] = True
            masks.append(mask)
        found = dict(bboxes=torch.tensor(np.array(boxes)), labels=torch.tensor([0, 1, 0, 1, 1]))
        found |= dict(scores=torch.tensor(rng.random(5)), masks=torch.tensor(np.array(masks)))
        samples.append(dict(img_id=image, ori_shape=(80, 100), pred_instances=found))
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    ours, mmdet_s = (kind(ann_file=str(file), metric=["bbox", "segm"]) for kind in (DetectronCocoMetric, CocoMetric))
    figures = []
    for metric in (ours, mmdet_s):
        metric.dataset_meta = dict(classes=("cat", "dog"))
        metric.process({}, samples)
        figures.append(metric.evaluate(3))
    assert figures[0].keys() == figures[1].keys()
    for name, value in figures[0].items():
        assert value == -1 == figures[1][name] or abs(value / 100 - figures[1][name]) <= 5.01e-4, name
    assert 10 < figures[0]["coco/bbox_mAP"] < 90
    assert round(figures[0]["coco/bbox_mAP"], 1) != round(figures[0]["coco/bbox_mAP"], 6)

    ours.process({}, [dict(s, pred_instances={k: v[:0] for k, v in s["pred_instances"].items()}) for s in samples])
    assert ours.evaluate(3)["coco/segm_mAP"] == 0
