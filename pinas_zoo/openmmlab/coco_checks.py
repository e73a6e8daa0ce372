"""Checks of mmdet's COCO data sets: classes by name, masks that are learnt from, images that are there."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.coco_annotations import CocoFile, mask_kind, read_coco, spread
from pinas_zoo.openmmlab.image_checks import check_images, check_present, check_resizing, smallest_edges, transforms

RUNS_READ = 2000  # compressed RLE masks of a file whose runs are read
_FAULTS = "objects of less than a pixel or without area", "objects outside their image"
_SHORT = "annotations without a polygon of 3 points"


@dataclass(frozen=True)
class Use:
    """What is done with a data set.

    Attributes:
        loader: Its loader's name in the config.
        learnt: It is trained on.
        evaluated: Its annotations are compared with predictions.
        masks: The pipeline loads masks.
        masks_evaluated: Masks are compared.
        rle_learnt: The pipeline learns RLE masks.
    """

    loader: str
    learnt: bool
    evaluated: bool
    masks: bool
    masks_evaluated: bool
    rle_learnt: bool


def use_of(cfg: Mapping[str, Any], loader: str, dataset: Mapping[str, Any]) -> Use:
    """What a config does with one of its data sets."""
    steps = [step for step in transforms(dataset.get("pipeline")) if step.get("with_mask")]
    metrics = [metric for metric in evaluators(cfg, loader) if not metric.get("format_only")]
    names = {name for metric in metrics for name in _list(metric.get("metric", "bbox"))}
    return Use(
        loader,
        learnt=loader == "train_dataloader",
        evaluated=bool(metrics),
        masks=bool(steps),
        masks_evaluated="segm" in names,
        rle_learnt=all(step.get("poly2mask", True) or "LoadPolygonsOrRLE" in str(step.get("type")) for step in steps),
    )


def evaluators(cfg: Mapping[str, Any], loader: str) -> list[Mapping[str, Any]]:
    """The metrics of a loader; the training loader has none."""
    given = None if loader == "train_dataloader" else cfg.get(loader.replace("dataloader", "evaluator"))
    return [metric for metric in _list(given) if isinstance(metric, Mapping)]


def _list(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def check_coco(dataset: Any, cfg: Mapping[str, Any], use: Use, all: bool) -> list[str]:
    """Check a data set's annotation file and its images.

    Args:
        dataset: A CocoDataset, made with ``lazy_init``.
        cfg: Its part of the config.
        use: What is done with it.
        all: Read every image and every mask, not some.

    Returns:
        What is worth knowing, such as how many annotations are not learnt from.

    Raises:
        UserError: The file or an image is not usable, or nothing would be learnt.
    """
    coco = read_coco(Path(dataset.ann_file))
    classes = tuple(dataset.metainfo["classes"])
    check_names(coco, classes, use.loader)
    notes = [f"{len(coco.images)} images", f"{len(coco.annotations or [])} annotations"]
    if coco.annotations is None and (use.learnt or use.evaluated):
        raise UserError(
            f"expected annotations in {coco.path} for {use.loader}, found none"
            + ("" if use.learnt else "; for a test set without annotations, set format_only=True in its evaluator")
        )
    kinds = check_masks(coco, classes, use, all) if use.masks or (use.evaluated and use.masks_evaluated) else []
    if use.evaluated:
        check_evaluated(coco, classes, use.masks_evaluated)
    if use.learnt:
        notes += [f"{count} {what}" for what, count in check_learnt(coco, classes, kinds, dataset.filter_cfg).items()]
    paths = image_paths(coco, Path(dataset.data_prefix.get("img") or ""), dataset.data_root)
    check_present(paths, str(coco.path))
    sizes = {path: (image["height"], image["width"]) for path, image in zip(paths, coco.images, strict=True)}
    smallest = (dataset.filter_cfg or {}).get("min_size", 0) if use.learnt else 0
    used = [path for path in paths if min(sizes[path]) >= smallest]
    edges = smallest_edges(cfg.get("pipeline"))
    for path in used:
        check_resizing(path, sizes[path], edges)
    check_images(used, sizes, cfg.get("pipeline"), str(coco.path), all)
    return notes


def check_names(coco: CocoFile, classes: Sequence[str], loader: str) -> None:
    """Compare the config's classes with the file's categories. mmdet numbers labels in the file's order.

    Raises:
        UserError: A class is not in the file, stands twice in the config, or the order differs.
    """
    lacking = [name for name in classes if name not in coco.names]
    if lacking:
        folded = {name.casefold().strip(): name for name in coco.names}
        meant = []
        for name in lacking:
            near = difflib.get_close_matches(name, coco.names, 1)
            if other := folded.get(name.casefold().strip()) or next(iter(near), None):
                meant.append(f"{name!r} where the file has {other!r}")
        raise UserError(
            f"expected the classes of {loader} among the categories of {coco.path}, {_some(coco.names)}, got "
            f"{_some(meant or lacking)}; set metainfo.classes to the file's names, and the heads' num_classes"
        )
    if len(set(classes)) < len(classes):
        raise UserError(f"expected every class of {loader} once, got {_some(classes)}; correct metainfo.classes")
    ordered = tuple(name for name in coco.names if name in set(classes))
    if ordered != tuple(classes):
        raise UserError(
            f"expected the classes of {loader} in the order of {coco.path}, by which mmdet numbers labels, "
            f"{_some(ordered)}, got {_some(classes)}; set metainfo.classes in that order"
        )


def _some(names: Sequence[str], number: int = 6) -> str:
    shown = ", ".join(repr(name) if not name.startswith("'") else name for name in names[:number])
    return shown + (f", … ({len(names)})" if len(names) > number else "")


def _chosen(coco: CocoFile, classes: Sequence[str]) -> np.ndarray:
    """Which annotations are of the classes and of an image in the file."""
    ids = {category["id"] for category in coco.categories if category["name"] in set(classes)}
    images = {image["id"] for image in coco.images}
    annotations = coco.annotations or []
    return np.array([a["category_id"] in ids and a["image_id"] in images for a in annotations], dtype=bool)


def check_masks(coco: CocoFile, classes: Sequence[str], use: Use, all: bool) -> list[str]:
    """The kinds of all annotations' masks (see :func:`mask_kind`).

    Raises:
        UserError: An object has none, or one that cannot be read, or that this pipeline does not learn from.
    """
    sides = {image["id"]: (image["height"], image["width"]) for image in coco.images}
    annotations = coco.annotations or []
    compressed = [i for i, a in enumerate(annotations) if isinstance(_counts(a), str)]
    read = set(compressed if all else spread(compressed, RUNS_READ))
    kinds = []
    for i, annotation in enumerate(annotations):
        height, width = sides.get(annotation["image_id"], (0, 0))
        if not height:  # of an image that the file lacks
            kinds.append("none")
            continue
        try:
            kinds.append(mask_kind(annotation.get("segmentation"), height, width, i in read))
        except ValueError as error:
            raise UserError(
                f"expected masks as polygons or RLE in {coco.path}, got {error} (annotation {annotation['id']})"
            ) from None
    chosen = _chosen(coco, classes)
    without = [a["id"] for a, kind, used in zip(annotations, kinds, chosen, strict=True) if used and kind == "none"]
    if without:
        raise UserError(
            f"expected a mask (segmentation) of every object in {coco.path}, {len(without)} of {int(chosen.sum())} "
            f"have none (first id {without[0]}); write them to the file, or train boxes alone: a model without a mask "
            "head, LoadAnnotations without with_mask, metric='bbox'"
        )
    if use.learnt and not use.rle_learnt:
        rle = [a["id"] for a, kind in zip(annotations, kinds, strict=True) if kind == "rle" and not a.get("iscrowd")]
        if rle:
            raise UserError(
                f"expected polygons in {coco.path}, which alone LoadAnnotations(poly2mask=False) learns from, got RLE "
                f"masks of {len(rle)} objects (first id {rle[0]}); in the pipeline of {use.loader}, set "
                "type='LoadPolygonsOrRLE' (of pinas_zoo.openmmlab.coco_masks), or poly2mask=True"
            )
    return kinds


def _counts(annotation: Mapping[str, Any]) -> Any:
    mask = annotation.get("segmentation")
    return mask.get("counts") if isinstance(mask, dict) else None


def check_evaluated(coco: CocoFile, classes: Sequence[str], masks: bool) -> None:
    """What COCO's evaluation needs beyond training.

    Raises:
        UserError: Ids that it cannot count with, crowds not marked, or outlines of fewer than 3 points.
    """
    annotations = coco.annotations or []
    bad = [a["id"] for a in annotations if isinstance(a["id"], str) or a["id"] < 1 or a["id"] != int(a["id"])]
    if bad:
        raise UserError(
            f"expected annotation ids from 1 in {coco.path}, got {len(bad)} others (the first is {bad[0]!r}), which "
            "COCO's evaluation counts as not found; number them anew from 1"
        )
    unmarked = [a["id"] for a in annotations if a.get("iscrowd") not in (0, 1)]
    if unmarked:
        raise UserError(
            f"expected 'iscrowd' 0 or 1 in all annotations of {coco.path}, which COCO's evaluation reads, got none or "
            f"another value in {len(unmarked)} (first id {unmarked[0]}); write iscrowd 0 for single objects"
        )
    if masks:
        short = [a["id"] for a in annotations if isinstance(s := a.get("segmentation"), list) and s and len(s[0]) < 6]
        if short:
            raise UserError(
                f"expected polygons of 3 points and more in {coco.path}, got fewer in {len(short)} annotations (first "
                f"id {short[0]}), on which COCO's evaluation fails; take them out of the file"
            )


def left_out(
    coco: CocoFile, classes: Sequence[str], kinds: Sequence[str] = (), filters: Mapping[str, Any] | None = None
) -> tuple[int, dict[str, int]]:
    """How many objects mmdet learns from, and the numbers of what it leaves out without a word, zeros left out.

    Args:
        coco: The file.
        classes: That are learnt.
        kinds: Of the annotations' masks, where masks are learnt.
        filters: The data set's ``filter_cfg``.
    """
    annotations = coco.annotations or []
    counts: Counter[str] = Counter()
    names = {category["id"]: category["name"] for category in coco.categories}
    chosen = _chosen(coco, classes)
    images = {image["id"]: image for image in coco.images}
    boxes = coco.boxes()  # N x 4
    sides = np.array([_sides(images.get(a["image_id"])) for a in annotations], dtype=np.float64).reshape(-1, 2)
    area = np.array([a["area"] for a in annotations], dtype=np.float64)
    ends = np.minimum(boxes[:, :2] + boxes[:, 2:], sides)  # N x 2 of x, y
    inside = (ends - np.maximum(boxes[:, :2], 0) > 0).all(1)
    large = (area > 0) & (boxes[:, 2:] >= 1).all(1)
    crowd = np.array([bool(a.get("iscrowd") or a.get("ignore")) for a in annotations], dtype=bool)
    short = np.array([kind == "short" for kind in kinds] or [False] * len(annotations), dtype=bool)
    objects = chosen & ~crowd
    counts["annotations of images that the file lacks"] = sum(a["image_id"] not in images for a in annotations)
    counts["annotations of categories that the file lacks"] = sum(a["category_id"] not in names for a in annotations)
    counts[_FAULTS[0] + " (not learnt from)"] = int((objects & ~large).sum())
    counts[_FAULTS[1] + " (not learnt from)"] = int((objects & large & ~inside).sum())
    counts[_SHORT + " (not learnt from)"] = int((objects & large & inside & short).sum())
    own = Counter(a["image_id"] for a, used in zip(annotations, chosen, strict=True) if used)
    single = {a["image_id"] for a, used in zip(annotations, objects, strict=True) if used}
    if (filters or {}).get("filter_empty_gt"):
        counts["images without annotations (left out of training)"] = len(images) - len(own)
    counts["images with crowds only (background in training)"] = len(set(own) - single)
    smallest = (filters or {}).get("min_size", 0)
    small = sum(min(image["height"], image["width"]) < smallest for image in coco.images)
    counts[f"images with a side below {smallest} pixels (left out of training)"] = small
    return int((objects & large & inside & ~short).sum()), {what: n for what, n in counts.items() if n}


def _sides(image: Mapping[str, Any] | None) -> tuple[int, int]:
    return (image["width"], image["height"]) if image else (0, 0)


def check_learnt(
    coco: CocoFile, classes: Sequence[str], kinds: Sequence[str], filters: Mapping[str, Any] | None
) -> dict[str, int]:
    """The numbers of what training leaves out.

    Raises:
        UserError: Nothing is learnt, or less than half of the objects, for faults of the file.
    """
    learnt, counts = left_out(coco, classes, kinds, filters)
    faults = sum(n for what, n in counts.items() if what.startswith((*_FAULTS, _SHORT)))
    text = "; ".join(f"{count} {what}" for what, count in counts.items())
    if not learnt and not _chosen(coco, classes).any():
        raise UserError(
            f"expected objects of the classes in {coco.path}, got none: every image of a data set is without "
            f"annotations" + (f"; {text}" if text else "")
        )
    if learnt < max(1, faults):
        raise UserError(
            f"expected objects to learn from in {coco.path}, got {learnt}: {text}; boxes are x, y, width, height in "
            "pixels, area is above 0"
        )
    smallest = (filters or {}).get("min_size", 0)
    if all(min(image["height"], image["width"]) < smallest for image in coco.images):
        raise UserError(
            f"expected images with sides of {smallest} pixels and more in {coco.path}, got none; set "
            "train_dataloader.dataset.filter_cfg.min_size"
        )
    return counts


def image_paths(coco: CocoFile, folder: Path, root: str | None) -> list[Path]:
    """Where the images are.

    Raises:
        UserError: A name leads out of the data's folder.
    """
    base = os.path.abspath(folder)
    if root and os.path.commonpath([os.path.abspath(root), base]) == os.path.abspath(root):
        base = os.path.abspath(root)
    paths = []
    for image in coco.images:
        name = image["file_name"]
        path = folder / name
        if (os.path.isabs(name) or ".." in name) and os.path.commonpath([os.path.abspath(path), base]) != base:
            raise UserError(
                f"expected images inside {base}, got {name!r} of image {image['id']} in {coco.path}, which leads "
                "out of it; move the image, or set data_root to a folder that holds all"
            )
        paths.append(path)
    return paths
