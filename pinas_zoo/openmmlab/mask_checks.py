"""Checks of mmseg's data sets: every image has its mask, of its size, and the masks' numbers are the classes'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.coco_annotations import spread
from pinas_zoo.openmmlab.image_checks import (
    DECODED,
    OPENED,
    check_images,
    check_no_postscript,
    check_present,
    read_header,
    transforms,
)
from pinas_zoo.openmmlab.index_masks import IGNORED, label_counts, read_mask_header


def check_segmentation(dataset: Any, cfg: Mapping[str, Any], loader: str, ignored: int, all: bool) -> list[str]:
    """Check the images and masks of a data set.

    Args:
        dataset: A data set of mmseg, made with ``lazy_init``.
        cfg: Its part of the config.
        loader: Its loader's name in the config, for messages.
        ignored: The label that the model's loss leaves out.
        all: Open and read every file, not some.

    Returns:
        What is worth knowing, such as how many files were read.

    Raises:
        UserError: A file is missing, damaged or of another size, or labels are not those of the classes.
    """
    entries = dataset.load_data_list()
    images = [Path(entry["img_path"]) for entry in entries]
    folder = Path((dataset.data_prefix or {}).get("img_path") or "")
    if not images:
        suffixes = sorted({p.suffix for p in folder.rglob("*") if p.is_file()}) if folder.is_dir() else []
        hint = f", but {', '.join(suffixes)}; set img_suffix of the data set" if suffixes else ""
        raise UserError(f"expected images *{dataset.img_suffix} in {folder} for {loader}, found none{hint}")
    where = dataset.ann_file or f"{loader}'s folder {folder}"
    check_present(images, where)
    check_images(images, {}, cfg.get("pipeline"), where, all)
    notes = [f"{len(images)} images"]
    if not reads_masks(cfg):
        return notes
    if "seg_map_path" not in entries[0]:
        raise UserError(
            f"expected data_prefix.seg_map_path, the folder of the masks, in {loader}.dataset, found none; set it, or "
            "take LoadAnnotations out of the pipeline where nothing is learnt or compared"
        )
    masks = [Path(entry["seg_map_path"]) for entry in entries]
    _check_masks_present(masks, dataset, loader)
    check_no_postscript(masks)  # mmseg has Pillow read them
    _check_reduction(dataset, cfg, loader)
    pairs = list(zip(images, masks, strict=True))
    for image, mask in pairs if all else spread(pairs, OPENED):
        size, wanted = read_mask_header(mask).size, read_header(image).size
        if size != wanted:
            raise UserError(
                f"expected {mask} of {wanted[0]} x {wanted[1]} pixels, the size of {image}, got {size[0]} x {size[1]}; "
                "a photo is turned as its EXIF data say; make the mask anew, or take both out"
            )
    read = masks if all else spread(masks, DECODED)
    seen = _check_labels(dataset, read, loader, ignored)
    if loader == "train_dataloader" and len(seen) < 2 <= len(dataset.metainfo["classes"]):
        seen |= _find_another_class(dataset, masks, read, loader, ignored)
    notes.append(f"{len(read)} masks read, with {len(seen)} of {len(dataset.metainfo['classes'])} classes")
    return notes


def reads_masks(cfg: Mapping[str, Any]) -> bool:
    """Whether a data set's pipeline loads masks."""
    return any("LoadAnnotations" in str(step.get("type")) for step in transforms(cfg.get("pipeline")))


def _check_masks_present(masks: Sequence[Path], dataset: Any, loader: str) -> None:
    folder = Path(dataset.data_prefix["seg_map_path"])
    if not any(mask.exists() for mask in masks) and folder.is_dir():
        suffixes = sorted({p.suffix for p in folder.rglob("*") if p.is_file()})
        if suffixes and not any(dataset.seg_map_suffix.endswith(suffix) for suffix in suffixes):
            raise UserError(
                f"expected masks *{dataset.seg_map_suffix} in {folder} for {loader}, found {', '.join(suffixes)}; set "
                "seg_map_suffix of the data set"
            )
    check_present(masks, f"{loader}'s images in {dataset.data_prefix['img_path']} (a mask *{dataset.seg_map_suffix})")


def _check_reduction(dataset: Any, cfg: Mapping[str, Any], loader: str) -> None:
    for step in transforms(cfg.get("pipeline")):
        if "LoadAnnotations" in str(step.get("type")):
            given = step.get("reduce_zero_label")
            if given is not None and bool(given) != bool(dataset.reduce_zero_label):
                raise UserError(
                    f"expected reduce_zero_label={dataset.reduce_zero_label} in the pipeline's LoadAnnotations, as in "
                    f"{type(dataset).__name__} of {loader}, got {given}; set the same at both (True: label 0 is "
                    f"ignored, 1 is the first class): {loader}.dataset.reduce_zero_label={given}, or leave it out of "
                    "the pipeline"
                )


def labels_after_loading(dataset: Any) -> np.ndarray:
    """What mmseg makes of each number 0 to 255 in a mask: 256 labels."""
    labels = np.arange(256)
    if dataset.reduce_zero_label:
        labels = np.concatenate([[IGNORED], np.arange(254), [IGNORED]])
    mapped = labels.copy()
    for old, new in (dataset.label_map or {}).items():
        mapped[labels == old] = new
    return mapped


def _check_labels(dataset: Any, masks: Sequence[Path], loader: str, ignored: int) -> set[int]:
    """The classes in some masks.

    Raises:
        UserError: A number is no class, or nearly all pixels are ignored where an object should be.
    """
    classes = len(dataset.metainfo["classes"])
    loaded = labels_after_loading(dataset)
    stored: dict[int, Path] = {}
    for mask in masks:
        for label in label_counts(mask):
            stored.setdefault(label, mask)
    numbers = sorted(stored)
    if not dataset.reduce_zero_label and numbers == [0, 255] and loaded[255] == ignored and classes > 1:
        raise UserError(_white_objects(stored[255], loader, len(masks), classes))
    # 16-bit masks: mmseg takes the number modulo 256, so that 65535 becomes 255
    bad = [n for n in numbers if not 0 <= n < 256 and n != 65535]
    bad += [n for n in numbers if 0 <= n < 256 and not 0 <= loaded[n] < classes and loaded[n] != ignored]
    if bad:
        raise UserError(_no_classes(dataset, stored, sorted(bad), loader, ignored))
    seen = {int(loaded[number % 256]) for number in numbers} - {ignored}
    if not seen:
        raise UserError(
            f"expected pixels of the {classes} classes in the masks of {loader}, got {numbers} in the {len(masks)} "
            f"masks read, all of them ignored"
            + ("; label 0 is ignored, since reduce_zero_label=True" if dataset.reduce_zero_label else "")
            + "; write class indices"
        )
    return seen


def _white_objects(mask: Path, loader: str, read: int, classes: int) -> str:
    return (
        f"expected labels 0 to {classes - 1} in the masks of {loader}, got 0 and 255 alone in the {read} masks read "
        f"(such as {mask}); 255 is ignored, so that only class 0 would be learnt; write 1 in place of 255"
    )


def _no_classes(dataset: Any, stored: Mapping[int, Path], bad: Sequence[int], loader: str, ignored: int) -> str:
    classes, name = len(dataset.metainfo["classes"]), type(dataset).__name__
    first, rest = (1, f"0 and {ignored}") if dataset.reduce_zero_label else (0, str(ignored))
    shown = ", ".join(map(str, bad[:8])) + (", …" if len(bad) > 8 else "")
    numbers = sorted(set(stored) - {IGNORED})
    if set(numbers) <= set(range(1, classes + 1)) and not dataset.reduce_zero_label:
        cure = "labels that are counted from 1 need reduce_zero_label=True"
    elif bad[0] == classes and len(bad) == 1 and not dataset.reduce_zero_label:
        cure = (
            "name all classes, the background too, in metainfo.classes and num_classes, or ignore label 0 by "
            "reduce_zero_label=True"
        )
    else:
        cure = "set metainfo.classes and num_classes to those of the masks, or write class indices to the masks"
    return (
        f"expected labels {first} to {first + classes - 1} in the masks of {loader}, the {classes} classes of {name}, "
        f"and {rest} for ignored pixels, got {shown} (the first in {stored[bad[0]]}); {cure}"
    )


def _find_another_class(
    dataset: Any, masks: Sequence[Path], read: Sequence[Path], loader: str, ignored: int
) -> set[int]:
    """Read on until a second class is found; a set with few objects may show none in the masks read so far.

    Raises:
        UserError: All masks are of one class.
    """
    (only,) = _check_labels(dataset, read, loader, ignored)
    others = set(range(len(dataset.metainfo["classes"]))) - {only}
    loaded, before = labels_after_loading(dataset), set(read)
    for mask in masks:
        if mask not in before:
            found = {int(loaded[number % 256]) for number in label_counts(mask)} & others
            if found:
                return found
    name = dataset.metainfo["classes"][only]
    raise UserError(
        f"expected pixels of several classes in the {len(masks)} masks of {loader}, got class {only} ({name}) "
        "alone, of which nothing can be learnt; write class indices to the masks"
    )
