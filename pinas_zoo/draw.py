"""A network drawn layer by layer: as an SVG picture, and as a table for the terminal and the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from pinas_zoo.arch import Arch
from pinas_zoo.cost import Cost, ImageSize, head_cost, layer_costs, layer_sizes, stem_cost
from pinas_zoo.models.pinas import CANDIDATES, DEPTHS, EXPANSION, STEM_WIDTH, WIDTHS, layer_specs

COLOURS = ("#0072b2", "#b84a00", "#007a59", "#aa4499")  # one a candidate; dark enough for white digits on them
CELL, GAP, NAME_WIDTH, TOP = 32, 12, 90, 68  # px; the gap lies between stages
STAGE_WIDTH = 64  # px; at least, so that the labels under a stage of one layer do not touch
INK, PALE, LINE = "#1a1a1a", "#e6eaee", "#b8c0c8"
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


def layer_table(
    arch: str | Sequence[int] | Arch,
    depths: Sequence[int] = DEPTHS,
    widths: Sequence[int] = WIDTHS,
    stem_width: int = STEM_WIDTH,
    num_classes: int = 1000,
    in_chans: int = 3,
    image_size: ImageSize = 224,
    output_stride: int = 32,
) -> list[LayerRow]:
    """Stem, every layer and (unless ``num_classes=0``) the head; the costs add up to the network's.

    The stem's row contains the max pool, hence stride 4. The head's size is 1 x 1, after the global pool.

    Raises:
        ValueError: ``arch`` does not fit ``depths``, or sizes that no network has.
    """
    specs = layer_specs(depths, widths, stem_width, output_stride)
    choices = Arch.parse(arch, num_layers=len(specs), num_candidates=len(CANDIDATES))
    costs = layer_costs(depths, widths, stem_width, image_size, in_chans, output_stride)
    sizes = layer_sizes(depths, widths, stem_width, image_size, output_stride)
    rows = [
        _row("stem", "3 x 3x3", in_chans, stem_width * 2, 4, sizes[0][0], stem_cost(stem_width, image_size, in_chans))
    ]
    for spec, choice, cost, (_, size) in zip(specs, choices, costs, sizes, strict=True):
        name = f"layer{spec.stage + 1}.{spec.block}"
        rows.append(_row(name, str(CANDIDATES[choice]), spec.in_chs, spec.out_chs, spec.stride, size, cost[choice]))
    if num_classes:
        head = head_cost(widths, num_classes)
        rows.append(_row("fc", "linear", widths[-1] * EXPANSION, num_classes, 1, (1, 1), head))
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


def network_svg(
    arch: str | Sequence[int] | Arch,
    depths: Sequence[int] = DEPTHS,
    widths: Sequence[int] = WIDTHS,
    stem_width: int = STEM_WIDTH,
    title: str | None = None,
) -> str:
    """The network as one self-contained ``<svg>`` element: four rows of candidates, one column a layer, chosen filled.

    Without scripts, links or fonts of its own, so that it can stand inside an HTML page; it scales to the width that
    it is given. Screen readers get the title and a description of every layer.

    Raises:
        ValueError: ``arch`` does not fit ``depths``, or sizes that no network has.
    """
    specs = layer_specs(depths, widths, stem_width)
    choices = Arch.parse(arch, num_layers=len(specs), num_candidates=len(CANDIDATES))
    title = title or f"Network {choices}"
    shown = title if len(title) <= 48 else title[:47] + "…"
    stage_lefts, stage_widths = _stage_columns(depths)
    lefts = [
        stage_lefts[s.stage] + (stage_widths[s.stage] - depths[s.stage] * CELL) / 2 + s.block * CELL for s in specs
    ]
    middles = [(left + CELL / 2, TOP + choice * CELL + CELL / 2) for left, choice in zip(lefts, choices, strict=True)]
    width = max(stage_lefts[-1] + stage_widths[-1] + 10, 24 + 12 * len(shown))
    bottom = TOP + len(CANDIDATES) * CELL
    height = bottom + 76

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'width="{width}" height="{height}" style="max-width:100%;height:auto;background:#ffffff;{FONT}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_description(choices, depths, widths, stem_width))}</desc>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(12, 26, shown, size=19, weight=600),
        _text(12, 50, f"stem {stem_width}-{stem_width}-{stem_width * 2} channels, stride 4", size=16),
    ]
    for row, candidate in enumerate(CANDIDATES):
        y = TOP + row * CELL
        parts.append(_text(NAME_WIDTH - 8, y + CELL / 2 + 6, str(candidate), size=16, anchor="end", fill=COLOURS[row]))
        parts += [_box(left, y, PALE) for left in lefts]
    points = " ".join(f"{x:g},{y:g}" for x, y in middles)
    parts.append(f'<polyline points="{points}" fill="none" stroke="{INK}" stroke-width="2" stroke-opacity="0.4"/>')
    for left, (x, y), choice in zip(lefts, middles, choices, strict=True):
        box = _box(left, y - CELL / 2, COLOURS[choice])
        mark = _text(x, y + 6, str(choice), size=17, weight=600, anchor="middle", fill="#ffffff")
        parts.append(f'<g class="chosen">{box}{mark}</g>')
    for stage, (start, size) in enumerate(zip(stage_lefts, stage_widths, strict=True)):
        middle = start + size / 2
        parts.append(f'<path d="M{start + 2} {bottom + 8}H{start + size - 2}" stroke="{LINE}" stroke-width="2"/>')
        parts.append(_text(middle, bottom + 28, f"layer{stage + 1}", size=16, weight=600, anchor="middle"))
        parts.append(_text(middle, bottom + 47, f"/{4 * 2**stage}", size=16, anchor="middle"))
        parts.append(_text(middle, bottom + 66, f"{widths[stage] * EXPANSION} ch", size=16, anchor="middle"))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


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


def _box(left: float, top: float, fill: str) -> str:
    return f'<rect x="{left + 2:g}" y="{top + 2:g}" width="{CELL - 4}" height="{CELL - 4}" rx="5" fill="{fill}"/>'


def _text(
    x: float, y: float, content: str, size: int, weight: int = 400, anchor: str = "start", fill: str = INK
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{fill}">{escape(content)}</text>'
    )


def _description(choices: Arch, depths: Sequence[int], widths: Sequence[int], stem_width: int) -> str:
    stages, first = [], 0
    for stage, depth in enumerate(depths):
        names = ", ".join(str(CANDIDATES[c]) for c in choices.choices[first : first + depth])
        stages.append(f"layer{stage + 1} ({widths[stage] * EXPANSION} channels, stride {4 * 2**stage}): {names}")
        first += depth
    return f"Architecture {choices}. Stem of {stem_width * 2} channels, stride 4; " + "; ".join(stages) + "."
