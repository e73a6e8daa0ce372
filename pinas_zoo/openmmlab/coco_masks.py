"""COCO's object masks of every form for mmdet: polygons stay polygons, run-length masks are learnt from, too.

mmdet's ``LoadAnnotations(poly2mask=False)`` keeps polygons, which are smaller and more exact than bitmaps, but takes
every run-length mask (RLE) for a region to ignore. That is right for crowds. Many tools write all objects as RLE.
"""

from __future__ import annotations

from typing import Any

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPolygonsOrRLE(LoadAnnotations):
    """mmdet's ``LoadAnnotations``, whose masks are bitmaps in images where an object to learn has an RLE mask.

    In other images the masks are what ``poly2mask`` says: with False polygons, and the RLE masks of crowds are ignored.
    The bitmaps equal pycocotools' decoding (``tests/openmmlab/test_coco_masks.py``).

    Args:
        kwargs: Of mmdet's class.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.bitmaps = LoadAnnotations(with_mask=True, poly2mask=True)

    def _load_masks(self, results: dict[str, Any]) -> None:
        objects = [instance for instance in results.get("instances", []) if not instance["ignore_flag"]]
        if any(isinstance(instance["mask"], dict) for instance in objects):
            self.bitmaps._load_masks(results)  # N x H x W, of the image before it is resized
        else:
            super()._load_masks(results)
