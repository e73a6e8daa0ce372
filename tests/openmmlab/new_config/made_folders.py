"""Small folders of images as users have them: COCO annotations of several layouts, index masks of several kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (64, 48)  # W, H


def image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "gray").save(path)
    return path


def mask(path: Path, numbers: Sequence[int], size: tuple[int, int] = SIZE) -> Path:
    """Stripes of the numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stripes = np.array(numbers, np.uint8)[np.arange(size[0]) * len(numbers) // size[0]]
    Image.fromarray(np.tile(stripes, (size[1], 1))).save(path)
    return path


def coco(images: Mapping[str, Sequence[int]], names: Sequence[str], first_id: int = 1, **more: Any) -> dict[str, Any]:
    """Annotations: the classes of each image's objects, by file name, numbered from 0.

    Args:
        images: File names, and the class of each object.
        names: Of the classes.
        first_id: Of the annotations.
        more: Keys that replace those of all annotations; None takes one out.
    """
    entries, annotations = [], []
    for number, (name, objects) in enumerate(images.items(), 7):
        entries.append({"id": number, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        for label in objects:
            outline = [[4, 4, 24, 4, 24, 20, 4, 20]]
            annotation = {
                "id": first_id + len(annotations),
                "image_id": number,
                "category_id": 10 + label,
                "bbox": [4, 4, 20, 16],
                "area": 320,
                "iscrowd": 0,
                "segmentation": outline,
                **more,
            }
            annotations.append({key: value for key, value in annotation.items() if value is not None})
    categories = [{"id": 10 + k, "name": name} for k, name in enumerate(names)]
    return {"images": entries, "annotations": annotations, "categories": categories}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path
