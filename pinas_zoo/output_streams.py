"""Standard streams that are closed, or whose reader goes away while a command works: the work goes on.

``search … | head -1`` closes stdout after a line, and a terminal that is closed takes both streams with it. What is
printed then goes nowhere, and the exit code still says whether the work was done.
"""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_GONE = (errno.EPIPE, errno.EIO)  # a pipe without a reader, a terminal that was closed


class LastingStream:
    """A text stream that goes nowhere once nobody reads it any more.

    Args:
        stream: The stream, whose attributes this one has too.
        needed: Whether other errors, such as a full disk, are raised. A message that cannot be shown stops no work.
    """

    def __init__(self, stream: Any, needed: bool = True):
        self._stream, self._needed = stream, needed

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _give_up(self, error: OSError) -> None:
        if self._needed and error.errno not in _GONE:
            raise error
        discard(self._stream)


def discard(stream: Any) -> None:
    """Send a stream nowhere, so that Python's own flush at exit does not fail on it either."""
    try:
        number, nothing = stream.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, number)
        os.close(nothing)
    except (AttributeError, OSError, ValueError):  # no file behind it, as in a test
        return


def prepare_streams() -> None:
    """Make stdout and stderr take every text: what a terminal's encoding lacks is shown as ``?``, never an error.

    What was closed when the process began, as by ``>&-``, is opened to nowhere, so that no other file gets its
    descriptor.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        stream = getattr(sys, name)
        if stream is not None:
            if mode == "w" and getattr(stream, "errors", None) in ("strict", "surrogateescape"):
                stream.reconfigure(errors="replace")
            continue
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  for the whole process


class LastingStreams:
    """While it is entered, stdout and stderr are :class:`LastingStream`, unless something else has replaced them.

    What is still to be written is written when it is left: at exit, Python itself would fail on a reader that has gone.
    """

    def __enter__(self) -> None:
        self._before = {name: getattr(sys, name) for name in ("stdout", "stderr")}
        for name, stream in self._before.items():
            if stream is getattr(sys, f"__{name}__") or isinstance(stream, io.TextIOWrapper):
                setattr(sys, name, LastingStream(stream, needed=name == "stdout"))

    def __exit__(self, *error: object) -> None:
        for name, stream in self._before.items():
            lasting = getattr(sys, name)
            setattr(sys, name, stream)
            if isinstance(lasting, LastingStream):
                try:
                    lasting.flush()
                except OSError:  # a full disk, which the command has said if it worked so far
                    discard(stream)
