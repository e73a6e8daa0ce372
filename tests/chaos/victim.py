"""A command that is killed at a moment drawn beforehand: after some time, or at its n-th operation on a file.

Moments between two operations on files are where half-written folders come from, and seldom hit by the clock alone.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.forked import ForkedCommand

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
OPERATIONS, STEPS, BEGUN = 0, 1, 2  # counters that the process shares with this one


@dataclass(frozen=True)
class Moment:
    """When to send which signal; one of ``seconds`` and ``operation`` is given."""

    signal: signal.Signals
    seconds: float | None = None  # after the start
    operation: int | None = None  # just before the n-th change of a file in the folder

    def __str__(self) -> str:
        when = f"after {self.seconds:.3f} s" if self.operation is None else f"at operation {self.operation} on files"
        return f"{self.signal.name} {when}"


class Victim:
    """A command in a process of its own, started at once.

    Args:
        words: After ``pinas-zoo``.
        folder: Where it runs, and whose files are watched.
        env: Changes of its environment.
        moment: When it is killed; None to leave it alone.
    """

    def __init__(self, words: Sequence[str], folder: Path, env: Mapping[str, str], moment: Moment | None):
        self.moment = moment
        self._counters = mmap.mmap(-1, 24)
        self.started = time.monotonic()

        def prepare() -> None:
            os.environ.update(env)
            os.chdir(folder)
            register_optimizer_step_post_hook(lambda *_: self._count(STEPS))
            self._watch(str(folder))
            self._count(BEGUN)

        self.command = ForkedCommand(words, prepare)
        self.sent = False
        self.result: tuple[int, str] | None = None  # exit code and output, once it has ended
        self.seconds = 0.0

    def attend(self, limit: float) -> bool:
        """Send the signal if it is time, and look whether the process has ended.

        Args:
            limit: Seconds after which it is killed as one that hangs.
        """
        if self.result is not None:
            return True
        passed = time.monotonic() - self.started
        if self.command.has_ended():
            self.result, self.seconds = self.command.end(), passed
            return True
        due = self.moment is not None and self.moment.seconds is not None and passed >= self.moment.seconds
        if self.moment is not None and due and not self.sent and self._get(BEGUN):
            os.kill(self.command.pid, self.moment.signal)
            self.sent = True
        if passed > limit:
            os.kill(self.command.pid, signal.SIGKILL)
            code, text = self.command.end()
            self.result, self.seconds = (code, f"{text}\nit hung for {limit:g} s"), passed
            return True
        return False

    @property
    def operations(self) -> int:
        """Changes of files that it has made."""
        return self._get(OPERATIONS)

    @property
    def steps(self) -> int:
        """Steps of optimisers that it has made."""
        return self._get(STEPS)

    def problems(self) -> list[str]:
        """What its exit code and output say that they should not."""
        assert self.result is not None
        code, text = self.result
        tail = " | ".join(text.strip().splitlines()[-3:])[-400:]
        if "it hung for" in text:
            return [f"hangs: {tail}"]
        if "Traceback" in text or "Exception ignored" in text:
            return [f"traceback: {tail}"]
        if code == 0 or self.was_killed:
            return []
        return [f"exit code {code}: {tail}"]

    @property
    def was_killed(self) -> bool:
        """Whether its signal has ended it: before Python's handlers were set, or by them."""
        assert self.result is not None
        return self.moment is not None and self.result[0] in (-self.moment.signal, 128 + self.moment.signal)

    def _get(self, index: int) -> int:
        value: int = struct.unpack_from("q", self._counters, 8 * index)[0]
        return value

    def _count(self, index: int) -> int:
        value = self._get(index) + 1
        struct.pack_into("q", self._counters, 8 * index, value)
        return value

    def _watch(self, folder: str) -> None:
        """Count the changes of files below a folder, and send the signal at the drawn one. It is for the child."""
        target = 0 if self.moment is None else self.moment.operation or 0

        def hook(event: str, args: tuple[Any, ...]) -> None:
            changes = event in CHANGES or (event == "open" and isinstance(args[2], int) and bool(args[2] & WRITES))
            if not changes or not isinstance(args[0], str | os.PathLike):
                return
            if os.path.abspath(os.fspath(args[0])).startswith(folder) and self._count(OPERATIONS) == target:
                assert self.moment is not None
                os.kill(os.getpid(), self.moment.signal)

        sys.addaudithook(hook)
