"""Figure 7 (appendix A.1): an operation is replaced by a skip connection; how do the two accuracies change?

The *estimated* accuracy is that of the classifier that the supernet's paths share, the *actual* one that of the network
trained from scratch. Of all replacements that hardly change the estimated accuracy, the figure shows by how much they
change the actual one: a supernet that ranks well shows small changes. The appendix gives its limit of 0.01 without a
unit; it is read as a fraction, one percentage point.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.bounded_reading import MIB
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search.ranking.benchmark_table import arch_of_row
from pinas_zoo.search.ranking.truth_csv import read_csv
from pinas_zoo.weights.atomic import write_text
from pinas_zoo.weights.size_limits import shortened

LIMIT = 16 * MIB  # of a file of estimates
SKIP = str(OPERATIONS.index("skip_connect"))  # its digit


@dataclass(frozen=True)
class Replacement:
    """One operation replaced by a skip connection; architectures in the benchmark's digits."""

    before: str
    edge: int
    after: str

    @property
    def operation(self) -> str:
        """The operation that is replaced."""
        return OPERATIONS[int(self.before[self.edge])]


def replacements(archs: Iterable[str]) -> list[Replacement]:
    """All replacements in these architectures: one for each edge that is no skip connection."""
    return [
        Replacement(arch, edge, f"{arch[:edge]}{SKIP}{arch[edge + 1 :]}")
        for arch in archs
        for edge, digit in enumerate(arch)
        if digit != SKIP
    ]


def actual_changes(
    estimated: Mapping[str, float], actual: Mapping[str, float], archs: Iterable[str], unchanged: float
) -> dict[str, list[float]]:
    """Absolute changes of the actual accuracy where the estimated one changes by less than ``unchanged``.

    Args:
        estimated: Accuracies in the supernet, as fractions; replacements without both are left out.
        actual: Accuracies after training from scratch, in percent.
        archs: The architectures in which operations are replaced.
        unchanged: The largest change of the estimated accuracy, exclusive, as a fraction.

    Returns:
        Changes in percent, by the replaced operation.
    """
    changes: dict[str, list[float]] = {name: [] for name in OPERATIONS if name != OPERATIONS[int(SKIP)]}
    for one in replacements(archs):
        if one.before not in estimated or one.after not in estimated:
            continue
        if abs(estimated[one.after] - estimated[one.before]) < unchanged:
            changes[one.operation].append(abs(actual[one.after] - actual[one.before]))
    return changes


def estimates_file(path: Path) -> Path:
    """The file of estimated accuracies that belongs to a run's result file."""
    return path.with_name(f"{path.stem}.estimates.csv")


def write_estimates(path: Path, estimated: Mapping[str, float]) -> None:
    """Write estimated accuracies beside the result file ``path``."""
    rows = "".join(f"{arch},{accuracy:.4f}\n" for arch, accuracy in estimated.items())
    write_text(estimates_file(path), f"arch,accuracy\n{rows}")


def read_estimates(path: Path) -> dict[str, float]:
    """Estimated accuracies that belong to the result file ``path``; empty if none were kept.

    Raises:
        UserError: The file is damaged.
    """
    file = estimates_file(path)
    if not file.is_file():
        return {}
    try:
        table = read_csv(file, "estimated accuracies", LIMIT)
        if missing := [name for name in ("arch", "accuracy") if name not in table.columns]:
            raise UserError(f"expected a column {missing[0]!r} in {file}, got {shortened(', '.join(table.columns))}")
        return {arch_of_row(row): row.number("accuracy") for row in table.rows}
    except UserError as error:
        raise UserError(f"{error}; delete it and {path.with_suffix('.json').name} to measure the run again") from None
