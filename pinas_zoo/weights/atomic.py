"""Files that are there whole or not at all, whoever writes them at the same time and whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path``, which it replaces when the block ends without an error; else it is deleted.

    Each writer has a name of its own, so that two of them do not share a file; the last one to finish wins. Parents
    are made. A symbolic link at ``path`` is replaced, not followed.

    >>> with replacing(Path("curve.csv")) as temporary:
    ...     temporary.write_text("step,loss")
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # not tempfile: its files are closed to everyone else, whatever the umask
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, lines ending as they are given."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Readable JSON.

    Raises:
        UserError: A value that JSON cannot hold.
    """
    write_text(path, to_json(value))


def to_json(value: Any) -> str:
    """Readable JSON text.

    Raises:
        UserError: A value that JSON cannot hold.
    """
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise UserError(f"expected plain data (numbers, text, lists, dicts), got {error}") from None
