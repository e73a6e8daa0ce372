"""The value of ``train.compare.recipe``: a recipe of configs/cls by name, a recipe file, or a table.

A configuration keeps the table, so that a run folder says by which recipe its networks were trained, also after the
file has changed. A name stands for a file of this package. Any other file is executed when it is read, so that only
the user may name it: in a Python configuration, by ``--set`` or in a call. One that ``config.json`` of a run folder
names is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
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


def with_recipe_read(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration with the recipe file that it names read as plain data; the user must have named it.

    Raises:
        UserError: There is no such file or name, or the file cannot be read.
    """
    inner: Any = values
    for key in KEY:
        inner = inner.get(key) if isinstance(inner, Mapping) else None
    if not isinstance(inner, str):
        return dict(values)
    try:
        table = read_config(find_config(Path(inner), "cls"))
    except UserError as error:
        raise UserError(f"{'.'.join(KEY)}: {error}") from None
    train = values["train"]
    return {**values, "train": {**train, "compare": {**train["compare"], "recipe": table}}}
