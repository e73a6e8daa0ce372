"""Configurations as their users give them: read from a file, changed by ``--set``, checked against a table.

Searches and recipes of training share it.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pinas_zoo.bounded_reading import MIB, read_json
from pinas_zoo.engine.plain_data import check_plain
from pinas_zoo.engine.python_config import read_python_config
from pinas_zoo.errors import UserError
from pinas_zoo.weights.size_limits import shortened

T = TypeVar("T", bound=BaseModel)
JSON_LIMIT = 16 * MIB  # of a JSON configuration


def read_config(path: Path) -> dict[str, Any]:
    """Read a configuration file as plain data, which is not validated.

    Raises:
        UserError: The file does not exist or cannot be read.
    """
    if not path.is_file():
        raise UserError(f"expected a configuration file, found none at {path}; configs/search has examples")
    if path.suffix == ".py":
        return read_python_config(path).to_dict()
    # read JSON as plain data: mmengine's reader would execute what `_base_` and `custom_imports` name
    values = read_json(path, "a configuration", JSON_LIMIT)
    if not isinstance(values, dict):
        raise UserError(f"expected a configuration in {path}, a JSON object, got a {type(values).__name__}")
    return values


def parse_table(table: type[T], values: Mapping[str, Any], where: str) -> T:
    """Validate plain data against any table of a configuration.

    Raises:
        UserError: A key is unknown or missing, or a value has the wrong type or range. The message names the first
            error.
    """
    try:
        check_plain(values, where)
        return table.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UserError(f"{where}: unknown key {key!r}; {_hint(table, first['loc'])}") from error
        if first["type"] == "missing":
            raise UserError(f"{where}: expected a key {key!r}, found none") from error
        if not first["loc"]:  # an error that concerns several keys
            raise UserError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
        if first["type"] == "model_type":  # one value for a table
            known = "', '".join(_table_of(table, first["loc"]).model_fields)
            raise UserError(
                f"{where}: {key!r}: expected a table of the keys '{known}', got {shortened(first['input'], 200)}; set "
                f"them one by one, as in {key}.KEY=VALUE"
            ) from error
        message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        message = message.split(", unable to parse")[0]
        message = message[0].lower() + message[1:]
        if isinstance(first["input"], Mapping):  # of several keys, whose values the message names
            raise UserError(f"{where}: {message}") from error
        raise UserError(f"{where}: {key!r}: {message}, got {shortened(first['input'], 200)}") from error
    except RecursionError:
        raise UserError(f"{where}: expected plain data, got tables within tables without end") from None


def _table_of(table: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The innermost table on the way from ``table`` along the keys."""
    inner: Any = table
    for part in loc:
        by_name = get_origin(inner) is dict  # then the part is a name
        inner = get_args(inner)[1] if by_name else table.model_fields[str(part)].annotation
        if get_origin(inner) in (Union, UnionType):  # None, or a table
            inner = get_args(inner)[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            table = inner
        elif get_origin(inner) is not dict:
            break
    return table


def _hint(table: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    table = _table_of(table, loc[:-1])
    close = difflib.get_close_matches(str(loc[-1]), table.model_fields, n=1)
    if close:
        return f"did you mean {'.'.join([*map(str, loc[:-1]), close[0]])!r}?"
    return f"known are {', '.join(sorted(table.model_fields))}"


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Parse the arguments of ``--set``. A value that is not a Python literal is read as text.

    Raises:
        UserError: An argument has no ``=`` or no key, or its value calls ``dict``.

    Example:
        >>> parse_overrides(["learn.steps=100", "data.root=images"])
        {'learn.steps': 100, 'data.root': 'images'}
    """
    overrides = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise UserError(f"expected --set KEY=VALUE, got {text!r}")
        try:
            overrides[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            if value.startswith("dict("):
                raise UserError(
                    f"expected a Python literal, got {text!r}; set keys one by one, as in "
                    f"`--set {key}.KEY=VALUE`, or write it as {{'KEY': VALUE}}"
                ) from None
            overrides[key] = value
    return overrides
