"""Reading files that somebody else may have written: regular files alone, up to a size, as UTF-8 or JSON.

A named pipe or device, which could be read without end, is refused without waiting for it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import open_regular

MIB = 2**20
LEVELS = 64  # of lists and objects within each other
LARGEST = 1e300  # of a number that others wrote


def is_finite(value: object) -> bool:
    """Whether a value of JSON or of a checkpoint is a finite number; whole numbers there may have any length."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def read_bytes(path: Path, what: str, limit: int) -> bytes:
    """The content of a file.

    Args:
        path: The file. A symbolic link is followed.
        what: What the file should be, such as ``a table of trained networks``, for messages.
        limit: Largest size in bytes.

    Raises:
        UserError: It is missing, cannot be read, is no regular file, or is larger than the limit.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(limit + 1) if size <= limit else b""
    except FileNotFoundError:
        raise UserError(f"expected {what} in {path}, found no file there") from None
    except OSError as error:
        raise UserError(f"expected {what} in {path}, which cannot be read: {error.strerror or error}") from None
    if max(size, len(content)) > limit:
        raise UserError(f"expected {what} in {path} of at most {limit / MIB:g} MiB, got {size / MIB:,.0f} MiB")
    return content


def read_text(path: Path, what: str, limit: int) -> str:
    """The content of a file as text; a byte order mark is left out.

    Raises:
        UserError: As :func:`read_bytes`; or it is not UTF-8.
    """
    try:
        return read_bytes(path, what, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"expected {what} in {path} as UTF-8, got other bytes at {error.start}") from None


def read_json(path: Path, what: str, limit: int) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: As :func:`read_text`; or it is not JSON.
    """
    try:
        return parse_json(read_text(path, what, limit))
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"expected {what} in {path}, got a damaged file ({error})") from None


def parse_json(text: str | bytes) -> Any:
    """The value of JSON text whose lists and objects are at most :data:`LEVELS` deep, so that any code may walk it.

    Raises:
        ValueError: It is not.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(LEVELS):
        parts = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [child for part in parts for child in part if isinstance(child, dict | list)]
        if not level:
            return value
    raise ValueError(f"more than {LEVELS} lists and objects within each other")
