"""The same space with networks of another size, such as those that are trained after a search in a smaller supernet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.search.spaces.base import SearchSpace, build_space


def resized_space(config: Mapping[str, Any], changes: Mapping[str, Any]) -> SearchSpace:
    """Build the same space with networks of another size, such as more cells.

    Args:
        config: The ``space`` table.
        changes: Keys of it that differ.

    Raises:
        UserError: The changes name another type or subspace, or make other layers or candidates, or the space does not
            accept them.

    Example:
        >>> from pinas_zoo.search.spaces.resized import resized_space
        >>> shallow = {"type": "nasbench201", "channels": 16, "cells": 1}
        >>> resized_space(shallow, {"cells": 5}).cells
        5
    """
    for key in ("type", "subspace"):
        if key in changes:
            raise UserError(f"expected keys that change the size of networks, got {key}={changes[key]!r}")
    resized = build_space({**config, **changes})
    searched = _searched(resized)
    for what, names in _searched(build_space(config)).items():
        if names != searched[what]:
            raise UserError(
                f"expected keys that change the size of networks and leave their searched {what} as they are, "
                f"{', '.join(names)}; {dict(changes)} makes them {', '.join(searched[what])}"
            )
    return resized


def _searched(space: SearchSpace) -> dict[str, list[str]]:
    """The names of what an architecture chooses between, or their numbers where they have none."""
    return {
        "layers": list(space.layer_names) or [f"{k}" for k in range(space.num_layers)],
        "candidates": list(space.candidate_names) or [f"{k}" for k in range(space.num_candidates)],
    }
