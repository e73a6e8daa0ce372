"""The lock of a run folder: one search or training at a time writes there. Workers of explore write only the study.

The file ``.lock`` in the folder says who holds it: process, machine, and a heartbeat that grows every ``HEARTBEAT``
seconds. A holder is dead if its process no longer exists on this machine, or if its heartbeat has not grown for
``DEAD_AFTER`` seconds of the clock of the one who asks. A dead holder's lock is taken over. Where the system does not
say when a process began (macOS, Windows), one of the holder's id may be another, so the heartbeat alone shows that it
lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import locked, open_regular, process_ended, process_space, process_start
from pinas_zoo.terminal import note

LOCK = ".lock"
HEARTBEAT = 5.0  # seconds between two heartbeats
DEAD_AFTER = 30.0  # seconds without a heartbeat after which a holder is dead whose process is not known
POLL = 0.5  # seconds between two looks at such a holder
LIMIT = 4096  # bytes of a lock
CURE = "let it finish, or choose another folder with --work-dir"  # of a folder that is held

T = TypeVar("T")


class Holder(BaseModel):
    """The content of a lock."""

    pid: int
    place: str  # machine and space of process ids
    started: str  # of the process
    token: str  # of this holder alone
    beat: int = 0

    def __str__(self) -> str:
        return f"process {self.pid} on {self.place.partition('/')[0] or 'another machine'}"


class FolderHeld(UserError):
    """Another run holds the folder, or has taken it over."""

    def __init__(self, message: str, holder: Holder):
        super().__init__(message)
        self.holder = holder


class FolderLock:
    """The lock of a folder, for one holder.

    Args:
        folder: An existing folder.
        cure: What a user may do if another run holds it.
    """

    def __init__(self, folder: Path, cure: str = CURE):
        self.folder, self.path, self.cure = folder, folder / LOCK, cure
        pid = os.getpid()
        self.own = Holder(pid=pid, place=process_space(), started=process_start(pid), token=uuid.uuid4().hex)
        self.lost: Holder | None = None  # who has taken it over
        self._seen: Holder | None = None  # the holder that is watched, as it was when its heartbeat last grew,
        self._since = 0.0  # and when that was, by time.monotonic

    def take(self) -> None:
        """Take the lock, or that of a dead holder. An unknown process is watched for ``DEAD_AFTER`` seconds.

        Raises:
            FolderHeld: Another run holds it.
        """
        while (other := self._on_file(self._take)) is not None:
            seen = self._seen if self._seen is not None and self._seen.token == other.token else None
            if self._is_alive(other) or (seen is not None and seen.beat != other.beat):
                raise self._in_use(other)
            if seen is None:
                note(f"{other} holds {self.folder}; watching for {DEAD_AFTER:g} s whether it is alive")
                self._seen, self._since = other, time.monotonic()
            time.sleep(POLL)

    def check_free(self) -> None:
        """Check that no other run of this machine is known to hold the lock, which is not taken.

        Raises:
            FolderHeld: One is.
        """
        other = self._on_file(self._other) if self.path.exists() else None
        if other is not None and self._is_alive(other):
            raise self._in_use(other)

    def _in_use(self, other: Holder) -> FolderHeld:
        return FolderHeld(
            f"expected a run folder that no other process uses, got {self.folder}, which {other} uses; {self.cure}",
            other,
        )

    def beat(self) -> bool:
        """Write a heartbeat; False once another holder has taken the lock over."""

        def write(file: int) -> bool:
            found = _read(file)
            if found is not None and found.token != self.own.token:
                self.lost = found
                return False
            self.own.beat += 1
            _write(file, self.own)
            return True

        with contextlib.suppress(OSError):  # a full disk, a folder that was moved: the others see no heartbeat
            return self._on_file(write)
        return True

    def check(self) -> None:
        """Check that the lock has not been taken over.

        Raises:
            FolderHeld: It has been.
        """
        if self.lost is not None:
            raise FolderHeld(
                f"expected to hold run folder {self.folder} until the end, got no heartbeat out for {DEAD_AFTER:g} s, "
                f"after which {self.lost} took it over; let that one finish",
                self.lost,
            )

    def release(self) -> None:
        """Give the lock back, unless another holder has taken it over."""

        def remove(file: int) -> None:
            found = _read(file)
            if found is None or found.token == self.own.token:
                os.ftruncate(file, 0)
                with contextlib.suppress(OSError):  # Windows keeps what is open; an empty file holds nothing
                    self.path.unlink()

        with contextlib.suppress(OSError):
            if self.path.exists():
                self._on_file(remove)

    def remove_abandoned(self) -> None:
        """Remove the lock that a process left which was killed after its work was complete; one in use stays."""
        with contextlib.suppress(OSError):  # a folder that cannot be written to is read all the same
            if self.path.exists() and self._on_file(self._take) is None:
                self.release()

    def _take(self, file: int) -> Holder | None:
        other = self._other(file)
        silent = other == self._seen and time.monotonic() - self._since > DEAD_AFTER
        if other is not None and not silent:
            return other
        _write(file, self.own)
        return None

    def _other(self, file: int) -> Holder | None:
        found = _read(file)
        if found is None or found.token == self.own.token:
            return None
        return None if self._is_dead(found) else found

    def _is_dead(self, holder: Holder) -> bool:
        """Whether the holder's process was on this machine and has ended."""
        return holder.place == self.own.place and process_ended(holder.pid, holder.started)

    def _is_alive(self, holder: Holder) -> bool:
        """Whether the holder's process is known to run on this machine."""
        known = holder.place == self.own.place and holder.started
        return bool(known) and process_start(holder.pid) == holder.started

    def _on_file(self, work: Callable[[int], T]) -> T:
        """Call a function with the descriptor of the lock's file while no other process is at it."""
        while True:
            file = open_regular(self.path, os.O_RDWR | os.O_CREAT, follow=False)
            try:
                with locked(file):
                    try:  # a holder that has gone may have removed this file since it was opened
                        same = os.path.samestat(os.fstat(file), os.stat(self.path, follow_symlinks=False))
                    except FileNotFoundError:
                        same = False
                    if same:
                        return work(file)
            finally:
                os.close(file)


def _read(file: int) -> Holder | None:
    """The holder in a lock; None if it is empty, or torn by a kill within the write."""
    os.lseek(file, 0, os.SEEK_SET)
    try:
        return Holder.model_validate_json(os.read(file, LIMIT))
    except ValidationError:
        return None


def _write(file: int, holder: Holder) -> None:
    content = holder.model_dump_json().encode()
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, content)
    os.ftruncate(file, len(content))


def refuse_if_held(folder: Path, cure: str = CURE) -> None:
    """Check early, before images are read, that no other run of this machine holds a folder.

    Raises:
        FolderHeld: Another one does.
    """
    FolderLock(folder, cure).check_free()


@contextmanager
def hold_folder(folder: Path, cure: str = CURE) -> Iterator[FolderLock]:
    """Context manager that holds the lock of a folder, which is created, and sends heartbeats.

    If another run takes the lock over, this one is interrupted where a signal can do so, and finds it by
    :meth:`FolderLock.check`, before it marks a stage as complete.

    Raises:
        FolderHeld: Another run holds the folder, or has taken it over while this one sent no heartbeats, such as on a
            machine that slept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, stop = FolderLock(folder, cure), threading.Event()
    lock.take()
    interrupts = os.name == "posix" and threading.current_thread() is threading.main_thread()

    def once_lost(number: int, frame: object) -> None:
        if lock.lost is not None:
            raise KeyboardInterrupt

    # a shell starts background jobs of a script with SIGINT ignored; anyone else's stays so
    ignored = interrupts and signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if ignored:
        signal.signal(signal.SIGINT, once_lost)

    def beat() -> None:
        while not stop.wait(HEARTBEAT):
            if not lock.beat():
                if interrupts:
                    os.kill(os.getpid(), signal.SIGINT)  # also ends a wait of the main thread
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield lock
    except KeyboardInterrupt:
        lock.check()
        raise
    finally:
        stop.set()
        thread.join()
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        lock.release()
