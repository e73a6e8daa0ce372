"""The reader of CSV tables of trained networks: one header, one architecture a row.

Columns are separated by commas, semicolons or tabs; a byte order mark is left out. A row of another length than the
header is an error, and so is an architecture that two rows give different accuracies.

:func:`read_truth` takes one accuracy a row, for any space; :func:`pinas_zoo.search.ranking.benchmark_table.read_table`
takes all that NAS-Bench-201's table holds.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.bounded_reading import MIB, read_text
from pinas_zoo.errors import UserError
from pinas_zoo.terminal import warning
from pinas_zoo.weights.size_limits import shortened

ARCH_COLUMNS = ("arch", "arch_str")
ACCURACY_COLUMNS = ("accuracy", "cifar10_test_acc", "test_accuracy")
SEPARATORS = (",", ";", "\t")
LIMIT = 64 * MIB  # of a file
MOST_ROWS = 1_000_000
LARGEST = 1e12  # of a number, beyond which no figure can be drawn


@dataclass(frozen=True)
class TruthRow:
    """One row, with its place for error messages."""

    path: Path
    line: int
    values: dict[str, str]  # by column

    def text(self, column: str) -> str:
        return self.values[column].strip()

    def number(self, column: str) -> float:
        """A finite number of at most 1e12.

        Raises:
            UserError: Anything else.
        """
        value = self.values[column]
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not abs(number) <= LARGEST:
            raise UserError(f"{self.path}, line {self.line}: expected a number as {column!r}, got {shortened(value)}")
        return number


@dataclass(frozen=True)
class TruthCsv:
    """A file's header and rows."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[TruthRow, ...]

    def column(self, asked: str | None, usual: Sequence[str], option: str) -> str:
        """The column that was asked for, or else the first usual one that the file has.

        Raises:
            UserError: There is none; names the command's ``option`` that chooses a column.
        """
        for name in [asked] if asked else usual:
            if self.columns.count(name) > 1:
                raise UserError(f"{self.path}: expected one column {name!r}, got several; rename or remove the others")
            if name in self.columns:
                return name
        wanted = repr(asked) if asked else " or ".join(map(repr, usual))
        got = ", ".join(self.columns) or "an empty file"
        raise UserError(f"{self.path}: expected a column {wanted}, got {got}; use {option}")


def read_csv(path: Path, what: str = "a CSV table of trained networks", limit: int = LIMIT) -> TruthCsv:
    """Header and rows of a CSV file of at most ``limit`` bytes; messages call it ``what``.

    Raises:
        UserError: The file cannot be read as one.
    """
    text = read_text(path, what, limit)
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count))
    try:
        header = next(reader, [])
        columns = tuple(name.strip() for name in header)
        return TruthCsv(path, columns, tuple(_rows(path, reader, columns)))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: expected a row of a CSV table, got {error}") from None


def _rows(path: Path, reader: Any, columns: Sequence[str]) -> Iterator[TruthRow]:
    for number, cells in enumerate(filter(None, reader)):  # an empty line is no row
        if len(cells) != len(columns):
            raise UserError(
                f"{path}, line {reader.line_num}: expected {len(columns)} cells as in the header, got {len(cells)}; "
                "complete the row, or remove it"
            )
        if number == MOST_ROWS:
            raise UserError(f"expected at most {MOST_ROWS:,} rows in {path}, got more; leave out what was not searched")
        yield TruthRow(path, reader.line_num, dict(zip(columns, cells, strict=True)))


def read_truth(
    path: Path, arch_column: str | None = None, accuracy_column: str | None = None
) -> tuple[dict[str, float], str]:
    """Accuracies of trained networks by architecture text, and the name of the column that holds them.

    Args:
        path: A CSV with a header: one of ours (``arch``, ``accuracy``) or NAS-Bench-201's table (``arch_str``,
            ``cifar10_test_acc``).
        arch_column: Name of the architectures' column, where it is another.
        accuracy_column: Name of the accuracies' column, where it is another.

    Raises:
        UserError: No such file or column, a value that is no number, or two values of one architecture.
    """
    table = read_csv(path)
    arch = table.column(arch_column, ARCH_COLUMNS, "--arch-column")
    accuracy = table.column(accuracy_column, ACCURACY_COLUMNS, "--accuracy-column")
    found: dict[str, float] = {}
    for row in table.rows:
        name, value = row.text(arch), row.number(accuracy)
        if found.setdefault(name, value) != value:
            raise UserError(
                f"{path}, line {row.line}: expected one accuracy of {shortened(name)}, got {found[name]:g} and "
                f"{value:g}; keep one row for each architecture, such as the mean of its trainings"
            )
    if len(found) < len(table.rows):
        warning(f"{path}: {len(table.rows) - len(found)} of {len(table.rows)} rows repeat another row, and count once")
    return found, accuracy
