"""What killed writers of files and model folders left behind, and how a later writer tells it from a living one's work.

A temporary file has its writer's process in its name, a temporary model folder has it in a file. The next writer of the
same place removes those whose process has ended; those of other machines, and those of living processes, stay.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
import zlib
from contextlib import suppress
from pathlib import Path

from pinas_zoo.bounded_reading import read_json
from pinas_zoo.operating_system import process_exists, process_space, process_start

OWNER_FILE = ".writer.json"
_SILENT = 3600.0  # seconds after which something that names no process is taken for abandoned


def temporary_beside(path: Path) -> Path:
    """A random name beside ``path`` for what will replace it; the name says which process writes there."""
    return path.with_name(f".{path.name}.{_space_mark()}-{os.getpid()}.{uuid.uuid4().hex[:12]}.tmp")


def mark_owner(folder: Path) -> None:
    """Note in a temporary folder that this process writes it."""
    (folder / OWNER_FILE).write_text(json.dumps(_this_process()), encoding="utf-8")


def remove_abandoned(parent: Path, name: str) -> None:
    """Remove temporary files and folders for ``parent/name`` whose writers have ended.

    What cannot be removed stays, and nothing is raised. Symbolic links are not followed.
    """
    form = re.compile(re.escape(f".{name}.") + r"(?:([0-9a-f]{8})-([0-9]{1,10})\.)?[0-9a-f]{12}\.tmp")
    with suppress(OSError):
        for path in list(parent.iterdir()):
            match = form.fullmatch(path.name)
            if match is not None and (_has_ended(*match.groups()) or _is_abandoned(path)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _has_ended(space: str | None, pid: str | None) -> bool:
    """Whether a temporary name says a process of this machine that has ended."""
    return pid is not None and space == _space_mark() and not process_exists(int(pid))


def _is_abandoned(path: Path) -> bool:
    """Whether the process that is noted in a folder has ended; or, if none is, nothing was written for an hour."""
    try:
        owner = read_json(path / OWNER_FILE, "the process of a writer", 4096)
        pid, space, start = int(owner["pid"]), str(owner["space"]), str(owner["start"])
    except (ValueError, KeyError, TypeError):  # a file; or killed before it was noted
        with suppress(OSError):
            return time.time() - path.lstat().st_mtime > _SILENT
        return False
    if space != _this_process()["space"]:
        return False
    return not process_exists(pid) or start != process_start(pid)


def _space_mark() -> str:
    """The machine and its space of process ids, short enough for a file's name."""
    return f"{zlib.crc32(process_space().encode()):08x}"


def _this_process() -> dict[str, int | str]:
    """This process: its id, the machine and space of ids that the id belongs to, and when it began."""
    pid = os.getpid()
    return {"pid": pid, "space": process_space(), "start": process_start(pid)}
