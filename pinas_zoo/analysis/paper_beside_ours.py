"""The paper's tables, taus and settings with ours beside each value, as sections for a terminal, Markdown or JSON.

A section is one table. Ours stand in a row below each printed one, or in a column of their own where a row has one
value. A number in brackets refers to the command below the table that gave our value, or would give it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pinas_zoo.analysis.our_figures import OURS, REMARKS, Ours
from pinas_zoo.analysis.paper_tables import METHOD_NAMES, ONLY_IN_PICTURES, SECTION_4_1, TABLES, TAUS

NOT_YET = "not measured yet"
SLIP = 'The paper prints "792" architectures: those of three operations on six edges are 3^6 = 729.'
TITLE = "# The paper's numbers beside ours"
HEAD = (
    "Every table of the paper, every tau that its text gives, and the settings of sec. 4.1. *ours* is a value that was "
    f"measured, `[n]` alone where command n measures it, or *{NOT_YET}*. The values are data in "
    "`pinas_zoo/analysis/paper_tables.py` and `pinas_zoo/analysis/our_figures.py`; `pinas-zoo paper --markdown` prints "
    "this page. Commands of NAS-Bench-201 need its [tables](nasbench201.md#the-tables), those of Tables 5 and 6 their "
    "[data](transfer.md)."
)


@dataclass(frozen=True)
class Row:
    """One printed row, its name first, and ours for each of its other cells; None where the paper has no number."""

    printed: tuple[str, ...]
    ours: tuple[Ours | None, ...]


@dataclass(frozen=True)
class Section:
    """One table of the paper or one made of its text; ``place`` is the key of :data:`OURS`, such as ``"table 1"``."""

    place: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def commands(self) -> list[Ours]:
        """Ours that have a command, without repetitions of the same command and source, in the order of the rows."""
        found = {(ours.command, ours.source): ours for row in self.rows for ours in row.ours if ours and ours.command}
        return list(found.values())

    def cells_of_ours(self, row: Row) -> list[str]:
        """Texts of the row of ours; empty if no cell of the printed row has a number."""
        numbers = {(ours.command, ours.source): n for n, ours in enumerate(self.commands(), 1)}
        texts = []
        for ours in row.ours:
            if ours is None:
                texts.append("")
            elif not ours.command:
                texts.append(NOT_YET)
            else:
                texts.append(f"{ours.value} [{numbers[ours.command, ours.source]}]".strip())
        return texts if any(texts) else []

    def footnotes(self) -> list[str]:
        """Commands in the order of their numbers, each with its source."""
        return [
            f"[{n}] `{ours.command}`" + (f": {ours.source}" if ours.source else "")
            for n, ours in enumerate(self.commands(), 1)
        ]


def sections() -> list[Section]:
    """All sections: Tables 1-7, Figures 3 to 9, sec. 4.1."""
    return [*map(_table, TABLES), *map(_figure, sorted(ONLY_IN_PICTURES)), _settings()]


def lines_of(section: Section, mark: str = "  ours") -> tuple[list[str], list[list[str]]]:
    """Headings and rows of a table with ours in them; ``mark`` is the name of a row of ours."""
    if len(section.columns) == 2:
        rows = [[*row.printed, *(section.cells_of_ours(row) or [""])] for row in section.rows]
        return [*section.columns, "ours"], rows
    rows = []
    for row in section.rows:
        rows.append(list(row.printed))
        if ours := section.cells_of_ours(row):
            rows.append([mark, *ours])
    return list(section.columns), rows


def plain_notes(section: Section) -> list[str]:
    """The lines below a terminal's table: commands and notes, links as the paths that they lead to."""
    links = re.compile(r"\[[^\]]*\]\(\.\./([^)#]*)[^)]*\)")
    return [links.sub(r"\1", line) for line in (*section.footnotes(), *section.notes)]


def markdown() -> str:
    """The page docs/paper.md."""
    parts = [TITLE, "    pinas-zoo paper --table 1", HEAD, *(_markdown(section) for section in sections())]
    return "\n\n".join(parts) + "\n"


def as_data(section: Section) -> dict[str, Any]:
    """Plain data of a section for JSON."""
    return {
        "place": section.place,
        "title": section.title,
        "rows": [
            {
                "name": row.printed[0],
                "cells": [
                    {
                        "column": column,
                        "paper": cell,
                        "ours": ours.value or None if ours else None,
                        "command": ours.command or None if ours else None,
                        "source": ours.source or None if ours else None,
                    }
                    for column, cell, ours in zip(section.columns[1:], row.printed[1:], row.ours, strict=True)
                ],
            }
            for row in section.rows
        ],
        "notes": list(section.notes),
    }


def _table(number: int) -> Section:
    table, place = TABLES[number], f"table {number}"
    rows = tuple(
        Row(cells, tuple(_ours(place, cells[0], *pair) for pair in zip(table.columns[1:], cells[1:], strict=True)))
        for cells in table.rows
    )
    return Section(place, table.title, table.columns, rows, (*table.notes, *_remark(place)))


def _figure(number: int) -> Section:
    place = f"figure {number}"
    taus = [tau for tau in TAUS if tau.figure == number]
    rows = tuple(
        Row((METHOD_NAMES[tau.method], tau.tau), (_ours(place, METHOD_NAMES[tau.method], "tau", tau.tau),))
        for tau in taus
    )
    left_out = f" without {' and '.join(taus[0].left_out)}" if taus and taus[0].left_out else ""
    title = f"Kendall's tau over {taus[0].count:,} architectures of NAS-Bench-201{left_out}" if taus else "a picture"
    notes = [SLIP] if number == 3 else []
    only = f"Only in the picture, and therefore not here: {ONLY_IN_PICTURES[number]}."
    return Section(place, title, ("Method", "tau"), rows, (*notes, only, *_remark(place)))


def _settings() -> Section:
    place = "section 4.1"
    rows = tuple(
        Row((name := f"{setting.stage}: {setting.name}", setting.printed), (OURS.get((place, name, "paper")),))
        for setting in SECTION_4_1
    )
    return Section(place, "Settings of the search (stage train: sec. 4.2)", ("setting", "paper"), rows, _remark(place))


def _ours(place: str, row: str, column: str, cell: str) -> Ours | None:
    """Ours of a printed value; an empty one where there is none, None where nothing is printed that can be measured."""
    measurable = cell == "collision" or cell[:1].isdigit()
    return OURS.get((place, row, column), Ours("")) if measurable else None


def _remark(place: str) -> tuple[str, ...]:
    return (REMARKS[place],) if place in REMARKS else ()


def _markdown(section: Section) -> str:
    kind, _, number = section.place.partition(" ")
    lines = [f"## {kind.capitalize()} {number}: {section.title}"]
    if section.rows:
        lines.append("\n".join(_markdown_table(section)))
    if below := [*section.footnotes(), *section.notes]:
        lines.append("\n".join(f"- {_escaped(line)}" for line in below))
    return "\n\n".join(lines)


def _escaped(line: str) -> str:
    """A note whose mark ``*`` does not start a list."""
    return f"\\{line}" if line.startswith("* ") else line


def _markdown_table(section: Section) -> Iterator[str]:
    columns, rows = lines_of(section, "*ours*")
    yield _line(columns)
    yield _line(["---"] * len(columns))
    yield from (_line([f"*{cell}*" if cell == NOT_YET else cell for cell in row]) for row in rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
