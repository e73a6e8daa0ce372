"""The value of ``explore.score``: the name of one kind of scores, or a list of kinds whose ranks are combined.

A list holds names, or pairs of a name and a weight: ``["identification", ["flops", 0.5]]``. It is kept as pairs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, get_args

ScoreName = Literal[
    "classifier", "probe", "consistency", "identification", "flops", "naswot", "jacov", "synflow", "grad_norm", "snip",
    "fisher", "zen", "zico", "az_expressivity", "az_progressivity", "az_trainability", "az_complexity",
    "reachable_flops", "reachable_params", "convolutions", "shortest_path",
]  # fmt: skip
SCORE_NAMES: tuple[str, ...] = get_args(ScoreName)
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e6


def checked_score(value: Any) -> Any:
    """``explore.score`` as it is kept: a name, or pairs of names and weights.

    Raises:
        ValueError: It is neither a known name nor a list of such.
    """
    if isinstance(value, list | tuple):
        return weighted(value, SCORE_NAMES)
    if value not in SCORE_NAMES:
        raise ValueError(f"expected one of {', '.join(SCORE_NAMES)}, or a list of several")
    return value


def weighted(parts: list[Any] | tuple[Any, ...], names: Collection[str]) -> tuple[tuple[str, float], ...]:
    """Pairs of a name and a weight, from names and such pairs. A name alone has weight 1.

    Args:
        parts: The list.
        names: Known names.

    Raises:
        ValueError: The list is empty, a name is unknown or repeated, or a weight is no positive number.
    """
    found: dict[str, float] = {}
    for part in parts:
        pair = tuple(part) if isinstance(part, list | tuple) else (part, 1.0)
        if len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError("expected names of scores or pairs like ['flops', 0.5] in the list")
        name, weight = pair
        if name not in names:
            raise ValueError(f"expected scores of {', '.join(names)} in the list")
        if name in found:
            raise ValueError(f"expected each score once in the list; to count {name} twice, write ['{name}', 2]")
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
            raise ValueError(f"expected a weight of {LEAST_WEIGHT:g} to {MOST_WEIGHT:g} for {name}")
        found[name] = float(weight)
    if not found:
        raise ValueError("expected at least one score in the list")
    return tuple(found.items())


def weighted_sums(sums: Any, names: Collection[str]) -> tuple[tuple[tuple[str, float], ...], ...]:
    """Several lists of :func:`weighted`.

    Raises:
        ValueError: As :func:`weighted`; or a list has one score alone, or stands there twice.
    """
    if not isinstance(sums, list | tuple) or not all(isinstance(one, list | tuple) for one in sums):
        raise ValueError("expected a list of lists of scores, such as [['consistency', 'jacov']]")
    found = tuple(weighted(tuple(one), names) for one in sums)
    if any(len(one) < 2 for one in found):
        raise ValueError("expected at least two scores in each sum")
    if len({frozenset(one) for one in found}) < len(found):
        raise ValueError("expected each sum once")
    return found


def in_words(parts: tuple[tuple[str, float], ...]) -> str:
    """The parts in one line, as ``consistency + 0.5 flops``."""
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in parts)
