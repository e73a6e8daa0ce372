"""COCO annotation files: read, checked entry by entry, without any library of OpenMMLab.

mmdet and pycocotools read such a file without checks. What is wrong in it appears later, as a traceback in a worker, as
objects that are never learnt, or not at all.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pinas_zoo.errors import UserError

LARGEST = 2**30  # pixels of an image that OpenCV reads
_LONGEST_RUN = 60  # bits of a number in a compressed mask; decoding takes time by the square of its length
_IDS = {int, float, str}
_NUMBERS = {int, float}
Entries = list[dict[str, Any]]


@dataclass(frozen=True)
class CocoFile:
    """What a COCO annotation file holds, with keys and types checked.

    Attributes:
        path: The file.
        images: Each with ``id``, ``file_name``, ``height`` and ``width``; ids differ.
        annotations: Each with ``id``, ``image_id``, ``category_id``, ``bbox`` (x, y, width, height) and ``area``; ids
            differ. ``iscrowd`` (0 or 1) and ``segmentation`` may be absent. None: the file has no such key, as those of
            COCO's test sets.
        categories: Each with ``id`` and ``name``; ids and names differ.
    """

    path: Path
    images: Entries
    annotations: Entries | None
    categories: Entries

    @property
    def names(self) -> tuple[str, ...]:
        """The categories' names in the order of the file, by which mmdet numbers its labels."""
        return tuple(category["name"] for category in self.categories)

    def boxes(self) -> np.ndarray:
        """The annotations' boxes in pixels, N x 4 of x, y, width, height."""
        flat = chain.from_iterable(annotation["bbox"] for annotation in self.annotations or ())
        return np.fromiter(flat, dtype=np.float64).reshape(-1, 4)


def read_coco(path: Path) -> CocoFile:
    """Read a file and check its keys, types, ids and boxes; masks are checked by :func:`mask_kind`.

    Raises:
        UserError: It is not there, is not JSON in UTF-8, or an entry is not as :class:`CocoFile` says.
    """
    content = _read_json(path)
    absent = {"images", "categories"} - set(content if isinstance(content, dict) else ())
    if absent:
        found = f"no {' and no '.join(sorted(absent))}" if isinstance(content, dict) else _kind(content)
        raise UserError(f"expected COCO's images, annotations and categories in {path}, found {found}")
    for key in ("images", "categories", "annotations"):
        if key == "annotations" and key not in content:
            continue
        _check_entries(path, key, content[key])
    coco = CocoFile(path, content["images"], content.get("annotations"), content["categories"])
    _check_unique(path, "images", "id", coco.images)
    _check_unique(path, "categories", "id", coco.categories)
    _check_unique(path, "categories", "name", coco.categories)
    _check_unique(path, "annotations", "id", coco.annotations or [])
    for place, annotation in enumerate(coco.annotations or []):
        if annotation.get("iscrowd") not in (0, 1, None):  # mmdet takes the text "0" for yes
            raise UserError(
                f"expected as 'iscrowd' of annotations[{place}] in {path} 0 or 1, got {annotation['iscrowd']!r}"
            )
    return coco


def _read_json(path: Path) -> Any:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file" if path.exists() else "not there"
        raise UserError(f"expected a COCO annotation file, got {path}, which is {what}")
    with path.open("rb") as stream:
        begin = stream.read(64).lstrip()
        if begin.startswith(b"\xef\xbb\xbf"):
            raise UserError(
                f"expected JSON without a byte order mark in {path}, which pycocotools cannot read; take it off by "
                f"sed -i '1s/^\\xEF\\xBB\\xBF//' {path}"
            )
        if not begin.startswith((b"{", b"[", b"n")):  # before a whole file of something else is read
            raise UserError(
                f"expected COCO annotations in {path}, got a damaged file: it "
                + (f"begins with {begin[:8]!r}" if begin else "is empty")
            )
        stream.seek(0)
        data = stream.read()
    try:
        with _without_collection():
            return json.loads(data.decode("utf-8"), parse_constant=_no_number)
    except RecursionError:
        raise UserError(f"expected COCO annotations in {path}, got a damaged file: nested too deeply") from None
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"expected COCO annotations in {path}, got a damaged file: {reason}") from None


def _no_number(name: str) -> None:
    raise ValueError(f"it holds {name}, which is no number of JSON")


@contextmanager
def _without_collection() -> Iterator[None]:
    """Python's garbage collector visits all objects again and again while JSON makes millions of them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _check_entries(path: Path, key: str, entries: Any) -> None:
    if not isinstance(entries, list) or (not entries and key != "annotations"):
        found = "none" if entries == [] else _kind(entries)
        raise UserError(f"expected a list of {key} in {path}, got {found}")
    place = next((i for i, entry in enumerate(entries) if type(entry) is not dict), None)
    if place is not None:
        raise UserError(f"expected {key} with keys and values in {path}, got {key}[{place}], {_kind(entries[place])}")
    for name, (right, words) in _FIELDS[key].items():
        try:
            column = [entry[name] for entry in entries]
        except KeyError:
            lacking = [i for i, entry in enumerate(entries) if name not in entry]
            raise UserError(
                f"expected '{name}' in all {key} of {path}, {len(lacking)} of {len(entries)} have none (the first is "
                f"{key}[{lacking[0]}]); write it to the file: {words}"
            ) from None
        if not right(column):
            place = next(i for i, value in enumerate(column) if not right([value]))
            raise UserError(
                f"expected as '{name}' of {key}[{place}] in {path} {words}, got {str(column[place])[:80]!r}"
                + (f" ({_kind(column[place])})" if isinstance(column[place], (str, bool)) else "")
            )
    for flag in _FLAGS if key == "annotations" else ():
        place = next((i for i, entry in enumerate(entries) if not _is_flag(entry.get(flag))), None)
        if place is not None:
            raise UserError(
                f"expected '{flag}' of annotations[{place}] in {path} as 0 or 1, got "
                f"{str(entries[place][flag])[:80]!r} (a {_kind(entries[place][flag])}), which would count as 1"
            )


def _check_unique(path: Path, key: str, name: str, entries: Entries) -> None:
    values = [entry[name] for entry in entries]
    if len(set(values)) == len(values):
        return
    seen: set[Any] = set()
    twice = next(value for value in values if value in seen or seen.add(value))  # type: ignore[func-returns-value]
    raise UserError(
        f"expected every {name} of the {key} in {path} once, got {len(values)} with {len(set(values))} different ones "
        f"(the first repeated one is {twice!r}); number them anew"
    )


def _is_flag(value: Any) -> bool:
    """Whether a value is 0, 1, true, false or null, and no text such as ``"0"``, which is true for mmdet."""
    return value is None or (type(value) in (int, bool, float) and value in (0, 1))


def _kind(value: Any) -> str:
    names = {type(None): "null", str: "a text", bool: "true or false", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _finite(column: list[Any]) -> bool:
    try:
        return set(map(type, column)) <= _NUMBERS and bool(np.isfinite(np.array(column, dtype=np.float64)).all())
    except OverflowError:
        return False


def _ids(column: list[Any]) -> bool:
    return set(map(type, column)) <= _IDS and _finite([value for value in column if type(value) is not str])


def _names(column: list[Any]) -> bool:
    return set(map(type, column)) <= {str} and all(column) and not any("\0" in text for text in column)


def _sides(column: list[Any]) -> bool:
    return set(map(type, column)) <= {int} and all(0 < side <= LARGEST for side in column)


def _boxes(column: list[Any]) -> bool:
    return set(map(type, column)) <= {list} and set(map(len, column)) <= {4} and _finite([*chain.from_iterable(column)])


_FLAGS = ("iscrowd", "ignore")  # of an annotation; they may be absent
# Of each kind of entry: whether a column of values is right, and in words what is.
_FIELDS: dict[str, dict[str, tuple[Callable[[list[Any]], bool], str]]] = {
    "images": {
        "id": (_ids, "a finite number or a text"),
        "file_name": (_names, "the image's name in its folder"),
        "height": (_sides, "the image's height in pixels, a whole number"),
        "width": (_sides, "the image's width in pixels, a whole number"),
    },
    "categories": {"id": (_ids, "a finite number or a text"), "name": (_names, "the class's name")},
    "annotations": {
        "id": (_ids, "a finite number or a text"),
        "image_id": (_ids, "the id of an image"),
        "category_id": (_ids, "the id of a category"),
        "bbox": (_boxes, "a list of 4 finite numbers: x, y, width and height in pixels"),
        "area": (_finite, "the object's area in pixels, or its box's width times height"),
    },
}


def mask_kind(segmentation: Any, height: int, width: int, runs: bool = True) -> str:
    """The kind of an object's mask: ``polygons``, ``rle``, ``short`` (no polygon has 3 points) or ``none``.

    Args:
        segmentation: The annotation's value; None if it has none.
        height: Of the annotation's image in pixels.
        width: Likewise.
        runs: Also read the runs of compressed masks, which takes some 10 µs each.

    Raises:
        ValueError: Nothing that a mask can be; the message says what is wrong. pycocotools would read memory that it
            has not written, take as much memory as a polygon is long, or fail.
    """
    if not segmentation:
        return "none"
    if isinstance(segmentation, dict):
        _check_rle(segmentation, height, width, runs)
        return "rle"
    if not isinstance(segmentation, list):
        raise ValueError(f"{_kind(segmentation)} where polygons, [[x1, y1, x2, y2, ...], ...], or RLE is expected")
    kind, limit = "short", 2 * max(height, width)
    for polygon in segmentation:
        if type(polygon) is not list:
            raise ValueError("a flat list; polygons are a list of lists, [[x1, y1, x2, y2, ...], ...]")
        try:
            inside = not polygon or (min(polygon) >= -limit and max(polygon) <= limit)
        except TypeError:
            raise ValueError("a polygon that is no list of numbers x1, y1, x2, y2, ...") from None
        if not inside:
            raise ValueError(f"a polygon far outside its image of {height} x {width} pixels")
        if len(polygon) >= 6 and not len(polygon) % 2:
            kind = "polygons"
    return kind


def _check_rle(mask: dict[str, Any], height: int, width: int, runs: bool) -> None:
    size, counts = mask.get("size"), mask.get("counts")
    if size != [height, width]:
        raise ValueError(f"RLE with size {str(size)[:40]}, where the image's height and width are {[height, width]}")
    if isinstance(counts, list):
        if not set(map(type, counts)) <= {int} or min(counts, default=0) < 0:
            raise ValueError("RLE whose counts are not whole numbers from 0")
        total = sum(counts)
    elif not isinstance(counts, str):
        raise ValueError("RLE without counts")
    elif runs:
        total = sum(read_runs(counts))
    else:
        return
    if total != height * width:
        raise ValueError(f"RLE with runs of {total} pixels, where the image has {height * width}")


def read_runs(counts: str) -> list[int]:
    """The run lengths of a compressed RLE mask: groups of 5 bits, and from the fourth on differences to two before.

    Raises:
        ValueError: The text ends inside a number, or a run is negative.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError("RLE with a character that no compressed mask has")
        value |= (bits & 31) << shift
        shift += 5
        if shift > _LONGEST_RUN:
            raise ValueError("RLE with a number that is longer than any run")
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            raise ValueError("RLE with a negative run")
        runs.append(value)
        value = shift = 0
    if shift:
        raise ValueError("RLE that ends inside a number")
    return runs


def spread(items: Sequence[Any], number: int) -> list[Any]:
    """At most ``number`` items, evenly spaced from the first to the last."""
    if len(items) <= number:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, number).astype(int)]
