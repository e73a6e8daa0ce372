"""A network drawn layer by layer: as a picture (SVG, PNG), and as a table for the terminal and the model card."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from pinas_zoo.analysis.cost import Cost, ImageSize, head_cost, head_width, layer_costs, layer_sizes, stem_cost
from pinas_zoo.models.blocks import CANDIDATES, EXPANSION
from pinas_zoo.models.spec import NetworkSpec

COLOURS = ("#0072b2", "#b84a00", "#007a59", "#aa4499")  # one a candidate; dark enough for white digits on them
CELL, GAP, NAME_WIDTH, TOP = 32, 12, 90, 68  # px; the gap lies between stages
STAGE_WIDTH = 64  # px; at least, so that the labels under a stage of one layer do not touch
INK, PALE, LINE, WHITE = "#1a1a1a", "#e6eaee", "#a3a9b0", "#ffffff"
FONT = "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


@dataclass(frozen=True)
class LayerRow:
    """One row of the layer table; ``stride`` is the layer's own, ``size`` its output's height and width."""

    layer: str
    candidate: str
    in_chs: int
    out_chs: int
    stride: int
    size: tuple[int, int]
    params: int
    macs: int


HEADINGS = ("layer", "candidate", "in", "out", "stride", "size", "params", "multiply-adds")


def layer_table(spec: NetworkSpec, image_size: ImageSize = 224) -> list[LayerRow]:
    """Stem, every layer and (unless ``num_classes=0``) the head; the costs add up to the network's.

    The stem's row contains the max pool, hence stride 4. The head's size is 1 x 1, after the global pool.
    """
    layers, stem_width = spec.layers(), spec.stem_width
    costs, sizes = layer_costs(layers, image_size), layer_sizes(layers, image_size)
    stem = stem_cost(stem_width, image_size, spec.in_chans)
    rows = [_row("stem", "3 x 3x3", spec.in_chans, stem_width * 2, 4, sizes[0][0], stem)]
    for layer, choice, cost, (_, size) in zip(layers, spec.arch, costs, sizes, strict=True):
        name = f"layer{layer.stage + 1}.{layer.block}"
        rows.append(_row(name, str(CANDIDATES[choice]), layer.in_chs, layer.out_chs, layer.stride, size, cost[choice]))
    if spec.num_classes:
        rows.append(_row("fc", "linear", head_width(spec), spec.num_classes, 1, (1, 1), head_cost(spec)))
    return rows


def table_cells(rows: Sequence[LayerRow]) -> list[tuple[str, ...]]:
    """The rows as text, in the order of :data:`HEADINGS`: thousands separated, multiply-adds in millions."""
    return [
        (
            row.layer,
            row.candidate,
            str(row.in_chs),
            str(row.out_chs),
            str(row.stride),
            f"{row.size[0]}x{row.size[1]}",
            f"{row.params:,}",
            f"{row.macs / 1e6:,.2f} M",
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Box:
    """A rounded square of a layer and candidate; the chosen one is marked with its digit."""

    x: float
    y: float
    fill: str
    mark: str = ""
    size: float = CELL - 4


@dataclass(frozen=True)
class Label:
    """Text; ``y`` is the baseline, ``anchor`` start, middle or end."""

    x: float
    y: float
    text: str
    size: int = 16
    bold: bool = False
    anchor: str = "start"
    fill: str = INK


@dataclass(frozen=True)
class Line:
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Picture:
    """What is drawn, before it is written as SVG or PNG; lengths in px."""

    width: float
    height: float
    title: str
    description: str
    shapes: list[Box | Label | Line] = field(default_factory=list)


def network_svg(spec: NetworkSpec, title: str | None = None) -> str:
    """The network as one self-contained ``<svg>`` element: four rows of candidates, one column a layer, chosen filled.

    Without scripts, links or fonts of its own, so that it can stand inside an HTML page; it scales to the width that
    it is given. Screen readers get the title and a description of every layer.
    """
    picture = network_picture(spec, title)
    width, height = f"{picture.width:g}", f"{picture.height:g}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'width="{width}" height="{height}" style="max-width:100%;height:auto;background:{WHITE};{FONT}">',
        f"<title>{escape(picture.title)}</title>",
        f"<desc>{escape(picture.description)}</desc>",
        f'<rect width="{width}" height="{height}" fill="{WHITE}"/>',
        *map(_svg, picture.shapes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def network_png(spec: NetworkSpec, title: str | None = None, scale: int = 2) -> bytes:
    """The picture of :func:`network_svg` as a PNG file, ``scale`` pixels to the SVG's one.

    Text is in Pillow's own font, which has Latin letters only.

    Raises:
        ImportError: Pillow before 10.1, or without FreeType: its font cannot be scaled.
    """
    from PIL import Image, ImageDraw

    picture = network_picture(spec, title)
    fine = scale * 2  # drawn at twice the resolution, then halved: smooth edges
    image = Image.new("RGB", (round(picture.width * fine), round(picture.height * fine)), WHITE)
    canvas = ImageDraw.Draw(image)
    for shape in picture.shapes:
        if isinstance(shape, Line):
            canvas.line([(x * fine, y * fine) for x, y in shape.points], fill=LINE, width=2 * fine, joint="curve")
        elif isinstance(shape, Box):
            corners = [v * fine for v in (shape.x, shape.y, shape.x + shape.size, shape.y + shape.size)]
            canvas.rounded_rectangle(corners, radius=5 * fine, fill=shape.fill)
            if shape.mark:
                _png_text(canvas, _mark(shape), fine)
        else:
            _png_text(canvas, shape, fine)
    buffer = io.BytesIO()
    image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def network_picture(spec: NetworkSpec, title: str | None = None) -> Picture:
    """The shapes of the picture, from the back to the front."""
    choices, depths, stem_width = spec.arch, spec.depths, spec.stem_width
    title = title or f"Network {choices}"
    shown = title if len(title) <= 48 else title[:47] + "…"
    stage_lefts, stage_widths = _stage_columns(depths)
    lefts = [
        stage_lefts[layer.stage] + (stage_widths[layer.stage] - depths[layer.stage] * CELL) / 2 + layer.block * CELL
        for layer in spec.layers()
    ]
    bottom = TOP + len(CANDIDATES) * CELL
    picture = Picture(
        width=max(stage_lefts[-1] + stage_widths[-1] + 10, 24 + 12 * len(shown)),
        height=bottom + 76,
        title=title,
        description=_description(spec),
    )
    shapes = picture.shapes
    shapes.append(Label(12, 26, shown, size=19, bold=True))
    shapes.append(Label(12, 50, f"stem {stem_width}-{stem_width}-{stem_width * 2} channels, stride 4"))
    for row, candidate in enumerate(CANDIDATES):
        top = TOP + row * CELL
        shapes.append(Label(NAME_WIDTH - 8, top + CELL / 2 + 6, str(candidate), anchor="end", fill=COLOURS[row]))
        shapes += [Box(left + 2, top + 2, PALE) for left in lefts]
    tops = [TOP + choice * CELL for choice in choices]
    shapes.append(Line(tuple((left + CELL / 2, top + CELL / 2) for left, top in zip(lefts, tops, strict=True))))
    for left, top, choice in zip(lefts, tops, choices, strict=True):
        shapes.append(Box(left + 2, top + 2, COLOURS[choice], mark=str(choice)))
    for stage, (left, size) in enumerate(zip(stage_lefts, stage_widths, strict=True)):
        middle = left + size / 2
        shapes.append(Line(((left + 2, bottom + 8), (left + size - 2, bottom + 8))))
        shapes.append(Label(middle, bottom + 28, f"layer{stage + 1}", bold=True, anchor="middle"))
        shapes.append(Label(middle, bottom + 47, f"/{4 * 2**stage}", anchor="middle"))
        shapes.append(Label(middle, bottom + 66, f"{spec.widths[stage] * EXPANSION} ch", anchor="middle"))
    return picture


def _stage_columns(depths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Left edge and width of each stage, in px."""
    widths = [max(depth * CELL, STAGE_WIDTH) for depth in depths]
    lefts = [NAME_WIDTH]
    for width in widths[:-1]:
        lefts.append(lefts[-1] + width + GAP)
    return lefts, widths


def _row(
    layer: str, candidate: str, in_chs: int, out_chs: int, stride: int, size: tuple[int, int], cost: Cost
) -> LayerRow:
    return LayerRow(layer, candidate, in_chs, out_chs, stride, size, cost.params, cost.macs)


def _svg(shape: Box | Label | Line) -> str:
    if isinstance(shape, Line):
        points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
        return f'<polyline points="{points}" fill="none" stroke="{LINE}" stroke-width="2"/>'
    if isinstance(shape, Box):
        box = (
            f'<rect x="{shape.x:g}" y="{shape.y:g}" width="{shape.size:g}" height="{shape.size:g}" rx="5" '
            f'fill="{shape.fill}"/>'
        )
        return f'<g class="chosen">{box}{_svg(_mark(shape))}</g>' if shape.mark else box
    weight = 600 if shape.bold else 400
    return (
        f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size}" font-weight="{weight}" '
        f'text-anchor="{shape.anchor}" fill="{shape.fill}">{escape(shape.text)}</text>'
    )


def _mark(box: Box) -> Label:
    middle = box.size / 2
    return Label(box.x + middle, box.y + middle + 6, box.mark, size=17, bold=True, anchor="middle", fill=WHITE)


def _png_text(canvas: Any, label: Label, scale: int) -> None:
    from PIL import ImageFont

    font = ImageFont.load_default(label.size * scale)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ImportError("expected Pillow 10.1 or newer with FreeType, whose font can be scaled; write an SVG instead")
    anchor = {"start": "ls", "middle": "ms", "end": "rs"}[label.anchor]
    stroke = scale // 3 if label.bold else 0  # the font comes in one weight
    canvas.text(
        (label.x * scale, label.y * scale),
        label.text,
        label.fill,
        font,
        anchor,
        stroke_width=stroke,
        stroke_fill=label.fill,
    )


def _description(spec: NetworkSpec) -> str:
    stages, first = [], 0
    for stage, depth in enumerate(spec.depths):
        names = ", ".join(str(CANDIDATES[c]) for c in spec.arch.choices[first : first + depth])
        stages.append(f"layer{stage + 1} ({spec.widths[stage] * EXPANSION} channels, stride {4 * 2**stage}): {names}")
        first += depth
    return f"Architecture {spec.arch}. Stem of {spec.stem_width * 2} channels, stride 4; " + "; ".join(stages) + "."


def cell_svg(edges: Sequence[tuple[int, int, str]], title: str) -> str:
    """A cell of NAS-Bench-201 as SVG: nodes in a row, an arc per edge with its operation; ``none`` is pale and dashed.

    Args:
        edges: (from, to, operation), nodes counted from 0.
        title: Alternative text.
    """
    step, middle, radius = 200, 150, 18  # px
    last = max(to for _, to, _ in edges)
    parts = []
    for source, to, operation in edges:
        x0, x1 = 40 + step * source, 40 + step * to
        span = to - source
        rise = 0 if span == 1 else (75 if span == 3 or source == 0 else -75) * (span - 1)
        none = operation == "none"
        style = f'stroke="{PALE if none else INK}" stroke-width="2"' + (' stroke-dasharray="4 4"' if none else "")
        parts.append(f'<path d="M{x0} {middle} Q{(x0 + x1) / 2} {middle - rise} {x1} {middle}" fill="none" {style}/>')
        parts.append(
            f'<text x="{(x0 + x1) / 2}" y="{middle - rise / 2 - 6}" text-anchor="middle" font-size="13" '
            f'fill="{LINE if none else INK}">{escape(operation)}</text>'
        )
    for node in range(last + 1):
        x = 40 + step * node
        parts.append(f'<circle cx="{x}" cy="{middle}" r="{radius}" fill="{COLOURS[0]}"/>')
        parts.append(f'<text x="{x}" y="{middle + 5}" text-anchor="middle" fill="{WHITE}" font-size="15">{node}</text>')
    width = 80 + step * last
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 210" width="{width}" height="210" role="img" '
        f'style="{FONT}"><title>{escape(title)}</title><rect width="{width}" height="210" fill="{WHITE}"/>'
        + "".join(parts)
        + "</svg>"
    )
