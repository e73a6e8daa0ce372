"""The readers of the tables and facts in a run folder, which may be torn, or somebody else's: types, ranges and sizes.

Files of weights, checkpoints and curves have readers of their own below :mod:`pinas_zoo.engine`, and the study in
:mod:`pinas_zoo.search.study.stored_trials`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pinas_zoo.bounded_reading import MIB, read_json, read_text
from pinas_zoo.errors import UserError

JSON_LIMIT = 16 * MIB  # of config.json, done.json and rank.json, which holds one point for each architecture
TABLE_LIMIT = 64 * MIB  # of ranking.csv: a million candidates
MATRIX_LIMIT = MIB  # of similarity.csv
LOG_RANKS = "log_ranks"  # column of ranking.csv: the sum of the logarithms of places from the last, negative
SMOOTHED = "smoothed"  # column of ranking.csv: the same sum of the places by score and by effects

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]  # what figures can be drawn of
Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[float, Field(ge=0, le=1e12)]


class WarningFacts(BaseModel):
    """A warning of a stage, as :class:`pinas_zoo.search.learned_nothing.SearchWarning`."""

    model_config = ConfigDict(strict=True)
    check: str
    text: str
    blocks: bool


class NoiseFacts(BaseModel):
    """The candidates within noise of the winner, as :class:`pinas_zoo.search.ranking.winner_noise.WinnerNoise`."""

    model_config = ConfigDict(strict=True)
    within: int | None
    others: int
    text: str


class ProbedFacts(BaseModel):
    """Probes of the learned supernet and of its first weights: ``Probed`` of ``search.stages.untrained_probe``."""

    model_config = ConfigDict(strict=True)
    learned: Share
    untrained: Share
    images: int
    text: str


class StageFacts(BaseModel):
    """``done.json`` of a stage. Versions before and after this one have other facts beside these."""

    model_config = ConfigDict(strict=True, extra="allow")
    summary: str
    seconds: Size = 0.0
    peak_memory_mib: Size = 0.0
    trouble: str | None = None
    chosen: str | None = None
    winner: str | None = None
    held_out: int | None = None
    references: dict[str, Number] = {}
    similarity: Number | None = None
    test_accuracy: Share | None = None
    test_images: int | None = None
    warnings: list[WarningFacts] = []
    within_noise: NoiseFacts | None = None
    probed: ProbedFacts | None = None


class RankingRow(BaseModel):
    """A row of ``ranking.csv``; it is text, which lax validation turns into numbers."""

    model_config = ConfigDict(extra="allow")
    rank: Annotated[int, Field(ge=1)]
    arch: Annotated[str, Field(min_length=1)]
    accuracy: Number
    loss: Number
    params_m: Size
    flops_g: Size
    evaluation: Annotated[int, Field(ge=0)] | None = None
    effects: Number | None = None  # versions before 0.1 had none
    smoothed: Number | None = None  # of explore.rank_by="smoothed"


class Tau(BaseModel):
    """Kendall's tau and its interval, in ``rank.json``."""

    model_config = ConfigDict(strict=True)
    value: Number
    low: Number
    high: Number


class EffectsFacts(BaseModel):
    """What ``rank.json`` holds about another order than that of the scores: by main effects, or by both (smoothed)."""

    score: Tau
    difference: Tau


class Points(BaseModel):
    """The points of the figure of ``rank.json``, by column."""

    model_config = ConfigDict(strict=True)
    arch: list[str]
    score: list[Number]
    flops_g: list[Number]
    truth: list[Number]


class PartFacts(BaseModel):
    """What ``rank.json`` holds about one of the scores that are combined."""

    weight: Number
    score: Tau


class PaperFacts(BaseModel):
    """What the paper prints, in ``rank.json``."""

    text: str = ""


class RankFacts(BaseModel):
    """``rank.json``, as ``pinas-zoo rank`` writes it. Older versions wrote only what has no default here."""

    model_config = ConfigDict(strict=True)
    count: Annotated[int, Field(ge=0)]
    column: str
    truth: str
    score: Tau
    flops: Tau
    difference: Tau
    best: str = ""
    best_truth: Number = 0.0
    top_truth: Number = 0.0
    effects: EffectsFacts | None = None
    smoothed: EffectsFacts | None = None
    points: Points | None = None
    paper: PaperFacts | None = None
    parts: dict[str, PartFacts] = {}


def read_facts(path: Path, cure: str) -> dict[str, Any]:
    """The facts of a ``done.json``, with 0 for a time or memory that is not there.

    Args:
        path: The file.
        cure: What to do about a damaged one.

    Raises:
        UserError: It is damaged.
    """
    what = "the results of a stage"
    try:
        facts = read_json(path, what, JSON_LIMIT)
    except UserError as error:
        raise UserError(f"{error}; {cure}") from None
    try:
        checked = StageFacts.model_validate(facts)
    except ValidationError as error:
        raise UserError(f"expected {what} in {path}, got a damaged file ({_first(error)}); {cure}") from None
    return {"seconds": checked.seconds, "peak_memory_mib": checked.peak_memory_mib, **facts}


def read_rank_facts(path: Path) -> RankFacts:
    """The results of ``pinas-zoo rank``.

    Raises:
        UserError: They are damaged.
    """
    problem = "columns of points of different lengths"
    try:
        facts = RankFacts.model_validate(read_json(path, "what pinas-zoo rank writes", JSON_LIMIT))
        if facts.points is None or len({len(column) for column in dict(facts.points).values()}) == 1:
            return facts
    except UserError as error:
        problem = str(error)
    except ValidationError as error:
        problem = _first(error)
    raise UserError(
        f"expected {path} as pinas-zoo rank writes it, got {problem}; run pinas-zoo rank again, or delete the file"
    )


def _first(error: ValidationError) -> str:
    """The first error in one line: where, and what is wrong."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def part_columns(name: str) -> tuple[str, str, str]:
    """The columns of ``ranking.csv`` with the score, the loss and the rank by one of the scores that are combined."""
    return name, f"{name}_loss", f"{name}_rank"


def read_ranking(path: Path, parts: Collection[str] = ()) -> list[dict[str, str]]:
    """The rows of a ``ranking.csv`` as text by column, best first.

    Args:
        path: The file.
        parts: Scores that are combined, which have columns of their own.

    Raises:
        UserError: It is missing or damaged, or has no row.
    """
    what, cure = "a ranking", f"delete {path.parent / 'done.json'} to write it anew from the study"
    try:
        reader = csv.DictReader(io.StringIO(read_text(path, what, TABLE_LIMIT), newline=""))
        numbers = [LOG_RANKS, *(column for name in parts for column in part_columns(name))] if parts else []
        required = {key for key, field in RankingRow.model_fields.items() if field.is_required()} | set(numbers)
        missing = required - set(reader.fieldnames or ())
        if missing:
            raise UserError(f"expected {what} in {path}, got no column {min(missing)}")
        rows = list(reader)
    except (UserError, csv.Error) as error:
        raise UserError(f"{error}; {cure}") from None
    check, check_numbers = TypeAdapter(RankingRow), TypeAdapter(dict[str, Number])
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise UserError(f"expected {what} in {path}, got row {number} of another length; {cure}")
        try:
            check.validate_python({key: value for key, value in row.items() if value})
            check_numbers.validate_python({key: row[key] for key in numbers})
        except ValidationError as error:
            raise UserError(f"expected {what} in {path}, got row {number} with {_first(error)}; {cure}") from None
        if row["arch"] in seen:
            raise UserError(f"expected each architecture once in {path}, got that of row {number} twice; {cure}")
        seen.add(row["arch"])
    if not rows:
        raise UserError(f"expected {what} in {path}, got no row; {cure}")
    return rows


def read_matrix(path: Path) -> NDArray[np.float64]:
    """The square matrix of a ``similarity.csv``.

    Raises:
        UserError: It is missing or damaged.
    """
    what = "a square table of similarities"
    rows = [line.split(",") for line in read_text(path, what, MATRIX_LIMIT).split()]
    try:
        matrix = np.array(rows, dtype=np.float64)
    except ValueError:  # a cell that is no number, rows of different lengths
        matrix = np.empty(0)
    if matrix.ndim != 2 or len(matrix) < 2 or matrix.shape[0] != matrix.shape[1] or not (abs(matrix) <= 1e12).all():
        raise UserError(f"expected {what} in {path}, got {len(rows)} rows of another kind; delete the file")
    return matrix


def read_label_names(path: Path) -> tuple[str, ...]:
    """The names of the classes in a ``config.json`` of a model folder; empty where there are none.

    Raises:
        UserError: The file is damaged.
    """
    what, cure = "a model's configuration", f"delete {path.parent / 'done.json'} to write it anew"
    try:
        values = read_json(path, what, JSON_LIMIT)
    except UserError as error:
        raise UserError(f"{error}; {cure}") from None
    names = (values.get("label_names") or ()) if isinstance(values, Mapping) else None
    if not isinstance(names, list | tuple):
        raise UserError(f"expected {what} in {path}, got one with other label_names; {cure}")
    return tuple(map(str, names))
