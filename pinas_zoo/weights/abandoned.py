"""What killed writers of model folders left behind, and how a later writer tells it from the work of a living one.

A writer notes in its temporary folder which process it is. The next writer of the same place removes folders whose
process has ended; those of other machines, and those of living processes, stay.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path

from pinas_zoo.errors import UserError
from pinas_zoo.weights.atomic import read_bounded

OWNER_FILE = ".writer.json"
_SILENT = 3600.0  # seconds after which something that names no process is taken for abandoned


def mark_owner(folder: Path) -> None:
    """Note in a temporary folder that this process writes it."""
    (folder / OWNER_FILE).write_text(json.dumps(_this_process()), encoding="utf-8")


def remove_abandoned(parent: Path, name: str) -> None:
    """Remove temporary files and folders for ``parent/name`` whose writers have ended.

    What cannot be removed stays, and nothing is raised. Symbolic links are not followed.
    """
    form = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{12}\.tmp")
    with suppress(OSError):
        for path in list(parent.iterdir()):
            if form.fullmatch(path.name) and _is_abandoned(path):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    try:
        owner = json.loads(read_bounded(path / OWNER_FILE, 4096).decode())
        pid, space, start = int(owner["pid"]), str(owner["space"]), str(owner["start"])
    except (OSError, UserError, ValueError, KeyError, TypeError, RecursionError):  # of an older version; or a file
        with suppress(OSError):
            return time.time() - path.lstat().st_mtime > _SILENT
        return False
    if space != _this_process()["space"]:
        return False
    return not _exists(pid) or start != _start_of(pid)


def _this_process() -> dict[str, int | str]:
    """This process: its id, the machine and space of ids that the id belongs to, and when it began."""
    pid = os.getpid()
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        space = ""
    return {"pid": pid, "space": f"{socket.gethostname()}/{space}", "start": _start_of(pid)}


def _exists(pid: int) -> bool:
    """Whether a process of this machine runs; always true on Windows, where asking needs other means."""
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it exists and belongs to another user
        return True
    return _status(pid)[:1] != ["Z"]  # killed, and not waited for


def _start_of(pid: int) -> str:
    """When a process began, to tell it from a later one of the same id; empty where that is unknown."""
    return "".join(_status(pid)[19:20])


def _status(pid: int) -> list[str]:
    """Fields of Linux's ``/proc/PID/stat`` from the third on; empty elsewhere."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return []
