"""How large a network that is described from outside may be; checked by arithmetic before anything of it is built.

A registry entry, a config.json or an option of a command takes a line to name a network of a billion layers. The limits
are far above the networks of the field: ResNet-1001 aside, the deepest of timm's have some 270 layers, and ImageNet-22k
has 22 thousand classes.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

MAX_LAYERS = 512  # searched layers of a network, or cells
MAX_CHANNELS = 2**16  # of an image, a stem or a stage
MAX_CLASSES = 2**22
MAX_PARAMETERS = 2**29  # 2 GiB in fp32
MAX_SIDE = 2048  # pixels of an image's height or width
MAX_RESIZED = 8192  # pixels of an image's shorter side before it is cropped
WEIGHTS_LIMIT = 8 * MAX_PARAMETERS + 2**20  # bytes of a file of weights, fp64 included
_MAX_ARGUMENT = 2**15  # of an entry point that this package knows nothing of


def check_count(key: str, value: Any, least: int, most: int) -> int:
    """Read a whole number of a given range.

    Raises:
        ValueError: Another type, or out of range.
    """
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None:
        raise ValueError(f"expected {key} as a whole number, got {shortened(value)}")
    if count < least:
        raise ValueError(f"expected {key} of at least {least}, got {shortened(count)}")
    if count > most:
        raise ValueError(f"expected {key} of at most {most}, got {shortened(count)}; try a smaller one")
    return count


def check_parameters(count: int, what: str) -> None:
    """Check the number of parameters of a network that is not built as yet.

    Raises:
        ValueError: More than :data:`MAX_PARAMETERS`.
    """
    if count > MAX_PARAMETERS:
        raise ValueError(
            f"expected {what} of at most {MAX_PARAMETERS / 1e6:.0f} M parameters, got {count / 1e6:.0f} M; try smaller "
            "widths, depths or fewer classes"
        )


def check_plain_arguments(args: Mapping[str, Any]) -> None:
    """Check the arguments of an entry point of timm that this package knows nothing of: every number in them.

    Raises:
        ValueError: With the first argument that has a number out of range, or too many of them.
    """
    for key, value in args.items():
        most = MAX_CLASSES if key == "num_classes" else _MAX_ARGUMENT
        numbers = list(_numbers(value))
        if len(numbers) > 1000 or any(not -most <= number <= most for number in numbers):  # NaN is refused too
            raise ValueError(f"expected {key} with finite numbers of at most {most}, got {shortened(value)}")
        if sum(number for number in numbers if isinstance(number, int)) > most:
            raise ValueError(f"expected {key} with a sum of at most {most}, got {shortened(value)}")


def shortened(value: Any, length: int = 60) -> str:
    """A value's text for a message, cut after ``length`` characters; of a huge integer its size alone."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"a number of about {int(value.bit_length() * 0.30103)} digits"
    try:
        text = repr(value)
    except ValueError:  # a huge integer inside
        text = f"a {type(value).__name__} with a number that is too long to print"
    return text if len(text) <= length else text[: length - 1] + "…"


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
