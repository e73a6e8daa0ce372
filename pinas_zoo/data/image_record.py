"""The images of a run, as its folder records them: a later stage, or another worker, has to see the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pinas_zoo.bounded_reading import MIB, read_json
from pinas_zoo.data.sources import digest, labels_of
from pinas_zoo.errors import UserError
from pinas_zoo.weights.atomic import write_json

FILE = "images.json"
LIMIT = 64 * MIB


class Part(BaseModel):
    """Images of one source, before any limit."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    images: int
    digest: str  # of their names, labels and sizes


class ImageRecord(BaseModel):
    """What tells the images of a run from others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    classes: tuple[str, ...]
    train: Part | None = None
    test: Part | None = None


def record_of(class_names: Sequence[str], sources: Mapping[str, Any]) -> dict[str, Any]:
    """What tells images from others: the classes, and the number and a digest of each source's images.

    Args:
        class_names: Of the images.
        sources: ``train`` and ``test``: all images in files, before any limit; empty for images that do not change.
    """
    counted = {
        name: {"images": len(source), "digest": digest(source, labels_of(source).tolist())}
        for name, source in sources.items()
    }
    return {"classes": list(class_names), **counted}


def check_images(folder: Path, found: Mapping[str, Any], write: bool) -> None:
    """Compare images with the record in a run's folder.

    Args:
        folder: Folder of the run.
        found: The images, from :func:`record_of`.
        write: Whether to record them if the folder has no record, as for a run of an earlier version.

    Raises:
        UserError: They are not those that earlier stages used, or the record is damaged.
    """
    path = folder / FILE
    if not path.exists():
        if write:
            write_json(path, dict(found))
        return
    before, now = read_record(path), ImageRecord.model_validate(found)
    change = _class_change(before.classes, now.classes) or _part_change(before, now)
    if change:
        raise UserError(
            f"expected the images with which the run {folder} began, got others: {change}; bring them back, or begin "
            "anew with another --work-dir"
        )


def read_record(path: Path) -> ImageRecord:
    """Read and check a record.

    Raises:
        UserError: It is not a file, damaged or too large.
    """
    what, cure = "the record of a run's images", "delete it if they are the same"
    try:
        return ImageRecord.model_validate(read_json(path, what, LIMIT))
    except ValidationError:
        raise UserError(f"expected {what} in {path}, got a damaged file; {cure}") from None
    except UserError as error:
        raise UserError(f"{error}; {cure}") from None


def _class_change(before: tuple[str, ...], now: tuple[str, ...]) -> str:
    if before == now:
        return ""
    added, removed = [n for n in now if n not in set(before)], [n for n in before if n not in set(now)]
    if not added and not removed:
        return "their classes have another order"
    parts = [(added, "not there before"), (removed, "no longer there")]
    return " and ".join(
        f"{len(names)} {'class' if len(names) == 1 else 'classes'} {what} ({', '.join(map(repr, names[:3]))})"
        for names, what in parts
        if names
    )


def _part_change(before: ImageRecord, now: ImageRecord) -> str:
    for name, old, new in (("training", before.train, now.train), ("test", before.test, now.test)):
        if old is None or new is None or old == new:
            continue
        if old.images != new.images:
            return f"{new.images} {name} images, {old.images} before"
        return f"{name} images of other names, labels or sizes in bytes"
    return ""
