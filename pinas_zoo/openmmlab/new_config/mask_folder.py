"""Find the images of a folder, the index mask of each, and the split that each pair belongs to."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.bounded_reading import MIB, read_bytes
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.new_config.folders import files_below, files_in, folders_below
from pinas_zoo.openmmlab.new_config.splits import split_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
LIST_LIMIT = 64 * MIB  # of a list of images
LISTS = ("train", "training", "val", "valid", "validation")
LAYOUTS = (
    "images/{train,val}/ with masks/{train,val}/ (or annotations/, labels/), {train,val}/{images,masks}/, or images/ "
    "with masks/; a mask has its image's name, as x.png or x_mask.png"
)
# What the names of folders and files of images and of their masks have, before they are compared.
_MASK_FOLDER = re.compile(
    r"(?:^|[_-]|(?<=train)|(?<=val)|(?<=test))"
    r"(?:masks?|labels?|annotations?|annots?|anns?|gt|seg|segmentations?|segmentationclass|targets?)(?:[_-]?dir)?$"
)
_IMAGE_FOLDER = re.compile(r"(?:^|[_-])(?:images?|imgs?|jpegimages|photos?|pictures?|inputs?|rgb)(?:[_-]?dir)?$")
_MASK_FILE = re.compile(
    r"[_.-](?:masks?|labels?|lbl|l|seg|segmentation|gt|annotation|target|(?:gtfine_)?labeltrainids)$", re.IGNORECASE
)
_IMAGE_FILE = re.compile(r"[_.-](?:image|img|rgb|leftimg8bit)$", re.IGNORECASE)


@dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Attributes:
        key: What their file names have in common, at the beginning.
        image: Path.
        mask: Path.
    """

    key: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Group:
    """Pairs that one data set of mmseg reads.

    Attributes:
        images: Folder of the images.
        masks: Folder of the masks.
        image_suffix: End of an image's name.
        mask_suffix: End of its mask's.
        names: Of the pairs, without suffixes; with a folder's name before them, if the two folders have folders.
        listed: The folder has other images, too, so that the names must stand in a list.
    """

    images: Path
    masks: Path
    image_suffix: str
    mask_suffix: str
    names: tuple[str, ...]
    listed: bool


def find_pairs(root: Path, notes: list[str]) -> list[Pair]:
    """All images below ``root`` that have a mask. Says which have none.

    Raises:
        UserError: There is no pair.
    """
    images: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    masks: dict[tuple[str, ...], list[Path]] = defaultdict(list)
    for folder in folders_below(root):
        files = files_in(folder, SUFFIXES)
        if files:
            kind, place = _kind(folder.relative_to(root))
            (masks if kind == "mask" else images)[place] += files
    pairs, alone = [], []
    for place, files in images.items():
        found = _pair(files, masks.get(place, [])) or _pair_within(files)
        pairs += found
        if found:
            paired = {path for pair in found for path in (pair.image, pair.mask)}
            alone += [file for file in [*files, *masks.get(place, [])] if file not in paired]
    if not pairs:
        what = "no image has a mask" if images else "there are no images"
        raise UserError(f"expected images with index masks in {root}, {what}; usual layouts: {LAYOUTS}")
    if alone:
        first = alone[0].relative_to(root)
        notes.append(f"{len(alone)} images and masks without their counterpart are left out, such as {first}")
    return pairs


def _kind(folder: Path) -> tuple[str, tuple[str, ...]]:
    """``mask`` or ``image``, and the folder's parts without the words that say so."""
    kind, place = "image", []
    for part in map(str.lower, folder.parts):
        if _MASK_FOLDER.search(part):
            kind = "mask"
        part = _IMAGE_FOLDER.sub("", _MASK_FOLDER.sub("", part))
        place += [part] if part else []
    return kind, tuple(place)


def _pair(images: Sequence[Path], masks: Sequence[Path]) -> list[Pair]:
    """Pairs by name. Of several masks of one image, the first folder's that has the most counts."""
    by_folder: dict[Path, dict[str, Path]] = defaultdict(dict)
    for mask in masks:
        by_folder[mask.parent][_MASK_FILE.sub("", mask.stem)] = mask
    named = [(_IMAGE_FILE.sub("", image.stem), image) for image in images]
    found = [[Pair(key, i, own[key]) for key, i in named if key in own] for own in by_folder.values()]
    return max(found, key=len, default=[])


def _pair_within(files: Sequence[Path]) -> list[Pair]:
    """Pairs of one folder: x.jpg and x_mask.png, or x.jpg and x.png."""
    masks = [file for file in files if _MASK_FILE.search(file.stem)]
    if not masks:
        photos = {file.stem for file in files if file.suffix.lower() in (".jpg", ".jpeg")}
        masks = [file for file in files if file.suffix.lower() == ".png" and file.stem in photos]
    return _pair([file for file in files if file not in set(masks)], masks)


def split_pairs(root: Path, pairs: Sequence[Pair], notes: list[str]) -> tuple[list[Pair], list[Pair]]:
    """The training and validation pairs, as the folders' names say, or lists train.txt and val.txt, as VOC's.

    The second is empty if there is no validation split.
    """
    of: dict[str | None, list[Pair]] = defaultdict(list)
    for pair in pairs:
        of[split_of(pair.image.relative_to(root).parent)].append(pair)
    if set(of) == {None}:
        lists = _lists(root)
        if {"train", "val"} <= set(lists):
            of = defaultdict(list, {s: [p for p in pairs if p.key in lists[s]] for s in ("train", "val")})
    first = next(split for split in ("train", None, "val", "test") if of[split])
    val = of["val"] if first != "val" else []
    unused = {split: some for split, some in of.items() if some and split != first and some is not val}
    for split, some in unused.items():
        notes.append(
            f"{len(some)} pairs of {split or 'no'} split, such as {some[0].image.relative_to(root)}, are not used"
        )
    return of[first], val


def _lists(root: Path) -> dict[str, set[str]]:
    """Names in files train.txt, val.txt and the like; those of a folder named after segmentation before others."""
    files = [
        file for file in files_below(root, (".txt",)) if file.stem.lower() in ("train", "training", "val", "valid")
    ]
    found: dict[str, set[str]] = {}
    for file in sorted(files, key=lambda file: "seg" not in file.parent.name.lower()):
        lines = read_bytes(file, "a list of images", LIST_LIMIT).decode("utf-8", "replace").splitlines()
        names = {re.sub(r"\.\w{3,4}$", "", Path(line.split()[0]).name) for line in lines if line.strip()}
        found.setdefault(str(split_of(Path(file.stem))), names)
    return found


def groups(pairs: Sequence[Pair]) -> tuple[Group, ...]:
    """The pairs as mmseg's data sets can read them: a folder of images, one of masks, and a suffix of each."""
    parts: dict[tuple[Path, Path, str, str], list[str]] = defaultdict(list)
    for pair in pairs:
        images, masks = pair.image.parent, pair.mask.parent
        below: list[str] = []
        while images.name == masks.name and images != masks:
            below.insert(0, images.name)
            images, masks = images.parent, masks.parent
        suffixes = pair.image.name[len(pair.key) :], pair.mask.name[len(pair.key) :]
        parts[(images, masks, *suffixes)].append("/".join([*below, pair.key]))
    return tuple(_group(*place, names) for place, names in sorted(parts.items()))


def _group(images: Path, masks: Path, image_suffix: str, mask_suffix: str, names: Sequence[str]) -> Group:
    common = os.path.commonpath([os.path.dirname(name) for name in names])
    images, masks = images / common, masks / common
    names = sorted(os.path.relpath(name, common) if common else name for name in names)
    there = {
        os.path.relpath(Path(folder) / file, images)[: -len(image_suffix)]
        for folder, _, files in os.walk(images)
        for file in files
        if file.endswith(image_suffix) and file[0] != "."
    }
    return Group(images, masks, image_suffix, mask_suffix, tuple(names), listed=there != set(names))
