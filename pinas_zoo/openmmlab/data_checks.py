"""Checks of a config's data and classes, before a run is built and mmdet or mmseg fails with a traceback.

``tools/train.py``, ``tools/test.py`` and ``pinas-zoo doctor --config`` call :func:`check_data`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.coco_annotations import read_coco
from pinas_zoo.openmmlab.coco_checks import check_coco, check_evaluated, evaluators, use_of
from pinas_zoo.openmmlab.index_masks import IGNORED
from pinas_zoo.openmmlab.mask_checks import check_segmentation, reads_masks

TREES = {
    "CocoDataset": "annotations/instances_{train,val}2017.json, train2017/*.jpg, val2017/*.jpg",
    "ADE20KDataset": "images/{training,validation}/*.jpg, annotations/{training,validation}/*.png",
    "CityscapesDataset": (
        "leftImg8bit/{train,val}/CITY/*_leftImg8bit.png, gtFine/{train,val}/CITY/*_gtFine_labelTrainIds.png (made by "
        "mmseg's tools/dataset_converters/cityscapes.py)"
    ),
}


def datasets(cfg: Mapping[str, Any], loader: str) -> Iterator[Any]:
    """The data sets of a loader that read files, without the wrappers around them (RepeatDataset, ConcatDataset, …)."""
    waiting = [(cfg.get(loader) or {}).get("dataset")]
    while waiting:
        dataset = waiting.pop(0)
        if not isinstance(dataset, Mapping):
            continue
        inner = [*(dataset.get("datasets") or ()), dataset.get("dataset")]
        if any(isinstance(part, Mapping) for part in inner):
            waiting.extend(inner)
        else:
            yield dataset


def check_data(cfg: Mapping[str, Any], loaders: Sequence[str], all: bool = False) -> list[str]:
    """Check files, annotations and classes of the loaders' data sets.

    Args:
        cfg: The config, whose default scope has been set.
        loaders: Such as ``train_dataloader``.
        all: Read every image and mask to its end, not some.

    Returns:
        For each data set a line of what is worth knowing, which begins with the loader's name.

    Raises:
        UserError: Something is missing, damaged, or not what the model and the pipeline need.
    """
    notes = []
    for loader in loaders:
        for part in datasets(cfg, loader):
            _check_there(loader, part)
            kind = _class_of(cfg, part)
            if not issubclass(kind, BaseDataset):
                continue
            dataset = _make(kind, part, loader)
            check_classes(cfg, loader, dataset)
            found = _check_kind(kind, dataset, part, cfg, loader, all)
            notes.append(f"{loader}: {'; '.join(found)} in {part.get('data_root')}")
        _check_wrappers(cfg, loader)
        _check_evaluators(cfg, loader)
    return notes


def _check_kind(
    kind: type, dataset: Any, part: Mapping[str, Any], cfg: Mapping[str, Any], loader: str, all: bool
) -> list[str]:
    if _is_coco(kind):
        use = use_of(cfg, loader, part)
        _check_mask_head(cfg, use)
        return check_coco(dataset, part, use, all)
    if _is_segmentation(kind):
        metrics = [m for m in evaluators(cfg, loader) if m.get("type") == "IoUMetric" and not m.get("format_only")]
        if (metrics or loader == "train_dataloader") and not reads_masks(part):
            raise UserError(
                f"expected LoadAnnotations in the pipeline of {loader}, which needs masks, found none; add it"
                + (", or set format_only=True in the evaluator" if metrics else "")
            )
        head = cfg["model"].get("decode_head")
        ignored = head.get("ignore_index", IGNORED) if isinstance(head, Mapping) else IGNORED
        return check_segmentation(dataset, part, loader, ignored, all)
    return ["all folders and files are"]


def _class_of(cfg: Mapping[str, Any], part: Mapping[str, Any]) -> Any:
    """The class of a data set; an object's where the config names none of the library."""
    kind = part.get("type")
    if not isinstance(kind, type):
        with DATASETS.switch_scope_and_registry(part.get("_scope_", cfg["default_scope"])) as registry:
            kind = registry.get(str(kind))
    return kind if isinstance(kind, type) else object


def _is_coco(kind: type) -> bool:
    """mmdet's COCO data set or one that reads the same files in the same way, which LVIS's does not."""
    base = next((c for c in kind.__mro__ if c.__name__ == "CocoDataset" and c.__module__.startswith("mmdet.")), None)
    return base is not None and all(getattr(kind, m) is getattr(base, m) for m in ("load_data_list", "parse_data_info"))


def _is_segmentation(kind: type) -> bool:
    names = {c.__name__ for c in kind.__mro__ if c.__module__.startswith("mmseg.")}
    return "BaseSegDataset" in names


def _make(kind: type, part: Mapping[str, Any], loader: str) -> Any:
    """The data set, before it reads anything.

    Raises:
        UserError: Its arguments are wrong.
    """
    classes = (part.get("metainfo") or {}).get("classes")
    if isinstance(classes, str) and not Path(classes).is_file():  # mmengine reads a file of names
        raise UserError(
            f"expected a list of names as metainfo.classes in {loader}, got the text {classes!r}; one name is written "
            f"with a comma, classes=({classes!r},)"
        )
    own = getattr(kind, "METAINFO", {}).get("classes")
    unknown = [name for name in classes or () if own and name not in own] if _is_segmentation(kind) else []
    if unknown:
        shown = ", ".join(map(repr, unknown[:5]))
        raise UserError(
            f"expected classes of {kind.__name__} ({len(own or ())} names) in metainfo.classes of {loader}, got {shown}"
            "; for classes of your own set type='BaseSegDataset', with img_suffix and seg_map_suffix"
        )
    try:
        dataset: Any = DATASETS.build({**part, "lazy_init": True})
    except Exception as error:  # whatever a data set or a step of its pipeline says of its arguments
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"expected arguments that {kind.__name__} and its pipeline take in {loader}, got {type(error).__name__}: "
            f"{reason}"
        ) from error
    names, palette = dataset.metainfo.get("classes"), dataset.metainfo.get("palette")
    if isinstance(palette, (list, tuple)) and names and 0 < len(palette) < len(names):
        raise UserError(
            f"expected a colour for each of the {len(names)} classes in metainfo.palette of {loader}, got "
            f"{len(palette)}; add colours, or leave palette out"
        )
    return dataset


def _check_there(loader: str, part: Mapping[str, Any]) -> None:
    root = Path(part.get("data_root") or "")
    for needed in needed_paths(part):
        path = root / needed
        if not path.exists():
            raise UserError(_not_there(loader, part, root, needed, path))
    if str(part.get("type")) == "CityscapesDataset" and reads_masks(part):
        _check_train_ids(root, part)


def needed_paths(dataset: Mapping[str, Any]) -> list[Path]:
    """The files and folders that a data set reads, absolute or relative to its data_root."""
    prefixes = dataset.get("data_prefix") or {}
    parts = [dataset.get("ann_file"), *(prefixes.values() if isinstance(prefixes, Mapping) else [prefixes])]
    return [Path(part) for part in parts if part]


def _not_there(loader: str, dataset: Mapping[str, Any], root: Path, part: Path, path: Path) -> str:
    tree = TREES.get(str(dataset.get("type")))
    near = [p for p in (root.parent, *root.glob("*/"), *root.parent.glob("*/")) if p != root and (p / part).exists()]
    hint = f"; it is under {near[0]}" if near and not part.is_absolute() else ""
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


def check_classes(cfg: Mapping[str, Any], loader: str, dataset: Any) -> None:
    """Compare the number of classes of a data set with the model's heads.

    Raises:
        UserError: They differ, or there is one class where a softmax needs two.
    """
    classes = dataset.metainfo.get("classes")
    if classes is None:
        if _is_segmentation(type(dataset)):
            raise UserError(
                f"expected metainfo=dict(classes=(…)) for {type(dataset).__name__} in {loader}, found none; name the "
                "classes in the order of the masks' labels"
            )
        return
    for place, (count, head) in heads_of(cfg["model"]).items():
        if count != len(classes):
            raise UserError(
                f"expected {place}={len(classes)}, the classes of {type(dataset).__name__} in {loader}, got {count}; "
                f"set it by --cfg-options {place}={len(classes)}, or the data's metainfo.classes"
            )
        losses = head.get("loss_decode", {})
        sigmoid = any(loss.get("use_sigmoid") for loss in (losses if isinstance(losses, Sequence) else [losses]))
        if count == 1 and _is_segmentation(type(dataset)) and not sigmoid:
            raise UserError(
                f"expected 2 classes and more for {place}, got 1, of which a softmax is always right and learns "
                "nothing; name the background as a class, too (label 0)"
            )


def heads_of(model: Any, place: str = "model") -> dict[str, tuple[int, Mapping[str, Any]]]:
    """``num_classes`` of every head and the head, by its place in the config; a region proposal network has none."""
    found = {}
    for key, value in model.items():
        parts = {f"{place}.{key}": value}
        if isinstance(value, Sequence) and not isinstance(value, str):
            parts = {f"{place}.{key}.{i}": part for i, part in enumerate(value)}
        if key == "num_classes":
            found[f"{place}.{key}"] = (int(value), model)
        elif key.endswith("head") or key in ("model", "module"):
            for name, part in parts.items():
                if isinstance(part, Mapping):
                    found.update(heads_of(part, name))
    return found


def _check_mask_head(cfg: Mapping[str, Any], use: Any) -> None:
    heads = cfg["model"].get("roi_head")
    if not isinstance(heads, Mapping):
        return
    if heads.get("mask_head") and use.learnt and not use.masks:
        raise UserError(
            f"expected masks for model.roi_head.mask_head, got a pipeline of {use.loader} without them; set "
            "with_mask=True in its LoadAnnotations, or mask_head=None and mask_roi_extractor=None"
        )
    if not heads.get("mask_head") and use.masks_evaluated:
        raise UserError(
            "expected model.roi_head.mask_head for the metric 'segm', found none; set metric='bbox' in val_evaluator "
            "and test_evaluator"
        )


def _check_wrappers(cfg: Mapping[str, Any], loader: str) -> None:
    """Wrappers that their data sets do not serve.

    Raises:
        UserError: ClassBalancedDataset around one that does not say which classes an image has.
    """
    waiting = [(cfg.get(loader) or {}).get("dataset")]
    while waiting:
        dataset = waiting.pop()
        if not isinstance(dataset, Mapping):
            continue
        inner = [*(dataset.get("datasets") or ()), dataset.get("dataset")]
        waiting.extend(inner)
        if "ClassBalancedDataset" in str(dataset.get("type")):
            for part in datasets({loader: {"dataset": dataset}}, loader):
                kind = _class_of(cfg, part)
                if getattr(kind, "get_cat_ids", None) is BaseDataset.get_cat_ids:
                    raise UserError(
                        f"expected a data set that lists an image's classes in the ClassBalancedDataset of {loader}, "
                        f"got {kind.__name__}, which does not; use RepeatDataset"
                    )


def _check_evaluators(cfg: Mapping[str, Any], loader: str) -> None:
    """Annotation files that the evaluators of a loader read.

    Raises:
        UserError: One is not there, or of other images than the data set's.
    """
    named = [part for part in datasets(cfg, loader) if part.get("ann_file")]
    own = {os.path.abspath(Path(part.get("data_root") or "") / part["ann_file"]) for part in named}
    for metric in evaluators(cfg, loader):
        file = metric.get("ann_file")
        if str(metric.get("type")) != "CocoMetric" or not file or os.path.abspath(file) in own:
            continue
        place = f"{loader.replace('dataloader', 'evaluator')}.ann_file"
        coco = read_coco(Path(file))
        if metric.get("format_only"):
            continue
        if coco.annotations is None:
            raise UserError(f"expected annotations in {file}, which {place} names, found none")
        for part in named:
            if _is_coco(_class_of(cfg, part)):
                names = {
                    image["id"] for image in read_coco(Path(part.get("data_root") or "") / part["ann_file"]).images
                }
                if not names <= {image["id"] for image in coco.images}:
                    raise UserError(
                        f"expected in {place} the annotations of {loader}'s images, got {file}, which lacks some of "
                        f"them; give {part['ann_file']} of the same folder"
                    )
        check_evaluated(coco, coco.names, "segm" in str(metric.get("metric", "bbox")))
