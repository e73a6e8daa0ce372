"""Other results by architecture, such as box AP of detectors (Table 3's transfer columns), from a file of the user's.

A CSV has the header ``architecture,outcome`` and a row for each architecture. A JSON file has an object such as
``{"111111": 38.2}``. An architecture is written in digits or as a name that the space knows, such as ``pinas_alpha``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pinas_zoo.arch import Arch
from pinas_zoo.bounded_reading import MIB, is_finite, read_json
from pinas_zoo.errors import UserError
from pinas_zoo.search.ranking.truth_csv import LARGEST, read_csv
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.weights.size_limits import shortened

FORM = "the header architecture,outcome"


def read_outcomes(path: Path, space: SearchSpace) -> dict[Arch, float]:
    """Read a file of results.

    Args:
        path: A ``.json`` file, or a CSV.
        space: The space of the architectures.

    Raises:
        UserError: No such file, an architecture of another space, a value that is no number, or two values of one
            architecture.
    """
    found: dict[Arch, float] = {}
    rows = _json_rows(path) if path.suffix == ".json" else _csv_rows(path)
    for where, text, value in rows:
        try:
            arch = space.references().get(text) or space.parse(text)
        except ValueError as error:
            raise UserError(f"{where}: expected an architecture of the study's space: {error}") from None
        if found.setdefault(arch, value) != value:
            raise UserError(
                f"{where}: expected one outcome of {arch}, got {found[arch]:g} and {value:g}; keep one row for each "
                "architecture, such as the mean of its runs"
            )
    return found


def _csv_rows(path: Path) -> Iterator[tuple[str, str, float]]:
    table = read_csv(path)
    arch = table.column(None, ("architecture", "arch"), FORM)
    outcome = table.column(None, ("outcome",), FORM)
    for row in table.rows:
        yield f"{path}, line {row.line}", row.text(arch), row.number(outcome)


def _json_rows(path: Path) -> Iterator[tuple[str, str, float]]:
    values = read_json(path, "outcomes by architecture", 64 * MIB)
    if not isinstance(values, dict):
        raise UserError(f"expected an object such as {{'111111': 38.2}} in {path}, got a {type(values).__name__}")
    for text, value in values.items():
        if not is_finite(value) or abs(value) > LARGEST:
            raise UserError(f"{path}: expected a number for {shortened(text)}, got {shortened(value)}")
        yield str(path), text, float(value)
