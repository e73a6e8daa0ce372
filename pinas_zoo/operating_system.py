"""What differs between operating systems: peak memory, locks of files, other processes, and how files are opened.

Nothing else of the package imports ``resource``, ``fcntl`` or ``msvcrt``. Where a system lacks one, the function says
what it does without it.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)  # Windows has none of the three
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)  # and it alone would change line endings
_WINDOWS_WAIT = 2.0  # seconds in which a file that somebody has open is tried to be replaced


def peak_memory_mib() -> float:
    """Highest resident memory of this process so far in MiB; 0 where the system does not say (Windows)."""
    if resource is None:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def open_new(path: Path) -> int:
    """Create a file for writing and return its descriptor; its mode follows from the umask.

    Raises:
        FileExistsError: There is something at the path, be it a symbolic link.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, 0o666)


def open_regular(path: Path, flags: int = os.O_RDONLY, follow: bool = True) -> int:
    """Open a regular file and return its descriptor. It does not wait for the writer of a named pipe.

    Args:
        path: The file.
        flags: As of ``os.open``.
        follow: Whether a symbolic link at the path is followed.

    Raises:
        OSError: It cannot be opened; it is a folder, pipe, device or socket; or a link that is not followed.
    """
    found = os.open(path, flags | _NONBLOCK | _BINARY | (0 if follow else _NOFOLLOW), 0o666)
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(f"{path} is {kind_of(path)}, and no file")
    return found


def kind_of(path: Path) -> str:
    """What lies at a path, in words for a message; a symbolic link is not followed."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return "nothing"
    kinds = {
        stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")


def replace(source: Path, target: Path) -> None:
    """Rename ``source`` to ``target``, which is replaced at once; a link at ``target`` is replaced, not followed.

    Windows refuses that as long as somebody has ``target`` open, so there it is tried again for two seconds.
    """
    deadline = time.monotonic() + (_WINDOWS_WAIT if os.name == "nt" else 0.0)
    while True:
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.05)


@contextmanager
def locked(descriptor: int) -> Iterator[None]:
    """Context manager in which no other process that asks so too is at the file; it waits for its turn.

    The lock is meant to be held for an instant. Where the system or the disk has no such locks, nothing is locked.
    """
    if fcntl is None:
        yield
        return
    with suppress(OSError):  # a network disk without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def process_space() -> str:
    """This machine and its space of process ids: containers of the same host name may have the same process ids."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{socket.gethostname()}/{space}"


def process_start(pid: int) -> str:
    """When a process of this machine began, to tell it from a later one of the same id; empty where it is unknown."""
    return "".join(_status(pid)[19:20])


def process_exists(pid: int) -> bool:
    """Whether a process of this machine runs. A killed one that nobody has waited for does not.

    Always true on Windows, where asking needs other means.
    """
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it exists and belongs to another user
        return True
    return _status(pid)[:1] != ["Z"]


def process_ended(pid: int, start: str) -> bool:
    """Whether a process of this machine, which began at ``start``, runs no longer; False where that is unknown."""
    if not process_exists(pid):
        return True
    now = process_start(pid)  # empty where the system hides other users' processes
    return bool(start and now) and now != start


def _status(pid: int) -> list[str]:
    """Fields of Linux's ``/proc/PID/stat`` from the third on; the second may hold spaces. Empty elsewhere."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return []
