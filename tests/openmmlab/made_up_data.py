"""Small data sets as users have them, sound and odd, and the one line that a tool prints for an odd one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.openmmlab.small import tool


def error_of(main: Any, args: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr of a command that must end with 2."""
    capsys.readouterr()
    assert main(args) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "expected" in line]
    assert len(lines) == 1
    return lines[0]


def train_error(config: Path, root: Path, tmp_path: Path, options: list[str], capsys: Any) -> str:
    args = [str(config), "--data-root", str(root), "--work-dir", str(tmp_path / "run"), "--cfg-options", *options]
    return error_of(tool("train").main, args, capsys)


def coco(root: Path, annotations: list[dict[str, Any]], images: int = 2) -> Path:
    """A COCO folder with images of 96 x 64 and these annotations in both splits, with COCO's 80 classes."""
    for split in ("train2017", "val2017"):
        (root / split).mkdir(parents=True)
        for i in range(images):
            noise = np.random.default_rng(i).integers(0, 256, (64, 96, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / split / f"{i}.jpg")
    from mmdet.datasets import CocoDataset

    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 96, "height": 64} for i in range(images)],
        "annotations": [
            {"id": n + 1, "category_id": 1, "area": 800.0, "iscrowd": 0, **annotation}
            for n, annotation in enumerate(annotations)
        ],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(CocoDataset.METAINFO["classes"])],
    }
    (root / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


BOX = {"bbox": [10.0, 10.0, 40.0, 20.0]}
POLYGON = {**BOX, "segmentation": [[10, 10, 50, 10, 50, 30, 10, 30]]}
TWO_POINTS = {**BOX, "segmentation": [[10, 10, 50, 30]]}
CROWD = {**BOX, "iscrowd": 1, "segmentation": {"size": [64, 96], "counts": [640, 200, 5304]}}


def annotation_file(root: Path, split: str = "train") -> Path:
    return root / "annotations" / f"instances_{split}2017.json"


def change(file: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Apply a function to the content of an annotation file, which it changes in place."""
    content = json.loads(file.read_text())
    how(content)
    file.write_text(json.dumps(content))


def ade(root: Path, mask: Callable[[int], Image.Image | np.ndarray | None], images: int = 2) -> Path:
    """A folder in ADE20K's layout with images of 40 x 30 and the masks that a function of the image's number gives."""
    for split in ("training", "validation"):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for i in range(images):
            noise = np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / "images" / split / f"{i}.jpg")
            labels = mask(i)
            if labels is not None:
                picture = labels if isinstance(labels, Image.Image) else Image.fromarray(labels)
                picture.save(root / "annotations" / split / f"{i}.png")
    return root
