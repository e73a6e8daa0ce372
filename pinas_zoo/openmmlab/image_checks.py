"""Checks of the image files that a training or test will read: there, whole, of the expected size, not too narrow.

All files are looked up. Of large sets, at most ``OPENED`` are opened, which reads a header, and ``DECODED`` are read to
their end, evenly spaced through the set.
"""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from PIL import Image

from pinas_zoo.data.image_files import why_unreadable
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.coco_annotations import spread

OPENED = 2000
DECODED = 200
LARGEST_DECODED = 2**26  # pixels; larger images are opened only
_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF")
_POSTSCRIPT = (b"%!PS", b"\xc5\xd0\xd3\xc6")  # the second is of EPS with a preview
_ORIENTATION = 0x0112  # EXIF's tag; from 5 on, the image is shown with its sides exchanged
Size = tuple[int, int]


@dataclass(frozen=True)
class Header:
    """The beginning of an image file.

    Attributes:
        size: Height and width in pixels as OpenCV gives them, which turns JPEG files as their EXIF data say.
        mode: Pillow's name of what a pixel is, such as ``RGB`` or ``L``.
        format: Pillow's name, such as ``PNG``; the file's own, whatever its name ends with.
    """

    size: Size
    mode: str
    format: str


def read_header(path: Path) -> Header:
    """Open an image without decoding it.

    Raises:
        UserError: It is not there, or no image of a format that OpenCV reads, or it ends too early.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats()) as image:
                width, height = image.size
                form, mode = image.format or "", image.mode
                turned = form in ("JPEG", "MPO") and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception as error:  # Pillow raises many types of errors for damaged files
        reason = " ".join(str(error).split()).replace(repr(str(path)), "it")[:160] or type(error).__name__
        if path.is_file() and not path.stat().st_size:
            reason = "it is empty (0 bytes)"
        raise UserError(f"expected an image, got {path}, which cannot be read: {reason}") from None
    torn = _ends_early(path, form)
    if torn and (damage := why_unreadable(path)):
        raise UserError(f"{damage}; {torn}")
    return Header((width, height) if turned else (height, width), mode, form)


def formats() -> list[str]:
    """Names of the formats that OpenCV reads, too, as far as this Pillow has them; none starts another program."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _ends_early(path: Path, form: str) -> str:
    """Words when a JPEG or PNG file lacks its end mark; a few sound files have other bytes after it."""
    mark = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}.get(form)
    if mark is None:
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - 64))
        return "" if stream.read().rstrip(b"\0").endswith(mark) else f"the end mark of a {form} file is missing"


def check_no_postscript(paths: Sequence[Path]) -> None:
    """Look at the first bytes of files that Pillow will open by their content, whatever their names.

    Raises:
        UserError: One is PostScript, for which Pillow starts Ghostscript.
    """
    for path in paths:
        with path.open("rb") as stream:
            if stream.read(4) in _POSTSCRIPT:
                raise UserError(f"expected an image, got {path}, which is a PostScript program; save it as PNG")


def check_present(paths: Sequence[Path], where: str) -> None:
    """Look all files up, one listing a folder.

    Args:
        paths: Of images or masks.
        where: What names them, for the message.

    Raises:
        UserError: Some are not there, are empty, or are no regular files.
    """
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    missing: list[Path] = []
    empty: list[Path] = []
    for folder, members in by_folder.items():
        sizes = _sizes(folder)
        missing += [path for path in members if path.name not in sizes]
        empty += [path for path in members if sizes.get(path.name) == 0]
    for found, words in ((missing, "not there, or no regular file"), (empty, "empty (0 bytes)")):
        if found:
            raise UserError(
                f"expected the {len(paths)} files that {where} names, {len(found)} of them "
                f"{'is' if len(found) == 1 else 'are'} {words}, the first is {min(found)}; get them, or take them out"
            )


def _sizes(folder: Path) -> dict[str, int]:
    """Names and sizes in bytes of the regular files in a folder; links are followed."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def check_images(paths: Sequence[Path], sizes: Mapping[Path, Size], pipeline: Any, where: str, all: bool) -> None:
    """Open images and compare them with what the annotations and the pipeline expect.

    Args:
        paths: Of the images; all must be there.
        sizes: Height and width that the annotations state, where they do.
        pipeline: The data set's, whose resizing must leave a pixel of each side.
        where: The annotation file, for messages.
        all: Read every image to its end.

    Raises:
        UserError: An image is damaged, of another size, or too narrow. The message names it.
    """
    edges = smallest_edges(pipeline)
    for path in paths if all else spread(paths, OPENED):
        header = read_header(path)
        if not cv2.haveImageReader(str(path)):
            raise UserError(f"expected an image that OpenCV reads, got {path}, a {header.format} file; convert it")
        expected = sizes.get(path)
        turned = header.format not in ("JPEG", "MPO", "PNG") and expected == header.size[::-1]
        if expected is not None and expected != header.size and not turned:
            (h, w), (height, width) = expected, header.size
            cure = "a photo is turned as its EXIF data say" if expected == header.size[::-1] else "correct the file"
            raise UserError(f"expected {path} of {h} x {w} pixels, which {where} says, got {height} x {width}; {cure}")
        check_resizing(path, header.size, edges)
    for path in paths if all else spread(paths, DECODED):
        height, width = read_header(path).size
        if height * width <= LARGEST_DECODED and (reason := why_unreadable(path)):
            raise UserError(reason)


def check_resizing(path: Path, size: Size, edges: Sequence[tuple[float, float]]) -> None:
    """Compute the image's shorter side after each way of resizing, as mmcv does.

    Raises:
        UserError: It is 0, on which OpenCV fails in a worker.
    """
    for long, short in edges:
        scale = min(long / max(size), short / min(size))
        if int(min(size) * scale + 0.5) < 1:
            raise UserError(
                f"expected images that keep a pixel when they are resized to {long:g} x {short:g}, got {path} of "
                f"{size[0]} x {size[1]} pixels; take it out, cut it, or set keep_ratio=False"
            )


def smallest_edges(pipeline: Any) -> list[tuple[float, float]]:
    """The longer and shorter edge that images are fitted into, the smallest of each transform that keeps ratios."""
    edges = []
    for step in transforms(pipeline):
        scales = step.get("scales", step.get("scale"))
        kept = step.get("keep_ratio", False) or step.get("resize_type") == "ResizeShortestEdge"
        if scales is None or not kept or not str(step.get("type")).endswith("Resize"):
            continue
        scales = scales if isinstance(scales, Sequence) and isinstance(scales[0], Sequence) else [scales]
        pairs = [pair for pair in scales if isinstance(pair, Sequence) and len(pair) == 2]
        if pairs:
            ratio = min(step.get("ratio_range") or (1.0,))
            edges.append((min(max(p) for p in pairs) * ratio, min(min(p) for p in pairs) * ratio))
    return edges


def transforms(pipeline: Any) -> Iterator[Mapping[str, Any]]:
    """All steps of a pipeline, those inside of others, such as RandomChoice, too."""
    for step in pipeline or ():
        if isinstance(step, Mapping):
            yield step
            yield from transforms(step.get("transforms"))
        elif isinstance(step, Sequence) and not isinstance(step, str):
            yield from transforms(step)
