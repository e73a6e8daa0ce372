"""What the JSON file of a measured run holds. Result files are shared, so types, ranges and texts are checked."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from pinas_zoo.models.nasbench201 import EDGES, OPERATIONS
from pinas_zoo.terminal import escape
from pinas_zoo.weights.size_limits import shortened

LONGEST = 500  # characters of a text
_MARKUP = re.compile(r"[|<>`$]|\]\(")  # what would end a table's cell, or make HTML, code, formulas or a link


def _plain(text: str) -> str:
    if len(text) > LONGEST or escape(text) != text or "\n" in text or _MARKUP.search(text):
        raise ValueError(f"expected one line of at most {LONGEST} characters without |, <, >, `, $ and links")
    return text


Line = Annotated[str, AfterValidator(_plain)]  # of a table in Markdown
Number = Annotated[float, Field(ge=-1e12, le=1e12)]
Seconds = Annotated[float, Field(ge=0, le=1e12)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**12)]
Cell = Annotated[str, Field(pattern=f"^[0-{len(OPERATIONS) - 1}]{{{len(EDGES)}}}$")]  # in the benchmark's digits


class KeptFacts(BaseModel):
    """Facts of a run. Versions before and after this one have others beside these, or lack those with a default."""

    model_config = ConfigDict(strict=True, extra="allow")
    run: Line
    title: Line
    changes: list[Line] = []
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    architectures: Count
    subspace: Count | None = None
    scored: Annotated[int, Field(ge=0, le=10**12)] | None = None
    minutes: Annotated[float, Field(gt=0, le=1e9)]  # of the budget, or those of the steps of the budget
    budget_steps: Count | None = None  # steps, if the budget is one of steps
    threads: Annotated[int, Field(ge=1, le=10**6)]
    steps: Annotated[int, Field(ge=0, le=10**12)]
    images_per_step: Count
    wall_seconds: Seconds
    linear_steps: Annotated[int, Field(ge=0, le=10**12)] | None = None
    linear_seconds: Seconds | None = None
    teacher_seconds: Seconds | None = None
    teacher_accuracy: Share | None = None
    scoring_seconds: Seconds | None = None
    chosen: Cell | None = None  # what the method itself ends with
    warned: bool | None = None  # whether its learning ended with a warning
    accuracy: Share | None = None
    similarity: Number | None = None
    loss: Number | None = None
    spread: Number | None = None
    drift: Number | None = None
    machine: Line


def first_problem(error: ValidationError) -> str:
    """What is wrong first, in part of a line: the key, the value and what was expected."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "its content"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
    return f"{key} = {shortened(first['input'])} ({message[0].lower()}{message[1:]})"
