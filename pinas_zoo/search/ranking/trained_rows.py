"""The trainings of a search's comparison: a ``done.json`` of each, and the table ``train/comparison.csv`` of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pinas_zoo.bounded_reading import MIB, read_json, read_text
from pinas_zoo.errors import UserError
from pinas_zoo.search.run_files import Share, Size
from pinas_zoo.weights.atomic import write_json, write_text

COMPARISON = Path("train") / "comparison.csv"  # in a run's folder
WINNER: Literal["winner"] = "winner"
REFERENCE: Literal["reference"] = "reference"
RANDOM: Literal["random"] = "random"
Role = Literal["winner", "reference", "random"]
LIMIT = MIB  # of one training's file; the table may have 16 of them


class TrainedRow(BaseModel):
    """One training of the comparison.

    Attributes:
        role: Of the architecture.
        arch: Its text.
        params_m: Its parameters in millions, without classifier.
        flops_g: Its multiply-adds in billions, without classifier.
        seed: Seed of the training.
        test_accuracy: In 0..1.
        test_images: Number of test images.
        seconds: Duration of the training.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)
    role: Role
    arch: Annotated[str, Field(min_length=1)]
    params_m: Size
    flops_g: Size
    seed: Annotated[int, Field(ge=0)]
    test_accuracy: Share
    test_images: Annotated[int, Field(ge=1)]
    seconds: Size


def write_training(path: Path, row: TrainedRow) -> None:
    """Write the result of one training."""
    write_json(path, row.model_dump())


def read_training(path: Path, role: Role, arch: str) -> TrainedRow:
    """Read the result of one training.

    Args:
        path: The file.
        role: Role of the architecture in the comparison, which may be another than when it was trained.
        arch: The architecture that was trained.

    Raises:
        UserError: The file is damaged, or of another architecture.
    """
    try:
        row = TrainedRow.model_validate(read_json(path, "a training's result", LIMIT))
        if row.arch != arch:
            raise ValueError(f"the architecture {row.arch}")
    except (UserError, ValueError) as error:
        raise UserError(
            f"expected the result of training {arch} in {path}, got {_reason(error)}; delete the file to train it anew"
        ) from None
    return row.model_copy(update={"role": role})


def write_table(path: Path, rows: Sequence[TrainedRow]) -> None:
    """Write the table, a row for each training."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(TrainedRow.model_fields), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row.model_dump())  # numbers in full, so that the report says what done.json does
    write_text(path, text.getvalue())


def read_table(path: Path) -> list[TrainedRow]:
    """Read the table.

    Raises:
        UserError: It is missing or damaged.
    """
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, "a comparison", 16 * LIMIT), newline=""))
        missing = set(TrainedRow.model_fields) - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"no column {min(missing)}")
        return [TrainedRow.model_validate(row) for row in reader]
    except (UserError, ValueError, csv.Error) as error:
        raise UserError(
            f"expected the comparison of trained networks in {path}, got {_reason(error)}; delete train/done.json to "
            "write it anew"
        ) from None


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'a row'}: {first['msg']}"
