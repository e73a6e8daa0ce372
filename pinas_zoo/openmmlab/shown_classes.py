"""Names and colours of a model's classes: those of its checkpoint, its config or its data set, checked as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.data_checks import heads_of
from pinas_zoo.terminal import escape
from pinas_zoo.weights.size_limits import shortened

LONGEST = 200  # characters of a name


def dataset_meta(
    known: Mapping[str, Any], content: Mapping[str, Any], model: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """``dataset_meta`` of a model, whose classes are as many as the outputs of its heads.

    Args:
        known: Of the data set and the config.
        content: The checkpoint, whose ``meta`` may hold others.
        model: The config's table.
        where: The checkpoint, for messages.

    Raises:
        UserError: Classes are missing, no list of names, or too few or too many.
    """
    meta = content.get("meta")
    stored = meta.get("dataset_meta") if isinstance(meta, Mapping) else None
    if stored is not None and not isinstance(stored, Mapping):
        raise UserError(f"expected the classes of a data set as a table in {where}, got {shortened(stored)}")
    found = {**known, **{str(key).lower(): value for key, value in (stored or {}).items()}}
    names = found.get("classes")
    if not isinstance(names, list | tuple) or not names:
        raise UserError(
            f"expected a list of classes in {where}, or in metainfo of the config's test data, got {shortened(names)}"
        )
    for place, (count, _) in heads_of(model).items():
        if count != len(names):
            raise UserError(
                f"expected {count} classes, as {place} says, in {where} or in metainfo of the config's test data, got "
                f"{len(names)}"
            )
    found["classes"] = tuple(escape(str(name))[:LONGEST] for name in names)
    if not _are_colors(found.get("palette"), len(names)):
        found.pop("palette", None)
    return found


def _are_colors(given: Any, count: int) -> bool:
    return (
        isinstance(given, list | tuple)
        and len(given) >= count
        and all(isinstance(color, Sequence) and len(color) == 3 and all(map(_is_byte, color)) for color in given)
    )


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= 255
