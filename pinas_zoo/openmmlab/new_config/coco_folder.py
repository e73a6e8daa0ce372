"""Look at a folder of images with COCO annotations: files, splits, classes, masks, sizes and what is odd."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.coco_annotations import CocoFile, mask_kind, read_coco, spread
from pinas_zoo.openmmlab.new_config.folders import files_below, folders_below, is_file
from pinas_zoo.openmmlab.new_config.splits import hold_out, no_validation, split_of

OTHER_TASKS = (
    "captions",
    "person_keypoints",
    "panoptic",
    "stuff",
    "image_info",
)  # COCO's files for these
LONG = 64 * 2**20  # bytes; longer files that do not begin as an object does are not read
LOOKED_UP = 50  # images of a file, to find their folder
LAYOUTS = (
    "annotations/instances_{train,val}*.json with {train,val}*/, {train,valid}/_annotations.coco.json beside the "
    "images, or one JSON with images/"
)


@dataclass(frozen=True)
class CocoSplit:
    """Annotations and the folder of their images.

    Attributes:
        coco: The annotations of this split.
        images: Folder to which the images' ``file_name`` is relative.
        changed: They are a part of the file, or a corrected copy, and are to be written.
    """

    coco: CocoFile
    images: Path
    changed: bool = False

    @property
    def annotations(self) -> list[dict[str, Any]]:
        return self.coco.annotations or []

    def with_(self, **parts: Any) -> CocoSplit:
        """The split with other images, annotations or categories."""
        return CocoSplit(replace(self.coco, **parts), self.images, changed=True)


@dataclass(frozen=True)
class CocoData:
    """What a detector is trained on.

    Attributes:
        train: Training images and annotations.
        val: Validation images and annotations.
        classes: Names, in the order of the files' categories.
        masks: Every object has an outline or an RLE mask.
        notes: What is missing, odd, or was decided here; one line each.
    """

    train: CocoSplit
    val: CocoSplit
    classes: tuple[str, ...]
    masks: bool
    notes: tuple[str, ...]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """W, H of the training images."""
        return [(image["width"], image["height"]) for image in self.train.coco.images]


def look(root: Path, files: Sequence[Path] = ()) -> CocoData:
    """Find the annotations and images below ``root``.

    Args:
        root: The data's folder.
        files: The annotation file of the training images, and that of the validation images, instead of a search.

    Raises:
        UserError: There are no annotations, several that could be meant, no images, or no objects.
    """
    notes: list[str] = []
    found = [read_coco(file) for file in files] if files else _annotation_files(root)
    train_file, val_file = (found[0], found[1] if len(found) > 1 else None) if files else _choose(root, found, notes)
    train = CocoSplit(train_file, _image_folder(root, train_file, notes))
    if not any(not a.get("iscrowd") for a in train.annotations):
        raise UserError(f"expected objects in {train_file.path}, got none, or crowds alone; nothing could be learnt")
    if val_file is None:
        train, val = _split(train, notes)
    else:
        val = _in_order_of(CocoSplit(val_file, _image_folder(root, val_file, notes)), train_file.names, notes)
    masks = _have_masks([train, val], notes)
    val = _evaluable(val, masks, notes)
    return CocoData(train, val, _used(train, val, notes), masks, tuple(notes))


def _annotation_files(root: Path) -> list[CocoFile]:
    """The COCO files below a folder. If any are named instances…, these alone.

    Raises:
        UserError: There is none, or one is faulty. Other JSON files are skipped.
    """
    files = [file for file in files_below(root, (".json",)) if not file.name.lower().startswith(OTHER_TASKS)]
    instances = [file for file in files if file.name.lower().startswith("instances")]
    found = []
    for file in instances or files:
        try:
            found.append(read_coco(file))
        except UserError:
            if instances or _looks_like_coco(file):
                raise
    if not found:
        raise UserError(f"expected a JSON file of COCO annotations in {root}, found none; usual layouts: {LAYOUTS}")
    return found


def _looks_like_coco(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            if not stream.read(64).lstrip().startswith(b"{") and os.fstat(stream.fileno()).st_size > LONG:
                return True
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return True  # damaged, and maybe the one that is meant
    return isinstance(content, dict) and {"images", "categories"} <= set(content)


def _choose(root: Path, found: Sequence[CocoFile], notes: list[str]) -> tuple[CocoFile, CocoFile | None]:
    """The file of the training images and that of the validation images.

    Raises:
        UserError: Several files of one split.
    """
    of: dict[str | None, list[CocoFile]] = defaultdict(list)
    for coco in found:
        of[split_of(coco.path.relative_to(root))].append(coco)
    for split, several in of.items():
        if len(several) > 1:
            shown = ", ".join(str(coco.path.relative_to(root)) for coco in several[:4])
            raise UserError(
                f"expected one file of {split + ' ' if split else ''}annotations in {root}, got {shown}; name those of "
                "training and validation by --annotations TRAIN VAL"
            )
    train = of["train"] or of[None] or of["val"] or of["test"]
    val = of["val"] if of["val"] is not train else []
    for coco in found:
        if coco not in train and coco not in val:
            notes.append(f"{coco.path.relative_to(root)} is not used, neither to train nor to validate")
    return train[0], val[0] if val else None


def _image_folder(root: Path, coco: CocoFile, notes: list[str]) -> Path:
    """The folder to which the ``file_name`` of a file's images is relative: one of the file's split before others.

    Raises:
        UserError: No image is anywhere below ``root``.
    """
    names = [image["file_name"] for image in coco.images]
    some = spread(names, LOOKED_UP)
    split = split_of(Path(os.path.relpath(coco.path, root)))
    found = {
        folder: sum(is_file(folder / name) for name in some)
        for folder in dict.fromkeys((coco.path.parent, root, *folders_below(root)))
    }
    best = max(found, key=lambda f: (found[f] > 0, split_of(Path(os.path.relpath(f, root))) == split, found[f]))
    if not found[best]:
        raise UserError(
            f"expected the images of {coco.path}, such as {some[0][:200]}, in {root} or a folder in it, found none; "
            "file_name is relative to the images' folder"
        )
    listed = {str(Path(folder).relative_to(best) / name) for folder, _, files in os.walk(best) for name in files}
    absent = [name for name in names if os.path.normpath(name) not in listed]
    if absent:
        notes.append(
            f"{len(absent)} of {len(names)} images of {coco.path.name} are not in {best}, such as {absent[0][:200]}"
        )
    return best


def _split(whole: CocoSplit, notes: list[str]) -> tuple[CocoSplit, CocoSplit]:
    """Training and validation images of a file that has both."""
    name_of = {image["id"]: image["file_name"] for image in whole.coco.images}
    classes_of: dict[str, set[Any]] = {name: set() for name in name_of.values()}
    for annotation in whole.annotations:
        if annotation["image_id"] in name_of:
            classes_of[name_of[annotation["image_id"]]].add(annotation["category_id"])
    train, val = map(set, hold_out(classes_of))
    if train == val:
        notes.append("one image alone: validation uses it, too, and says nothing about others")
        return whole, whole
    notes.append(no_validation(len(val), len(classes_of)))
    return _part(whole, train), _part(whole, val)


def _part(split: CocoSplit, wanted: set[str]) -> CocoSplit:
    """The images with these file names, and their annotations."""
    images = [image for image in split.coco.images if image["file_name"] in wanted]
    ids = {image["id"] for image in images}
    return split.with_(images=images, annotations=[a for a in split.annotations if a["image_id"] in ids])


def _in_order_of(val: CocoSplit, names: Sequence[str], notes: list[str]) -> CocoSplit:
    """The split with the training file's categories in its order, by which mmdet numbers the classes of each file.

    Raises:
        UserError: The file has objects of a class that the training file lacks.
    """
    if val.coco.names == tuple(names):
        return val
    used = {annotation["category_id"] for annotation in val.annotations}
    categories = {category["name"]: category for category in val.coco.categories}
    unknown = [name for name, category in categories.items() if name not in names and category["id"] in used]
    if unknown:
        raise UserError(
            f"expected the classes of the training file in {val.coco.path}, got {listed(unknown)}, which it lacks; "
            "give both the same categories"
        )
    notes.append(f"{val.coco.path.name} has other categories, or another order: a copy in the training file's is used")
    free = (name for name in map(str, range(len(names) + len(categories))) if name not in _ids(val))
    return val.with_(categories=[categories.get(name) or {"id": next(free), "name": name} for name in names])


def _ids(split: CocoSplit) -> set[str]:
    return {str(category["id"]) for category in split.coco.categories}


def _evaluable(val: CocoSplit, masks: bool, notes: list[str]) -> CocoSplit:
    """The split as COCO's evaluation reads it right: ids from 1, ``iscrowd`` said, polygons of 3 points and more."""
    mended = [
        {**annotation, "iscrowd": int(bool(annotation.get("iscrowd"))), "id": number}
        for number, annotation in enumerate(val.annotations, 1)
        if not (masks and _short(annotation.get("segmentation")))
    ]
    right = all(type(a["id"]) is int and a["id"] > 0 and a.get("iscrowd") in (0, 1) for a in val.annotations)
    if right and len(mended) == len(val.annotations):
        return val
    dropped = len(val.annotations) - len(mended)
    notes.append(
        f"validation uses a copy of {val.coco.path.name} that COCO's evaluation can read: ids from 1, iscrowd 0 where "
        "it was not said" + (f", without {dropped} outlines of fewer than 3 points" if dropped else "")
    )
    return val.with_(annotations=mended)


def _short(outline: Any) -> bool:
    """Whether COCO's evaluation fails on it: none, or a first polygon of fewer than 3 points."""
    return not outline or (isinstance(outline, list) and len(outline[0]) < 6)


def _have_masks(splits: Sequence[CocoSplit], notes: list[str]) -> bool:
    """Whether all objects have masks; says so where they have not.

    Raises:
        UserError: A mask is neither polygons nor RLE.
    """
    total, without = 0, []
    for split in splits:
        sides = {image["id"]: (image["height"], image["width"]) for image in split.coco.images}
        for annotation in split.annotations:
            if annotation["image_id"] not in sides:
                continue
            try:
                kind = mask_kind(annotation.get("segmentation"), *sides[annotation["image_id"]], runs=False)
            except ValueError as error:
                raise UserError(
                    f"expected masks as polygons or RLE in {split.coco.path}, got {error} (annotation "
                    f"{annotation['id']})"
                ) from None
            total += not annotation.get("iscrowd")
            if kind == "none" and not annotation.get("iscrowd"):
                without.append(annotation["id"])
    if without:
        which = (
            "no object has" if len(without) == total else f"{len(without)} of {total} objects (id {without[0]}) have no"
        )
        notes.append(f"{which} mask: the detector learns boxes alone")
    return not without


def _used(train: CocoSplit, val: CocoSplit, notes: list[str]) -> tuple[str, ...]:
    """The classes that have objects; says which have none, and which images have none."""
    counts = [_objects_of(split) for split in (train, val)]
    names = train.coco.names
    classes = tuple(name for name in names if counts[0][name] or counts[1][name])
    absent = {
        "left out, without an object: ": [name for name in names if name not in classes],
        "without an object to learn from: ": [name for name in classes if not counts[0][name]],
        "without an object in validation, so that no AP is measured: ": [n for n in classes if not counts[1][n]],
    }
    notes += [what + listed(some) for what, some in absent.items() if some]
    empty = len({i["id"] for i in train.coco.images} - {a["image_id"] for a in train.annotations})
    if empty:
        notes.append(
            f"{empty} of {len(train.coco.images)} training images are without objects; training leaves them out"
        )
    return classes


def _objects_of(split: CocoSplit) -> Mapping[str, int]:
    """Numbers of objects, without crowds, by class."""
    name_of = {category["id"]: category["name"] for category in split.coco.categories}
    return Counter(name_of.get(a["category_id"], "") for a in split.annotations if not a.get("iscrowd"))


def listed(names: Sequence[str]) -> str:
    """Names with commas, the first few of many."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
