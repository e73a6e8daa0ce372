"""Atomic writes: a file is complete or absent, also with several writers at once or after a killed process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import open_new, replace
from pinas_zoo.weights.abandoned import remove_abandoned, temporary_beside


@contextmanager
def replacing(path: Path, empty: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; its file replaces ``path`` when the block ends without an error.

    After an error the temporary file is deleted. Its name is random, and nothing lay there before, so two writers never
    share a file, and nobody can have put a link in its place; the last writer to finish wins. Missing parent folders
    are made, and what a killed writer of ``path`` left is removed. A symbolic link at ``path`` is replaced, not
    followed.

    Args:
        path: What is written.
        empty: Whether the block finds an empty file, for the block that opens it by name; otherwise it finds nothing
            and creates a file or a link there.

    >>> with replacing(Path("curve.csv")) as temporary:
    ...     temporary.write_text("step,loss")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(path.parent, path.name)
    # not tempfile, whose files other users cannot read: these take the umask's mode
    temporary = temporary_beside(path)
    if empty:
        os.close(open_new(temporary))
    try:
        yield temporary
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; line endings stay as given.

    Bytes of a path that are not text under this system's encoding, as those of ``ä`` are under ``LANG=C``, are written
    as ``\\udcc3``. JSON reads that as the same path.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically.

    Raises:
        UserError: A value that JSON cannot hold.
    """
    write_text(path, to_json(value))


def to_json(value: Any) -> str:
    """Indented JSON text that ends with a newline.

    Raises:
        UserError: A value that JSON cannot hold.
    """
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise UserError(f"expected plain data (numbers, text, lists, dicts), got {error}") from None
