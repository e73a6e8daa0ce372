"""RLE masks are learnt by the shipped configs; what is loaded equals pycocotools' decoding; polygons stay polygons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mmdet")
from mmengine.registry import init_default_scope

import pinas_zoo.openmmlab  # noqa: F401  before mmdet
from pinas_zoo.openmmlab import launch
from pinas_zoo.openmmlab.coco_annotations import read_runs
from tests.openmmlab.made_up_data import CROWD, POLYGON, coco
from tests.openmmlab.small import CONFIGS, DET

HEIGHT, WIDTH = 64, 96


def load(instances: list[dict[str, Any]]) -> dict[str, Any]:
    from pinas_zoo.openmmlab.coco_masks import LoadPolygonsOrRLE

    load = LoadPolygonsOrRLE(with_bbox=True, with_mask=True, poly2mask=False)
    given = [{"bbox": [0, 0, 9, 9], "bbox_label": 0, "ignore_flag": 0, **instance} for instance in instances]
    return load({"instances": given, "ori_shape": (HEIGHT, WIDTH), "height": HEIGHT, "width": WIDTH})


def random_masks(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.random((count, HEIGHT, WIDTH)) < random.random((count, 1, 1))).astype(np.uint8)


def uncompressed(mask: np.ndarray) -> dict[str, Any]:
    pixels = np.concatenate([[0], mask.ravel(order="F")])  # column by column, zeros first
    changes = np.flatnonzero(np.diff(pixels)).tolist()
    counts = np.diff([0, *changes, mask.size]).tolist()
    return {"size": [*mask.shape], "counts": counts}


def compressed(mask: np.ndarray) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    encoded = coco_mask.encode(np.asfortranarray(mask))
    return {"size": [*mask.shape], "counts": encoded["counts"].decode()}


@pytest.mark.parametrize("encode", [uncompressed, compressed])
def test_rle_masks_are_loaded_as_pycocotools_decodes_them(encode: Any) -> None:
    masks = random_masks(5, seed=1)
    loaded = load([{"mask": encode(mask)} for mask in masks])
    assert not loaded["gt_ignore_flags"].any()
    np.testing.assert_array_equal(loaded["gt_masks"].to_ndarray(), masks)


def test_polygons_stay_polygons_where_crowds_alone_are_rle() -> None:
    from mmdet.structures.mask import PolygonMasks

    polygon = {"mask": POLYGON["segmentation"]}
    loaded = load([polygon, {"mask": CROWD["segmentation"], "ignore_flag": 1}])
    assert isinstance(loaded["gt_masks"], PolygonMasks)
    assert loaded["gt_ignore_flags"].tolist() == [False, True]


def test_polygons_beside_an_rle_object_become_the_same_bitmap() -> None:
    from pycocotools import mask as coco_mask

    (mask,) = random_masks(1, seed=2)
    loaded = load([{"mask": POLYGON["segmentation"]}, {"mask": compressed(mask)}, {"mask": [[1, 1, 2, 2]]}])
    drawn = coco_mask.decode(coco_mask.frPyObjects(POLYGON["segmentation"], HEIGHT, WIDTH))[..., 0]
    np.testing.assert_array_equal(loaded["gt_masks"].to_ndarray()[:2], np.stack([drawn, mask]))
    assert loaded["gt_ignore_flags"].tolist() == [False, False, True]


def test_runs_of_compressed_masks_are_those_of_uncompressed_ones() -> None:
    for mask in random_masks(20, seed=3):
        assert read_runs(compressed(mask)["counts"]) == uncompressed(mask)["counts"]


def test_every_detection_config_learns_rle_masks(tmp_path: Path) -> None:
    from mmdet.registry import DATASETS

    configs = [launch.read_config(path) for path in CONFIGS if path.parent.name == "det"]
    assert {cfg.train_dataloader.dataset.pipeline[1].type for cfg in configs} == {"LoadPolygonsOrRLE"}
    cfg = configs[0]
    (mask,) = random_masks(1, seed=4)
    rle = {**POLYGON, "segmentation": compressed(mask)}
    launch.set_data_root(cfg, str(coco(tmp_path / "coco", [{"image_id": 0, **rle}, {"image_id": 0, **POLYGON}])))
    init_default_scope(cfg.default_scope)
    sample = DATASETS.build(cfg.train_dataloader.dataset)[0]["data_samples"]
    assert len(sample.gt_instances) == 2
    assert len(sample.ignored_instances) == 0


def test_a_detector_trains_on_rle_masks_alone(tmp_path: Path) -> None:
    """The loss of the masks is that of something: before, it was 0 and the run reported success."""
    import re

    from tests.openmmlab.small import DET_OPTIONS, tool

    (mask,) = random_masks(1, seed=5)
    root = coco(tmp_path / "coco", [{"image_id": i, **POLYGON, "segmentation": uncompressed(mask)} for i in range(2)])
    options = [*DET_OPTIONS, "train_cfg.max_iters=1", "train_cfg.val_interval=9", "default_hooks.checkpoint.interval=9"]
    args = [str(DET), "--data-root", str(root), "--work-dir", str(tmp_path / "run"), "--cfg-options", *options]
    assert tool("train").main(args) == 0
    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    assert float(re.findall(r"loss_mask: (\S+)", log)[0]) > 0.1
