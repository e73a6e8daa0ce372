"""The value of ``train.compare.recipe``: a recipe of configs/cls by name, a recipe file, or a table.

A configuration keeps the table, so that a run folder says by which recipe its networks were trained, also after the
file has changed. A name stands for a file of this package. Any other file is executed when it is read, so that only
the user may name it: in a Python configuration, by ``--set`` or in a call. One that ``config.json`` of a run folder
names is not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pinas_zoo.config_files import config_names, find_config
from pinas_zoo.engine.config_values import read_config
from pinas_zoo.errors import UserError

KEY = ("train", "compare", "recipe")


def recipe_table(value: Any) -> Any:
    """The table that a name stands for; anything else is returned as it is.

    Raises:
        ValueError: A text that is no name.
    """
    if not isinstance(value, str):
        return value
    known = config_names("cls")
    if value not in known:
        raise ValueError(
            f"expected a recipe of configs/cls ({', '.join(known)}) or a table; a file is read where a Python "
            "configuration or --set names it"
        )
    return read_config(known[value])


def with_recipe_read(
    values: Mapping[str, Any], overrides: Mapping[str, Any], may_name_files: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of a configuration with the recipe that they or the overrides name read as plain data.

    A recipe that the overrides name takes the place of the configuration's as a whole; their other keys are left to be
    merged into it.

    Args:
        values: The configuration without the overrides.
        overrides: Values by dotted key, named by the user.
        may_name_files: Whether the user wrote the configuration itself, so that a file that it names may be executed.

    Returns:
        The configuration, and the overrides that are left.

    Raises:
        UserError: There is no such file or name, the file cannot be read, or the user did not name it.
    """
    given, rest = _taken(overrides)
    found = _inner(values) if given is None else given
    if not isinstance(found, str):
        return dict(values), rest
    try:
        named = may_name_files or given is not None
        table = read_config(find_config(Path(found), "cls")) if named else recipe_table(found)
    except (UserError, ValueError) as error:
        raise UserError(f"{'.'.join(KEY)}: {error}") from None
    return _with_inner(values, table), rest


def _inner(values: Any, keys: Sequence[str] = KEY) -> Any:
    """The value under nested keys; None if there is none."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _with_inner(values: Mapping[str, Any], value: Any, keys: Sequence[str] = KEY) -> dict[str, Any]:
    """A copy of nested tables with the value under the keys replaced, or left out if it is None."""
    first, *rest = keys
    if rest:
        table = values.get(first)
        return {**values, first: _with_inner(table if isinstance(table, Mapping) else {}, value, rest)}
    return {key: one for key, one in values.items() if key != first} | ({} if value is None else {first: value})


def _taken(overrides: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The text that overrides give for the recipe, on whichever level, and the overrides without it."""
    for depth in (3, 2, 1):
        key, below = ".".join(KEY[:depth]), KEY[depth:]
        text = _inner(overrides.get(key), below)
        if isinstance(text, str):
            rest = {name: value for name, value in overrides.items() if name != key}
            return text, rest | ({key: _with_inner(overrides[key], None, below)} if below else {})
    return None, dict(overrides)
