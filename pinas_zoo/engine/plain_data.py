"""Whether a configuration is plain data, of bounded size, before its tables are validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pinas_zoo.errors import UserError
from pinas_zoo.weights.size_limits import shortened

MAX_NUMBER = 2**53  # in a configuration; up to it a float counts whole numbers
MAX_ITEMS = 100_000  # in a list
MAX_DEPTH = 32  # of tables


def check_plain(value: Any, where: str, key: str = "", depth: int = 0) -> None:
    """Check that a configuration is plain data: tables and lists of text, truth values and finite numbers.

    Tables whose keys the configuration does not know itself, ``space`` and ``learn.options``, are checked too.

    Raises:
        UserError: With the first value that is something else.
    """
    at = f"{where}: {key!r}: " if key else f"{where}: "
    if depth > MAX_DEPTH:
        raise UserError(f"{at}expected at most {MAX_DEPTH} tables within each other, got more")
    if value is None or isinstance(value, str | bool | Path):
        return
    if isinstance(value, int | float):
        if not -MAX_NUMBER <= value <= MAX_NUMBER:  # NaN too
            raise UserError(f"{at}expected a finite number of at most {MAX_NUMBER:g}, got {shortened(value)}")
    elif isinstance(value, Mapping):
        for name, part in value.items():
            if not isinstance(name, str | int):
                raise UserError(f"{at}expected text or a whole number as a key, got {shortened(name)}")
            check_plain(part, where, f"{key}.{name}" if key else str(name), depth + 1)
    elif isinstance(value, list | tuple):
        if len(value) > MAX_ITEMS:
            raise UserError(f"{at}expected at most {MAX_ITEMS} values, got {len(value)}")
        for index, part in enumerate(value):
            check_plain(part, where, f"{key}.{index}" if key else str(index), depth + 1)
    elif not isinstance(value, BaseModel):
        raise UserError(f"{at}expected text, numbers, lists or tables, got {type(value).__name__} {shortened(value)}")
