"""The curve of a stage: a CSV with a row for each logged step."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from pinas_zoo.weights.atomic import replacing

CURVE = "curve.csv"


class Curve:
    """Appends rows to the curve of a stage. A column that first occurs in a later row is empty in earlier rows.

    Args:
        folder: Folder of the stage.
        done: Number of completed steps; rows of later steps are removed.
        name: Name of the file.
    """

    def __init__(self, folder: Path, done: int, name: str = CURVE):
        truncate_curve(folder, done, name)
        self.path = folder / name
        self.columns: list[str] = []
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.columns = next(csv.reader(file), [])
        self.file = self.path.open("a", newline="")

    def add(self, values: Mapping[str, float | int]) -> None:
        """Append a row. Numbers are written with six significant digits."""
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


def read_curve(folder: Path, name: str = CURVE) -> dict[str, list[float]]:
    """Read a curve by column: ``step``, ``lr``, losses and other logged values. Missing values are NaN."""
    with (folder / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key] or "nan") for row in rows] for key in (rows[0] if rows else ())}


def truncate_curve(folder: Path, done: int, name: str = CURVE) -> None:
    """Remove the rows that were logged after step ``done``, from which training resumes."""
    path = folder / name
    if not path.is_file():
        return
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    kept = rows[:1] if done else []
    for row in rows[1:]:  # stop at an incomplete row, which a kill can leave
        if len(row) != len(rows[0]) or not len(kept) or not 0 < int(row[0]) <= done:
            break
        kept.append(row)
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
