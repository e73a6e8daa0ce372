"""SIGTERM and SIGHUP stop a command as Ctrl-C does, so that unfinished files are removed and locks given back."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any


class StopSignals:
    """While it is entered, the two signals raise KeyboardInterrupt. One that is ignored, as under nohup, stays so.

    Attributes:
        received: Number of the signal that came; 0 if none did.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():  # Python sets handlers in that one alone
            return
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                self._before[number] = signal.signal(number, self._stop)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        if os.getpid() != self._process:  # a child of the command, such as one that loads images
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.received = number
        raise KeyboardInterrupt
