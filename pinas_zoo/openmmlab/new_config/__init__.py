"""A config that fits a user's own data: look at the data, choose sizes and a schedule, write it.

:func:`new_config` does all of it; ``pinas-zoo new-config`` prints what it returns. ``coco_folder`` and ``mask_folder``
look at the two kinds of data, ``schedule`` chooses numbers, ``config_text`` writes them down.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.new_config import coco_folder, config_text, mask_classes
from pinas_zoo.openmmlab.new_config.backbone import find_backbone
from pinas_zoo.openmmlab.new_config.config_text import Request
from pinas_zoo.openmmlab.new_config.schedule import Schedule, schedule
from pinas_zoo.weights.atomic import write_text


@dataclass(frozen=True)
class NewConfig:
    """What was written, and what is worth knowing.

    Attributes:
        path: The config.
        files: Files beside it that it reads: splits and corrected copies of annotations.
        classes: Names.
        images: Numbers of training and of validation images.
        schedule: The training's.
        notes: What is missing or odd in the data, or was decided here; one line each.
    """

    path: Path
    files: tuple[Path, ...]
    classes: tuple[str, ...]
    images: tuple[int, int]
    schedule: Schedule
    notes: tuple[str, ...]


def new_config(
    task: str,
    data: str | Path,
    backbone: str,
    out: str | Path | None = None,
    *,
    weights: str | None = None,
    annotations: Sequence[str | Path] = (),
    batch_size: int | None = None,
    iterations: int | None = None,
    overwrite: bool = False,
    command: str = "pinas_zoo.openmmlab.new_config",
) -> NewConfig:
    """Write the config of a detector or segmenter for a folder of images.

    Args:
        task: ``det`` for COCO annotations, ``seg`` for index masks.
        data: The folder.
        backbone: A name, digits, a model folder or ``hf-hub:…``.
        out: The config's file; None: a name made of the folder's and the backbone's, in the current folder.
        weights: A checkpoint of the backbone instead of its own; ``none`` for random weights.
        annotations: The annotation files of training and validation, instead of a search (``det``).
        batch_size: Images an iteration, instead of the default.
        iterations: Instead of a number that fits the images.
        overwrite: Replace files of the same names.
        command: Stands in the config's first line.

    Raises:
        UserError: The data or the backbone is not usable, or a file is there.
    """
    root = Path(os.path.expanduser(data)).resolve()
    if not root.is_dir():
        raise UserError(f"expected the folder of your images as --data, got {data}, which is {_what(root)}")
    if annotations and task != "det":
        raise UserError("expected --annotations with det, got it with seg, whose masks are images")
    if len(annotations) > 2:
        raise UserError(f"expected the annotations of training and validation, got {len(annotations)} files")
    for number, least, option in ((batch_size, 1, "--batch-size"), (iterations, 1, "--iterations")):
        if number is not None and number < least:
            raise UserError(f"expected {option} of {least} and more, got {number}")
    path = Path(out or f"{_plain(root.name)}_{task}_{_plain(Path(backbone).name)}.py").expanduser()
    if path.suffix != ".py" or path.is_dir():
        raise UserError(f"expected a file *.py as --out, got {path}")
    notes: list[str] = []
    chosen = find_backbone(backbone, weights, notes)
    if task == "det":
        coco = coco_folder.look(root, [Path(os.path.expanduser(file)).resolve() for file in annotations])
        splits = {"train": coco.train, "val": coco.val}
        images = len(coco.train.coco.images), len(coco.val.coco.images)
        request = Request(command, root, path, chosen, schedule(task, images[0], batch_size, iterations))
        texts = {path.name: config_text.detector(request, coco)}
        for name, split in splits.items():
            if split.changed:
                content = {part: getattr(split.coco, part) for part in ("images", "annotations", "categories")}
                texts[config_text.coco_name(request, name)] = json.dumps(content)
        classes, found = coco.classes, coco.notes
    else:
        masks = mask_classes.look(root)
        request = Request(command, root, path, chosen, schedule(task, masks.images[0], batch_size, iterations))
        texts = {path.name: config_text.segmenter(request, masks), **config_text.list_files(request, masks)}
        classes, found, images = masks.classes, masks.notes, masks.images
    there = [name for name in texts if (path.parent / name).exists()]
    if there and not overwrite:
        raise UserError(
            f"expected a new file, got {path.parent / there[0]}, which is there; give another --out, or --overwrite"
        )
    for name, text in texts.items():
        write_text(path.parent / name, text)
    files = tuple(path.parent / name for name in texts if name != path.name)
    return NewConfig(path, files, classes, images, request.schedule, (*found, *notes))


def _what(path: Path) -> str:
    return "a file" if path.exists() else "not there"


def _plain(name: str) -> str:
    """Letters, digits and dashes of a name, for the name of a file."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "-") else "_" for c in name.rpartition(":")[2]).strip("_")[
        :40
    ] or os.path.basename(os.getcwd())
