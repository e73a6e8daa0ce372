"""The curve of a stage: a CSV with one row for each logged step."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from pinas_zoo.weights.atomic import replacing

CURVE = "curve.csv"


class Curve:
    """Appends rows to a stage's curve; a column that comes up later is added, empty in the rows before.

    Args:
        folder: Of the stage.
        done: Steps after which training resumes; rows that were logged later are dropped.
    """

    def __init__(self, folder: Path, done: int):
        truncate_curve(folder, done)
        self.path = folder / CURVE
        self.columns: list[str] = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.columns = next(csv.reader(file), [])
        self.file = self.path.open("a", newline="")

    def add(self, values: Mapping[str, float | int]) -> None:
        """Add a row; numbers keep six digits."""
        new = [key for key in values if key not in self.columns]
        if new:
            self.file.close()
            with self.path.open(newline="") as file:
                rows = list(csv.reader(file))[1:]
            self.columns += new
            with replacing(self.path) as temporary, temporary.open("w", newline="") as file:
                csv.writer(file).writerows([self.columns, *(row + [""] * len(new) for row in rows)])
            self.file = self.path.open("a", newline="")
        cells = [values.get(key, "") for key in self.columns]
        csv.writer(self.file).writerow([f"{v:.6g}" if isinstance(v, float) else v for v in cells])

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def read_curve(folder: Path) -> dict[str, list[float]]:
    """Columns of a stage's curve: ``step``, ``lr``, losses and what else was logged; NaN where a row has none."""
    with (folder / CURVE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key] or "nan") for row in rows] for key in (rows[0] if rows else ())}


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
