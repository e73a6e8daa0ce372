"""The curve of a stage: a CSV with a row for each logged step. A damaged one is kept up to its first damaged row."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from pinas_zoo.bounded_reading import MIB, read_text
from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import open_regular
from pinas_zoo.weights.atomic import replacing

CURVE = "curve.csv"
LIMIT = 64 * MIB  # about a million logged steps


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
        rows = _rows(self.path)
        self.columns: list[str] = rows[0] if rows else []
        self.file = self._append()

    def add(self, values: Mapping[str, float | int]) -> None:
        """Append a row. Numbers are written with six significant digits."""
        new = [key for key in values if key not in self.columns]
        if new:
            self.file.close()
            rows = _rows(self.path)[1:]
            self.columns += new
            with replacing(self.path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([self.columns, *(row + [""] * len(new) for row in rows)])
            self.file = self._append()
        cells = [values.get(key, "") for key in self.columns]
        csv.writer(self.file).writerow([f"{v:.6g}" if isinstance(v, float) else v for v in cells])

    def _append(self) -> IO[str]:
        """Open the file to append rows to it; what lies behind a link is not written."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        return os.fdopen(open_regular(self.path, flags, follow=False), "a", newline="", encoding="utf-8")

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


def read_curve(folder: Path, name: str = CURVE) -> dict[str, list[float]]:
    """Read a curve by column: ``step``, ``lr``, losses and other logged values. Missing values are NaN.

    Raises:
        UserError: It is missing or damaged.
    """
    path = folder / name
    text = read_text(path, "the curve of a stage", LIMIT)
    try:
        header, *rows = csv.reader(io.StringIO(text, newline="")) if text else [[]]
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        curve = {key: [float(v or "nan") for v in column] for key, column in zip(header, columns, strict=True)}
        if header and "step" not in curve:
            raise ValueError("no column step")
    except (ValueError, csv.Error) as error:
        raise UserError(f"expected the curve of a stage in {path}, got a damaged file ({error}); delete it") from None
    return curve if rows else {}


def truncate_curve(folder: Path, done: int, name: str = CURVE) -> None:
    """Remove the rows that were logged after step ``done``, from which training resumes."""
    path = folder / name
    if not path.is_file():
        return
    rows = _rows(path)
    kept = rows[:1] if done and "step" in rows[0] else []
    for row in rows[1:] if kept else ():  # stop at an incomplete row, which a kill can leave
        if len(row) != len(rows[0]) or not _fits(row, rows[0].index("step"), done):
            break
        kept.append(row)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(kept)


def _rows(path: Path) -> list[list[str]]:
    """The rows of a curve as text, up to the first that cannot be read; at least an empty header if there is a file."""
    if not path.is_file():
        return []
    try:
        text = read_text(path, "the curve of a stage", LIMIT)
    except UserError:  # other bytes than UTF-8, a huge file
        return [[]]
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(csv.reader(io.StringIO(text, newline="")))
    return rows or [[]]


def _fits(row: list[str], column: int, done: int) -> bool:
    """Whether a row holds numbers, and a step up to ``done``."""
    try:
        numbers = [float(cell or "nan") for cell in row]
    except ValueError:
        return False
    return 0 < numbers[column] <= done
