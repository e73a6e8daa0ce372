"""Checks of a config's data and classes, before a run is built and mmdet or mmseg fails with a traceback."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError

TREES = {
    "CocoDataset": "annotations/instances_{train,val}2017.json, train2017/*.jpg, val2017/*.jpg",
    "ADE20KDataset": "images/{training,validation}/*.jpg, annotations/{training,validation}/*.png",
    "CityscapesDataset": (
        "leftImg8bit/{train,val}/CITY/*_leftImg8bit.png, gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png (made by "
        "mmseg's tools/dataset_converters/cityscapes.py)"
    ),
}


def datasets(cfg: Mapping[str, Any], loader: str) -> Iterator[Mapping[str, Any]]:
    """The data sets of a loader that read files, without the wrappers around them."""
    waiting = [(cfg.get(loader) or {}).get("dataset")]
    while waiting:
        dataset = waiting.pop(0)
        if dataset is None:
            continue
        inner = dataset.get("datasets") or ([dataset["dataset"]] if "dataset" in dataset else [])
        if inner:
            waiting.extend(inner)
        else:
            yield dataset


def check_data(cfg: Mapping[str, Any], loaders: Sequence[str]) -> None:
    """Check that the folders and files of the loaders exist.

    Raises:
        UserError: One is missing. The message says where else it may be, and the tree that is expected.
    """
    for loader in loaders:
        for dataset in datasets(cfg, loader):
            root = Path(dataset.get("data_root") or "")
            for part in needed(dataset):
                path = part if part.is_absolute() else root / part
                if not path.exists():
                    raise UserError(_not_there(loader, dataset, root, part, path))
            if dataset.get("type") == "CityscapesDataset":
                _check_train_ids(root, dataset)
            if dataset.get("type") == "CocoDataset" and loader != "train_dataloader" and dataset.get("ann_file"):
                _check_outlines(root / dataset["ann_file"])


def needed(dataset: Mapping[str, Any]) -> list[Path]:
    """The files and folders that a data set reads, as paths relative to its data_root."""
    parts = [dataset.get("ann_file"), *(dataset.get("data_prefix") or {}).values()]
    return [Path(part) for part in parts if part]


def _not_there(loader: str, dataset: Mapping[str, Any], root: Path, part: Path, path: Path) -> str:
    tree = TREES.get(str(dataset.get("type")))
    near = [p for p in (root.parent, *root.glob("*/"), *root.parent.glob("*/")) if p != root and (p / part).exists()]
    hint = f"; it is under {near[0]}" if near else ""
    return (
        f"expected {path} for {loader}, found none{hint}; give the data's folder by --data-root, or "
        f"--cfg-options {loader}.dataset.data_root=FOLDER" + (f"; in it: {tree}" if tree else "")
    )


def _check_train_ids(root: Path, dataset: Mapping[str, Any]) -> None:
    folder = root / (dataset.get("data_prefix") or {}).get("seg_map_path", "")
    suffix = dataset.get("seg_map_suffix", "_gtFine_labelTrainIds.png")
    if next(folder.rglob(f"*{suffix}"), None) is None:
        other = next(folder.rglob("*_gtFine_labelIds.png"), None)
        cure = (
            f", only labelIds such as {other.name}; run `pinas-zoo doctor --make-train-ids {root}` once"
            if other
            else f"; in {root}: {TREES['CityscapesDataset']}"
        )
        raise UserError(f"expected files *{suffix} in {folder}, found none{cure}")


def _check_outlines(ann_file: Path) -> None:
    """COCO's evaluation fails, after all images, on an outline whose first polygon has fewer than 3 points."""
    bad = [
        annotation.get("id")
        for annotation in _read_coco(ann_file)["annotations"]
        if isinstance(outline := annotation.get("segmentation"), list) and (not outline or len(outline[0]) < 6)
    ]
    if bad:
        raise UserError(
            f"expected polygons of 3 points and more in {ann_file}, got fewer in {len(bad)} annotations (first id "
            f"{bad[0]}), on which COCO's evaluation fails; take them out of the file"
        )


def check_classes(cfg: Mapping[str, Any], loaders: Sequence[str]) -> None:
    """Compare the number of classes of the data with the model's heads.

    Raises:
        UserError: They differ.
    """
    from mmengine.registry import DATASETS

    for loader in loaders:
        for dataset in datasets(cfg, loader):
            kind = DATASETS.get(f"{cfg['default_scope']}.{dataset['type']}") or DATASETS.get(dataset["type"])
            meta = {**getattr(kind, "METAINFO", {}), **(dataset.get("metainfo") or {})}
            classes = meta.get("classes")
            if classes is None:
                continue
            for place, heads in _heads(cfg["model"]).items():
                if heads != len(classes):
                    raise UserError(
                        f"expected {place}={len(classes)}, the classes of {dataset['type']} in {loader}, got {heads}; "
                        f"set it by --cfg-options {place}={len(classes)}, or the data's metainfo.classes"
                    )


def _heads(model: Mapping[str, Any], place: str = "model") -> dict[str, int]:
    """``num_classes`` of every head, by its place in the config; a region proposal network has none."""
    found = {}
    for key, value in model.items():
        if key == "num_classes":
            found[f"{place}.{key}"] = int(value)
        elif isinstance(value, Mapping) and (key.endswith("head") or key == "model"):
            found.update(_heads(value, f"{place}.{key}"))
    return found


def coco_problems(ann_file: Path, classes: Sequence[str] | None = None) -> dict[str, int]:
    """Numbers of images and annotations of a COCO file that training does not use, by reason; zeros are left out.

    Raises:
        UserError: It is not a COCO annotation file.
    """
    content = _read_coco(ann_file)
    images = {image["id"] for image in content["images"]}
    annotations = content["annotations"]
    names = {category["name"] for category in content["categories"]}
    counts: Counter[str] = Counter()
    crowds, objects = Counter[Any](), Counter[Any]()
    for annotation in annotations:
        (crowds if annotation.get("iscrowd") else objects)[annotation["image_id"]] += 1
        outline = annotation.get("segmentation")
        if isinstance(outline, list) and not any(len(polygon) >= 6 for polygon in outline):
            counts["annotations without a polygon of 3 points (not learnt from)"] += 1
    counts["images without annotations (left out of training)"] = len(images - set(crowds) - set(objects))
    counts["images with crowds only (background in training)"] = len(set(crowds) - set(objects))
    if classes is not None:
        counts["classes of the config that the file lacks"] = len(set(classes) - names)
    return {what: count for what, count in counts.items() if count}


def _read_coco(ann_file: Path) -> dict[str, Any]:
    try:
        content = json.loads(ann_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"expected COCO annotations in {ann_file}, got a damaged file: {error}") from None
    absent = {"images", "annotations", "categories"} - set(content if isinstance(content, dict) else ())
    if absent:
        raise UserError(
            f"expected COCO's images, annotations and categories in {ann_file}, found no {', '.join(sorted(absent))}"
        )
    return content
