"""What killed writers of files and model folders left behind, and how a later writer tells it from a living one's work.

The name of a temporary file or folder says which process writes there. The next writer of the same place removes those
whose process has ended; those of other machines, and those of living processes, stay.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
import zlib
from contextlib import suppress
from pathlib import Path

from pinas_zoo.operating_system import process_exists, process_space

_SILENT = 3600.0  # seconds after which something that names no process, of an older version, is taken for abandoned


def temporary_beside(path: Path) -> Path:
    """A random name beside ``path`` for what will replace it; the name says which process writes there."""
    return path.with_name(f".{path.name}.{_space_mark()}-{os.getpid()}.{uuid.uuid4().hex[:12]}.tmp")


def remove_abandoned(parent: Path, name: str) -> None:
    """Remove temporary files and folders for ``parent/name`` whose writers have ended.

    What cannot be removed stays, and nothing is raised. Symbolic links are not followed.
    """
    form = re.compile(re.escape(f".{name}.") + r"(?:([0-9a-f]{8})-([0-9]{1,10})\.)?[0-9a-f]{12}\.tmp")
    with suppress(OSError):
        for path in list(parent.iterdir()):
            match = form.fullmatch(path.name)
            if match is None:
                continue
            space, pid = match.groups()
            gone = space == _space_mark() and not process_exists(int(pid)) if pid else _is_silent(path)
            if gone:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _is_silent(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime > _SILENT
    return False


def _space_mark() -> str:
    """The machine and its space of process ids, short enough for a file's name."""
    return f"{zlib.crc32(process_space().encode()):08x}"
