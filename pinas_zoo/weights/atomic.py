"""Atomic writes: a file is complete or absent, also with several writers at once or after a killed process."""

from __future__ import annotations

import json
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import open_new, replace


@contextmanager
def replacing(path: Path, empty: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; its file replaces ``path`` when the block ends without an error.

    After an error the temporary file is deleted. Its name is random, and nothing lay there before, so two writers never
    share a file, and nobody can have put a link in its place; the last writer to finish wins. Missing parent folders
    are made. A symbolic link at ``path`` is replaced, not followed.

    Args:
        path: What is written.
        empty: Whether the block finds an empty file, for the block that opens it by name; otherwise it finds nothing
            and creates a file or a link there.

    >>> with replacing(Path("curve.csv")) as temporary:
    ...     temporary.write_text("step,loss")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # not tempfile, whose files other users cannot read: these take the umask's mode
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    if empty:
        os.close(open_new(temporary))
    try:
        yield temporary
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file that somebody else may have written.

    Raises:
        UserError: It is longer than ``limit`` bytes, or no regular file: a pipe or a device may never end.
        OSError: It is not there, or cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(f"expected a regular file at {path}, got a folder, pipe or device; delete it")
    # nonblocking, should it have become a pipe, which would wait for a writer
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UserError(f"expected a regular file at {path}, got a folder, pipe or device; delete it")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UserError(f"expected at most {limit} bytes in {path}, got more; is it the right file?")
    return content


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; line endings stay as given."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


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
