"""What an input of the corpus is: how it is made, who reads it, and what the reader promises.

The promise for every input: it is accepted and read rightly, or refused in one line (exit code 2 of a command); within
a minute and 2 GiB; nothing is executed, and nothing is written outside the folder it was made in. The last two are
watched by :mod:`tests.hostile.limits`, the first stands with the input.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Make = Callable[[Path], Any]
Read = Callable[[Any], Any]


@dataclass(frozen=True)
class Refused:
    """The reader raises a UserError of one line, which contains these words."""

    words: str = ""


@dataclass(frozen=True)
class Accepted:
    """The reader returns something for which ``right`` is true."""

    right: Callable[[Any], Any] = lambda result: True


class Either:
    """Accepted or refused: of inputs made by chance, such as files with some bytes changed."""


Promise = Refused | Accepted | Either


@dataclass(frozen=True)
class Input:
    """An input.

    Attributes:
        name: Unique in the corpus; says what the input is.
        make: Makes the input in an empty folder, and returns what the reader is given.
        read: The reader, a function of the package or a whole command.
        promise: What the reader does with it.
        seconds: Limit of wall time and of processor time.
    """

    name: str
    make: Make
    read: Read
    promise: Promise
    seconds: float = 60.0


def table(
    prefix: str, read: Read, rows: Mapping[str, tuple[Make, Promise]], seconds: float = 60.0
) -> tuple[Input, ...]:
    """Inputs of one reader from rows of a name, how it is made, and the promise."""
    return tuple(Input(f"{prefix}-{name}", make, read, promise, seconds) for name, (make, promise) in rows.items())


def file_of(content: bytes, name: str) -> Make:
    """Makes a file with this content; the reader is given its path."""

    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def given(value: Any) -> Make:
    """The reader is given a value, and nothing is made."""
    return lambda folder: value


def shards(inputs: tuple[Input, ...], size: int = 50) -> list[tuple[Input, ...]]:
    """The inputs in parts, each of which is read in one process."""
    waiting = iter(inputs)
    return list(iter(lambda: tuple(itertools.islice(waiting, size)), ()))
