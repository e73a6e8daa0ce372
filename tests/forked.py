"""Commands in a forked child of this process, which has torch imported: real descriptors, signals and exit codes."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from pinas_zoo import cli


class ForkedCommand:
    """A command in a process of its own.

    Args:
        words: After ``pinas-zoo``.
        prepare: Called in the child before the command.
    """

    def __init__(self, words: Sequence[str], prepare: Callable[[], object] = lambda: None):
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 99
            try:
                os.close(self.reader)
                for number in (1, 2):
                    os.dup2(writer, number)
                os.close(writer)
                for name, number in (("stdout", 1), ("stderr", 2)):  # pytest has replaced them
                    stream = open(number, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
                    setattr(sys, name, stream)
                    setattr(sys, f"__{name}__", stream)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
                prepare()
                code = cli.main(list(words))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writer)

    def wait_for(self, path: Path, seconds: float = 120.0) -> None:
        """Wait until the command has written a file."""
        deadline = time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < deadline
            assert os.waitpid(self.pid, os.WNOHANG) == (0, 0), "it has ended"
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        """Exit code, and what was printed and not read yet."""
        with os.fdopen(self.reader, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
        return self.exit_code(), text

    def has_ended(self) -> bool:
        """Whether it has ended; its exit code stays to be read."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def exit_code(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
