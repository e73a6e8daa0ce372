"""The results of `make bench`: a table per day in results/YYYY-MM-DD.md, and a plot of all days.

The columns of a table are the fields of :class:`Row`. The plot is drawn only from these files.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.errors import UserError
from pinas_zoo.weights.atomic import replacing

COLUMNS = (
    *("row", "what is measured", "unit", "ours", "peer", "the peer is", "times as good as the peer"),
    *("bare limit", "the limit is", "times as good as the limit", "machine and versions"),
)
NUMBERS = (3, 4, 6, 7, 9)  # columns that hold a number or nothing
DATED = re.compile(r"\d{4}-\d{2}-\d{2}\.md")


@dataclass(frozen=True)
class Row:
    """One measurement beside that of its peer and its bare limit, which are None if they do not exist.

    A ratio above 1 means that ours is better, whether the unit is a time, a rate or a size.
    """

    name: str
    measured: str
    unit: str
    ours: float | None
    peer: float | None
    peer_is: str
    ratio: float | None
    limit: float | None
    limit_is: str
    of_limit: float | None
    machine: str

    def cells(self) -> list[str]:
        values = [getattr(self, field) for field in self.__dataclass_fields__]
        return ["" if v is None else f"{v:.4g}" if isinstance(v, float) else v.replace("|", "/") for v in values]


def markdown(rows: Sequence[Row]) -> str:
    rules = ["---:" if k in NUMBERS else "---" for k in range(len(COLUMNS))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (COLUMNS, rules, *(row.cells() for row in rows)))


def read(path: Path) -> list[Row]:
    """Read the rows of a dated file.

    Raises:
        UserError: The file does not contain a table of `make bench`, or a row is malformed.
    """
    table = [(n, line) for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if line[:1] == "|"]
    split = [(n, [cell.strip() for cell in line.strip().strip("|").split("|")]) for n, line in table]
    cure = "restore it, or delete it and run `make bench`"
    if len(split) < 2 or tuple(split[0][1]) != COLUMNS:
        raise UserError(f"expected a table of the columns {', '.join(COLUMNS)} in {path}, got none; {cure}")
    rows: list[Row] = []
    for number, cells in split[2:]:
        if len(cells) != len(COLUMNS):
            raise UserError(f"expected {len(COLUMNS)} cells in {path}, line {number}, got {len(cells)}; {cure}")
        if not cells[0] or cells[0] in {row.name for row in rows}:
            raise UserError(f"expected each row's name once in {path}, line {number}, got {cells[0]!r} again; {cure}")
        rows.append(Row(*(_number(c, path, number, cure) if k in NUMBERS else c for k, c in enumerate(cells))))  # type: ignore[arg-type]
    return rows


def _number(cell: str, path: Path, line: int, cure: str) -> float | None:
    try:
        value = float(cell) if cell else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise UserError(f"expected a number or nothing in {path}, line {line}, got {cell!r}; {cure}")
    return value


def check_part(path: Path, names: Sequence[str]) -> None:
    """Check that a run with a selection of rows does not overwrite a file with other rows.

    Raises:
        UserError: It would.
    """
    others = [row.name for row in read(path) if row.name not in names] if path.is_file() else []
    if others:
        raise UserError(
            f"expected a new file, or one of the rows {', '.join(names)} alone, got {path} with {', '.join(others)}; "
            "give another --out, or leave out --only"
        )


def history(folder: Path) -> dict[datetime.date, list[Row]]:
    """Read the rows of all dated files in a folder, oldest first. Other files are ignored.

    Raises:
        UserError: A file is malformed, or its name is not a valid date.
    """
    found = {}
    for path in sorted(p for p in folder.iterdir() if DATED.fullmatch(p.name)):
        try:
            day = datetime.date.fromisoformat(path.stem)
        except ValueError:
            raise UserError(f"expected a date as the name of {path}, got {path.stem}; rename or delete it") from None
        found[day] = read(path)
    return found


def draw(found: Mapping[datetime.date, Sequence[Row]], path: Path) -> None:
    """Draw the ratios to peer and limit over days as SVG, with one panel per row; the file is written atomically.

    It shows ratios instead of times, because days may have different machines.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    last_first = reversed(list(found.values()))
    names = list(dict.fromkeys(row.name for some in last_first for row in some))
    columns = 4
    lines = max(1, math.ceil(len(names) / columns))
    figure = Figure(figsize=(3 * columns, 2 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for panel, name in zip(panels, names, strict=False):
        rows = [(day, row) for day, some in found.items() for row in some if row.name == name]
        for field, label, style in (("ratio", "peer", "o-"), ("of_limit", "bare limit", "s--")):
            points = [(day, getattr(row, field)) for day, row in rows if getattr(row, field) is not None]
            if points:
                days, values = zip(*points, strict=True)
                panel.plot(days, values, style, label=label, linewidth=1.2, markersize=4)
                panel.legend(frameon=False, fontsize=7)
        panel.axhline(1, color="0.7", linewidth=0.8, zorder=0)
        panel.set_ylim(bottom=0)
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=7)
        locator = AutoDateLocator(minticks=1, maxticks=4)
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    with replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
