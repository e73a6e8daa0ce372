"""The reader of CSV tables of trained networks: one header, one architecture a row.

:func:`read_truth` takes one accuracy a row, for any space; :func:`pinas_zoo.search.ranking.benchmark_table.read_table`
takes all that NAS-Bench-201's table holds.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.errors import UserError

ARCH_COLUMNS = ("arch", "arch_str")
ACCURACY_COLUMNS = ("accuracy", "cifar10_test_acc", "test_accuracy")


@dataclass(frozen=True)
class TruthRow:
    """One row, with its place for error messages."""

    path: Path
    line: int
    values: dict[str, str | None]  # by column; None where the row is shorter than the header

    def text(self, column: str) -> str:
        return (self.values[column] or "").strip()

    def number(self, column: str) -> float:
        """A finite number.

        Raises:
            UserError: Anything else.
        """
        value = self.values[column]
        try:
            number = float(value or "")
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UserError(f"{self.path}, line {self.line}: expected a number as {column!r}, got {value!r}")
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
            if name in self.columns:
                return name
        wanted = repr(asked) if asked else " or ".join(map(repr, usual))
        got = ", ".join(self.columns) or "an empty file"
        raise UserError(f"{self.path}: expected a column {wanted}, got {got}; use {option}")


def read_csv(path: Path) -> TruthCsv:
    """Header and rows of a CSV file.

    Raises:
        UserError: The file cannot be read as one.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = tuple(_rows(path, reader))
            return TruthCsv(path, tuple(reader.fieldnames or ()), rows)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"expected a CSV table of trained networks, cannot read {path}: {reason}") from error


def _rows(path: Path, reader: csv.DictReader[str]) -> Iterator[TruthRow]:
    for values in reader:
        yield TruthRow(path, reader.line_num, values)


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
        UserError: No such file or column, or a value that is no number.
    """
    table = read_csv(path)
    arch = table.column(arch_column, ARCH_COLUMNS, "--arch-column")
    accuracy = table.column(accuracy_column, ACCURACY_COLUMNS, "--accuracy-column")
    return {row.text(arch): row.number(accuracy) for row in table.rows}, accuracy
