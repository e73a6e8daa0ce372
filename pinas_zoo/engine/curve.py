"""The curve of a stage: a CSV with one row for each logged step."""

from __future__ import annotations

import csv
from pathlib import Path

from pinas_zoo.weights.atomic import replacing

CURVE = "curve.csv"


def read_curve(folder: Path) -> dict[str, list[float]]:
    """Columns of a stage's curve: ``step``, ``lr``, losses and what else was logged."""
    with (folder / CURVE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in (rows[0] if rows else ())}


def truncate_curve(folder: Path, done: int) -> None:
    """Drop the rows that were logged after step ``done``, from which training resumes."""
    path = folder / CURVE
    if not path.is_file():
        return
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    kept = rows[:1] if done else []
    for row in rows[1:]:  # a row that a kill has cut short ends what is kept
        if len(row) != len(rows[0]) or not len(kept) or not 0 < int(row[0]) <= done:
            break
        kept.append(row)
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
