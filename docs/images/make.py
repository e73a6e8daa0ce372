"""Draw the pictures of README and docs.

    python docs/images/make.py                                   # flow.svg and network.svg
    python docs/images/make.py --report work_dirs/digits_cells   # report.png too, by a headless Chromium

flow.svg and network.svg are the same bytes each time. report.png is the upper part of a finished run's report; the one
that is kept shows the demo, `make demo`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape

from pinas_zoo.analysis.diagram import COLOURS, FONT, INK, LINE, PALE, WHITE, network_svg
from pinas_zoo.models.pinas import ARCHS
from pinas_zoo.models.spec import NetworkSpec

FOLDER = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
REPORT_SIZE = (1040, 930)  # px; down to the chart of the comparison

PATH_I, PATH_J = COLOURS[1], COLOURS[0]
PATHS = (((3, 0, 1, 3, 2, 1), PATH_I, "i"), ((0, 2, 3, 1, 0, 2), PATH_J, "j"))  # differ in every layer
CELL, STEP = 17, 25  # px, of a candidate
STUDENT_Y, TEACHER_Y, GRID_X = 70, 242, 236
OUTPUT_X, LOSS_X, QUEUE_X = 470, 588, 836


class Drawing:
    """Shapes of an SVG, in the order in which they are drawn; lengths in px."""

    def __init__(self, width: int, height: int, title: str, description: str):
        self.parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" style="max-width:100%;height:auto;background:{WHITE};{FONT}">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(description)}</desc>",
            f'<rect width="{width}" height="{height}" fill="{WHITE}"/>',
        ]
        self.heads: set[str] = set()

    def box(self, x: float, y: float, w: float, h: float, fill: str = WHITE, stroke: str = LINE, r: float = 6) -> None:
        outline = f' stroke="{stroke}" stroke-width="1.4"' if stroke else ""
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{r:g}" fill="{fill}"{outline}/>')

    def text(
        self, x: float, y: float, text: str, size: int = 14, bold: bool = False, fill: str = INK, anchor: str = "middle"
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}"{weight}>'
            f"{escape(text)}</text>"
        )

    def line(self, *points: tuple[float, float], colour: str = LINE, width: float = 1.6, arrow: bool = False) -> None:
        head = ""
        if arrow:
            name = f"head{colour.lstrip('#')}"
            if name not in self.heads:
                self.heads.add(name)
                self.parts.append(
                    f'<defs><marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
                    f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
                    "</defs>"
                )
            head = f' marker-end="url(#{name})"'
        where = " ".join(f"{x:g},{y:g}" for x, y in points)
        self.parts.append(f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="{width:g}"{head}/>')

    def circle(self, x: float, y: float, r: float, fill: str, stroke: str = "") -> None:
        outline = f' stroke="{stroke}" stroke-width="2"' if stroke else ""
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="{fill}"{outline}/>')

    def svg(self) -> str:
        return "\n".join([*self.parts, "</svg>\n"])


def flow() -> str:
    """The stages of a search, and one step of learning: two paths through student and teacher."""
    drawing = Drawing(
        960,
        496,
        "The search of Π-NAS",
        "Above: one step of learning. Four views of an image go through two paths, i and j, of the student supernet "
        "and of the teacher, its moving average. The student's output of path i is compared with the teacher's of "
        "path j, and the other way round; earlier outputs of the teacher are the negatives. Below: the stages of a "
        "search, from images to timm.create_model.",
    )
    _step_of_learning(drawing)
    _stages(drawing)
    return drawing.svg()


def _step_of_learning(drawing: Drawing) -> None:
    drawing.box(10, 10, 940, 360, "#fafbfc")
    drawing.text(26, 36, "learn: one step of Π-NAS", 16, bold=True, anchor="start")
    _image(drawing, 26, 165, 72)
    drawing.text(62, 258, "image", 14)
    middle = (98, 201)
    for y in (STUDENT_Y, TEACHER_Y):
        _network(drawing, y, middle)
    drawing.text(GRID_X + 72, STUDENT_Y - 14, "student supernet", 14, bold=True)
    drawing.text(GRID_X + 72, TEACHER_Y + 122, "teacher", 14, bold=True)
    drawing.text(166, STUDENT_Y - 14, "views", 14)
    arrow_x = GRID_X + 72
    drawing.line((arrow_x, STUDENT_Y + 104), (arrow_x, TEACHER_Y - 10), arrow=True, colour="#5b6470")
    drawing.text(arrow_x + 10, 206, "moving average", 13, anchor="start")
    drawing.text(arrow_x + 10, 223, "along each path", 13, anchor="start")
    # loss
    for y, first, second in ((118, "z_i", "z'_j"), (276, "z_j", "z'_i")):
        drawing.box(LOSS_X, y - 22, 132, 44)
        colours = (PATH_I, PATH_J) if first == "z_i" else (PATH_J, PATH_I)
        _symbol(drawing, LOSS_X + 24, y + 6, first, colours[0])
        drawing.text(LOSS_X + 66, y + 5, "close to", 13)
        _symbol(drawing, LOSS_X + 106, y + 6, second, colours[1])
        drawing.line((LOSS_X + 132, y), (QUEUE_X - 30, 197 + (y - 197) * 0.22), arrow=True, colour="#5b6470")
    drawing.text(LOSS_X + 66, 190, "cross-path", 13)
    drawing.text(LOSS_X + 66, 207, "consistency", 13)
    # queue
    for k in range(5):
        drawing.box(QUEUE_X - 18 + 15 * k, 176, 11, 42, PALE, "", 2)
    drawing.text(QUEUE_X + 18, 145, "and far from", 13)
    drawing.text(QUEUE_X + 18, 162, "the negatives", 13)
    for line, words in enumerate(("queue of", "the teacher's", "earlier outputs")):
        drawing.text(QUEUE_X + 18, 238 + 17 * line, words, 13)
    drawing.text(OUTPUT_X, 197, "path i", 13, fill=PATH_I)
    drawing.text(OUTPUT_X, 215, "path j", 13, fill=PATH_J)


def _network(drawing: Drawing, top: float, source: tuple[float, float]) -> None:
    student = top == STUDENT_Y
    for layer in range(6):
        for choice in range(4):
            drawing.box(GRID_X + STEP * layer, top + STEP * choice, CELL, CELL, PALE, "", 4)
    for number, (path, colour, name) in enumerate(PATHS):
        centres = [(GRID_X + STEP * k + CELL / 2, top + STEP * choice + CELL / 2) for k, choice in enumerate(path)]
        y = top + 22 + 52 * number  # of the path's view and output
        drawing.line(source, (146, y), colour="#c9ced4", width=1.2)
        _image(drawing, 148, y - 18, 36, colour, offset=(number + 2 * student) % 4)
        drawing.line((184, y), *centres, (OUTPUT_X - 17, y), colour=colour, width=2.2 if student else 1.4)
        for x, centre_y in centres:
            drawing.box(x - CELL / 2, centre_y - CELL / 2, CELL, CELL, colour if student else WHITE, colour, 4)
        drawing.circle(OUTPUT_X, y, 16, WHITE, colour)
        _symbol(drawing, OUTPUT_X, y + 5, f"z_{name}" if student else f"z'_{name}", colour)
        upper = (name == "i") == student  # the comparison that this output takes part in
        target = 118 if upper else 276
        drawing.line((OUTPUT_X + 17, y), (LOSS_X - 2, target + (-9 if student else 9)), colour=colour, arrow=True)


def _symbol(drawing: Drawing, x: float, y: float, symbol: str, colour: str) -> None:
    """A letter with an index: z_i, z'_j."""
    letter, index = symbol.split("_")
    drawing.parts.append(
        f'<text x="{x:g}" y="{y:g}" font-size="16" font-style="italic" text-anchor="middle" fill="{colour}">'
        f'{escape(letter)}<tspan font-size="11" dy="4">{index}</tspan></text>'
    )


def _image(drawing: Drawing, x: float, y: float, size: float, stroke: str = "#5b6470", offset: int = 0) -> None:
    """A landscape; ``offset`` moves it, as another crop would."""
    shift = size * (0.0, 0.16, -0.14, 0.26)[offset]
    drawing.box(x, y, size, size, "#dcebf7", "", 3)
    drawing.circle(x + size * 0.68 + shift * 0.6, y + size * 0.3 + abs(shift) * 0.3, size * 0.11, "#f2b84b")
    left, right, bottom = x + 1, x + size - 1, y + size - 1
    peak, second = x + size * 0.34 + shift, x + size * 0.72 + shift * 0.8
    drawing.parts.append(
        f'<path d="M{left:g} {bottom:g}L{left:g} {y + size * 0.72:g}L{peak:g} {y + size * 0.42:g}'
        f"L{x + size * 0.56 + shift * 0.9:g} {y + size * 0.74:g}L{second:g} {y + size * 0.6:g}"
        f'L{right:g} {y + size * 0.8:g}L{right:g} {bottom:g}z" fill="#6aa084"/>'
    )
    drawing.box(x, y, size, size, "none", stroke, 3)


def _stages(drawing: Drawing) -> None:
    stages = (
        ("images", "a folder,", "tars, the Hub", False),
        ("learn", "supernet, two", "paths a step", True),
        ("linear", "one classifier", "for all paths", True),
        ("explore", "paths scored on", "held-out images", True),
        ("winner", "weights cut out", "of the supernet", True),
        ("train", "the winner", "alone", True),
        ("timm", "create_model", "by name", False),
    )
    width, gap, top = 116, 21, 404
    for k, (name, first, second, is_stage) in enumerate(stages):
        x = 10 + (width + gap) * k
        drawing.box(x, top, width, 82, "#eef4fa" if is_stage else WHITE, COLOURS[0] if is_stage else LINE)
        drawing.text(x + width / 2, top + 26, name, 16, bold=True)
        drawing.text(x + width / 2, top + 48, first, 13)
        drawing.text(x + width / 2, top + 66, second, 13)
        if k:
            drawing.line((x - gap + 3, top + 41), (x - 3, top + 41), arrow=True, colour="#5b6470")
    learn = 10 + width + gap
    drawing.line((learn + 8, top), (10, 370), colour=COLOURS[0], width=1)
    drawing.line((learn + width - 8, top), (950, 370), colour=COLOURS[0], width=1)


def network() -> str:
    """Π-NAS-cls, as ``pinas-zoo info pinas_cls --svg network.svg`` draws it."""
    return network_svg(NetworkSpec(arch=ARCHS["pinas_alpha"]), "pinas_cls")


def screenshot(run: Path, target: Path) -> None:
    """The upper part of a run's report, by a headless browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"expected one of {', '.join(BROWSERS)} on the path, found none; install chromium")
    report = (run / "report.html").resolve()
    if not report.is_file():
        raise SystemExit(f"expected {report}, found none; give the folder of a finished run")
    with tempfile.TemporaryDirectory() as profile:
        width, height = REPORT_SIZE
        options = f"--headless --no-sandbox --disable-gpu --hide-scrollbars --window-size={width},{height}".split()
        places = (f"--user-data-dir={profile}", f"--screenshot={target.resolve()}", report.as_uri())
        subprocess.run([browser, *options, *places], check=True, stderr=subprocess.DEVNULL)
    _reduce_colours(target)


def _reduce_colours(path: Path) -> None:
    """A palette of 256 colours that keeps rare ones, such as that of the winner's mark: half the bytes or less."""
    from PIL import Image

    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="FOLDER", help="where pictures go (default: here)")
    parser.add_argument("--report", type=Path, metavar="RUN", help="also write report.png of this run's folder")
    args = parser.parse_args()
    (args.out / "flow.svg").write_text(flow(), encoding="utf-8")
    (args.out / "network.svg").write_text(network(), encoding="utf-8")
    if args.report:
        screenshot(args.report, args.out / "report.png")


if __name__ == "__main__":
    main()
