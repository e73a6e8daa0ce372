"""SIGTERM and SIGHUP stop a command as Ctrl-C does, so that unfinished files are removed and locks given back.

A KeyboardInterrupt can get lost: Python prints and drops one that is raised in a destructor, and libraries in C or Rust
raise an error of their own in its place. So the signal that came is noted, and a dropped one comes again.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

AGAIN = 0.05  # seconds until a dropped interrupt comes again: the destructor that dropped it has ended by then


class StopSignals:
    """While it is entered, the three signals raise KeyboardInterrupt. One that is ignored, as under nohup, stays so.

    Attributes:
        received: Number of the signal that came; 0 if none did.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}
        self._process = os.getpid()
        self._again: threading.Timer | None = None
        self._hook = sys.unraisablehook

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():  # Python sets handlers in that one alone
            return
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                self._before[number] = signal.signal(number, self._stop)
        self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable

    def __exit__(self, *error: object) -> None:
        if sys.unraisablehook == self._unraisable:
            sys.unraisablehook = self._hook
        if self._again is not None:
            self._again.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        if os.getpid() != self._process:  # a child of the command, such as one that loads images
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.received = number
        raise KeyboardInterrupt

    def _unraisable(self, dropped: Any) -> None:
        """Called for an error that Python drops, such as one in a destructor."""
        if not isinstance(dropped.exc_value, KeyboardInterrupt) or not self.received:
            self._hook(dropped)
            return
        self._again = threading.Timer(AGAIN, os.kill, (os.getpid(), self.received))
        self._again.daemon = True
        self._again.start()
