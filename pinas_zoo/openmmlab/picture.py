"""Pictures of predictions: boxes, masks and classes drawn onto an image, with names, scores and a legend.

Drawn by Pillow, in sizes that follow the picture's, so that text can be read on small and on large images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]
OPACITY = 0.45  # of masks
LEGEND_SHARE = 0.25  # of the picture that the legend may cover
READABLE = 320  # pixels of the longer side; smaller images are drawn enlarged by a whole factor
LEAST_TEXT = 11  # pixels


@dataclass(frozen=True)
class DrawnObject:
    """One object of a detector: its class, score, box in pixels (x1, y1, x2, y2) and mask (H x W, or None)."""

    label: str
    color: Color
    score: float
    box: Box
    mask: np.ndarray[Any, Any] | None = None


@dataclass(frozen=True)
class Entry:
    """A line of the legend."""

    text: str
    color: Color


def draw_objects(image: Image.Image, objects: Sequence[DrawnObject]) -> Image.Image:
    """The image with each object's mask, box, name and score; the best ones on top. The legend counts classes."""
    factor = _factor(image)
    canvas = _enlarged(image, factor)
    ordered = sorted(objects, key=lambda each: each.score)
    pixels: Any = np.asarray(canvas).astype(np.float32)  # H x W x 3
    for each in ordered:
        if each.mask is not None:
            inside = each.mask.astype(np.uint8).repeat(factor, 0).repeat(factor, 1)  # H x W
            pixels[inside > 0] = (1 - OPACITY) * pixels[inside > 0] + OPACITY * np.array(each.color, np.float32)
            edges, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)  # objects of a class stay apart
            cv2.drawContours(pixels, edges, -1, each.color, 1)
    canvas = Image.fromarray(pixels.round().astype(np.uint8))
    draw, size = ImageDraw.Draw(canvas), _text_size(canvas)
    boxes: list[Box] = [tuple(factor * side for side in each.box) for each in ordered]  # type: ignore[misc]
    for each, box in zip(ordered, boxes, strict=True):
        draw.rectangle(_inside(box, canvas), outline=each.color, width=max(2, size // 7))
    taken: list[Box] = []
    for each, box in reversed(list(zip(ordered, boxes, strict=True))):  # the best one's name takes its place first
        taken.append(_name(draw, f"{each.label} {100 * each.score:.0f} %", each.color, box, taken, canvas, size))
    counts: dict[str, int] = {}
    for each in reversed(ordered):
        counts[each.label] = counts.get(each.label, 0) + 1
    colors = {each.label: each.color for each in ordered}
    entries = [Entry(f"{label} × {count}", colors[label]) for label, count in counts.items()]
    _legend(canvas, entries, [*boxes, *taken])
    return canvas


def draw_classes(
    image: Image.Image, labels: np.ndarray[Any, Any], names: Sequence[str], colors: Sequence[Color]
) -> Image.Image:
    """The image under the colours of its pixels' classes, each class named in its largest region and in the legend.

    Args:
        image: H x W.
        labels: H x W of class numbers.
        names: Of the classes.
        colors: Likewise.
    """
    factor = _factor(image)
    canvas = _enlarged(image, factor)
    table = np.asarray(colors, np.float32)  # C x 3
    painted = table[labels].repeat(factor, 0).repeat(factor, 1)  # H x W x 3
    pixels = (1 - OPACITY) * np.asarray(canvas).astype(np.float32) + OPACITY * painted
    canvas = Image.fromarray(pixels.round().astype(np.uint8))
    draw, size = ImageDraw.Draw(canvas), _text_size(canvas)
    shares = np.bincount(labels.ravel(), minlength=len(names)) / labels.size
    order = [int(k) for k in shares.argsort()[::-1] if shares[k]]
    taken: list[Box] = []
    for k in order:
        place = _middle(labels == k)
        if place is not None:
            x, y = (factor * side for side in place)
            width, height = _measure(names[k], size)
            where = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            if not any(_overlap(where, other) for other in taken):
                taken.append(_label(draw, names[k], colors[k], (where[0], where[1]), canvas, size))
    _legend(canvas, [Entry(f"{names[k]} {_percent(shares[k])}", colors[k]) for k in order], taken)
    return canvas


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _factor(image: Image.Image) -> int:
    return max(1, -(-READABLE // max(image.size))) if max(image.size) < READABLE else 1


def _enlarged(image: Image.Image, factor: int) -> Image.Image:
    if factor == 1:
        return image.convert("RGB")
    return image.convert("RGB").resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _text_size(canvas: Image.Image) -> int:
    return max(LEAST_TEXT, round(min(canvas.size) / 36))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """DejaVu Sans, which matplotlib brings and which has the letters of most alphabets; else Pillow's own."""
    try:
        import matplotlib

        return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
    except (ImportError, OSError):
        return ImageFont.load_default(size)


def _measure(text: str, size: int) -> tuple[float, float]:
    """Width and height of a label with its margins."""
    left, _, right, _ = _font(size).getbbox(text)
    return right - left + size * 0.5, size * 1.35


def _on(color: Color) -> Color:
    """Black or white, whichever is easier to read on the colour."""
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _inside(box: Box, canvas: Image.Image) -> Box:
    x1, y1, x2, y2 = box
    right, bottom = canvas.width - 1, canvas.height - 1
    x1, y1 = min(max(x1, 0), right), min(max(y1, 0), bottom)
    return x1, y1, max(x1, min(x2, right)), max(y1, min(y2, bottom))


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _name(
    draw: ImageDraw.ImageDraw,
    text: str,
    color: Color,
    box: Box,
    taken: Sequence[Box],
    canvas: Image.Image,
    size: int,
) -> Box:
    """Write an object's name above its box, in it or below it, where it covers no other name."""
    width, height = _measure(text, size)
    x1, y1, x2, y2 = _inside(box, canvas)
    places = [
        (x1, y1 - height),
        (x1, y1),
        (x1, y2 - height),
        (x1, y2),
        (x2 - width, y1 - height),
        (x2 - width, y2 - height),
    ]
    free = [
        (x, y)
        for x, y in places
        if 0 <= y <= canvas.height - height
        and not any(_overlap((x, y, x + width, y + height), other) for other in taken)
    ]
    return _label(draw, text, color, (free or [(x1, max(0, y1 - height))])[0], canvas, size)


def _label(
    draw: ImageDraw.ImageDraw, text: str, color: Color, corner: tuple[float, float], canvas: Image.Image, size: int
) -> Box:
    """Write text on its colour, moved inside the picture; where it stands."""
    width, height = _measure(text, size)
    x = max(0, min(corner[0], canvas.width - width))
    y = max(0, min(corner[1], canvas.height - height))
    box = (x, y, x + width, y + height)
    draw.rectangle(box, fill=color)
    draw.text((x + size * 0.25, y + height / 2), text, fill=_on(color), font=_font(size), anchor="lm")
    return box


def _middle(region: np.ndarray[Any, Any]) -> tuple[float, float] | None:
    """x, y of a point well inside the largest part of a region, H x W; None where it is too narrow for a name."""
    inside = cv2.copyMakeBorder(region.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    _, far, _, (x, y) = cv2.minMaxLoc(distance)
    return (x - 1, y - 1) if far >= max(4, min(region.shape) / 40) else None


def _legend(canvas: Image.Image, entries: Sequence[Entry], used: Sequence[Box]) -> None:
    """Draw the legend in the corner where it covers least; as many lines as a part of the picture holds."""
    if not entries:
        return
    size = _text_size(canvas)
    line, margin = round(size * 1.5), round(size * 0.5)
    fit = max(1, int((canvas.height * 0.9 - 2 * margin) // line))
    shown = list(entries)
    while True:
        texts = [entry.text for entry in shown]
        rest = len(entries) - len(shown)
        texts += [f"and {rest} more"] if rest else []
        width = max(_font(size).getbbox(text)[2] for text in texts) + line + 2 * margin
        height = len(texts) * line + 2 * margin
        if len(shown) == 1 or (len(texts) <= fit and width * height <= LEGEND_SHARE * canvas.width * canvas.height):
            break
        shown.pop()
    corners = [(x, y) for y in (0, canvas.height - height) for x in (canvas.width - width, 0)]
    x, y = min(corners, key=lambda c: sum(_common((c[0], c[1], c[0] + width, c[1] + height), box) for box in used))
    panel = Image.new("RGBA", (round(width), round(height)), (255, 255, 255, 215))
    draw = ImageDraw.Draw(panel)
    for row, text in enumerate(texts):
        top = margin + row * line
        if row < len(shown):
            draw.rectangle((margin, top + line * 0.15, margin + line * 0.7, top + line * 0.85), fill=shown[row].color)
        draw.text((margin + line, top + line / 2), text, fill=(0, 0, 0), font=_font(size), anchor="lm")
    canvas.paste(panel, (round(x), round(y)), panel)


def _common(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
