"""What commands print: tables, progress, errors, warnings and JSON.

On a terminal, rich draws them. In a pipe or a file they are plain text, whose form stays the same because other
programs may read it. ``NO_COLOR`` switches colours off; ``TERM=dumb`` gives plain text. Control characters in text of
users (file names, labels) are shown escaped, such as ``\\x1b``, and never sent to the terminal.

This module imports nothing of the package, and rich only when it draws.
"""

from __future__ import annotations

import os
import re
import sys
import time

TYPE_CHECKING = False  # typing, contextlib and json would be imported for every --help
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from types import TracebackType
    from typing import IO, Any

PLAIN_SECONDS = 10.0  # between lines of progress in a file
DRAW_SECONDS = 0.2  # between two drawings of a progress bar
LONGEST = 2000  # characters of an error, warning or note; the middle of longer ones is left out
RATE_SECONDS = 30.0  # over which the rate of progress is measured
# C0 and C1 controls, separators of lines, marks and overrides of writing direction, characters that are not seen, bytes
# that are no UTF-8
_UNSAFE = (
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def escape(text: str) -> str:
    """The text with control characters (line breaks too) and lone surrogates written as ``\\x1b`` or ``\\u202e``."""
    return re.sub(_UNSAFE, lambda match: match[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """Print lines to stdout with control characters escaped, such as those of a file that somebody else wrote."""
    print("\n".join(map(escape, text.split("\n"))), flush=True)


def is_terminal(stream: IO[str]) -> bool:
    """Whether a person sees the stream drawn: a terminal that moves its cursor."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


# Tables


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> None:
    """Print a table to stdout; a plain one in columns of two spaces' distance, without lines.

    Args:
        columns: Headings.
        rows: Cells in the columns' order.
        right: Headings of the columns that are aligned to the right.
    """
    cells = [[escape(cell) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _draw_table(columns, cells, right)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    for line in lines:
        padded = (
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, line, widths, strict=True)
        )
        print("  ".join(padded).rstrip())


def _draw_table(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Collection[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for name in columns:
        if name in right:  # a number is not split
            drawn.add_column(Text(name), justify="right", no_wrap=True)
        else:  # a long name continues on the next line: one that is cut off cannot be copied
            drawn.add_column(Text(name), overflow="fold")
    for line in cells:
        drawn.add_row(*(Text(cell) for cell in line))  # Text: brackets in a name are no markup
    _draw(sys.stdout, drawn)


# JSON


class json_alone:
    """While it is entered, stdout takes what :func:`print_json` prints; what others print goes to stderr.

    Args:
        wanted: False: do nothing.
    """

    stdout: IO[str] | None = None  # that was there before, while one is entered

    def __init__(self, wanted: bool = True):
        self.wanted = wanted

    def __enter__(self) -> None:
        if self.wanted:
            json_alone.stdout, sys.stdout = sys.stdout, sys.stderr

    def __exit__(self, *error: object) -> None:
        if self.wanted and json_alone.stdout is not None:
            sys.stdout, json_alone.stdout = json_alone.stdout, None


def print_json(value: Any) -> None:
    """Print plain data to stdout as JSON in ASCII; numbers that JSON lacks (NaN, infinities) as null."""
    import json

    print(json.dumps(_finite(value), indent=2, allow_nan=False), file=json_alone.stdout or sys.stdout)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


# Errors, warnings and notes


def error(command: str, text: str) -> None:
    """One line on stderr: why a command stopped."""
    _say(f"pinas-zoo {command}:", text, "bold red")


def warning(text: str) -> None:
    """One line on stderr: something that a user should know, and that stops nothing."""
    _say("warning:", text, "bold yellow")


def note(text: str) -> None:
    """One line on stderr: what a command did on its own, and that may be what the user wants."""
    _say("note:", text, "bold")


def _say(head: str, text: str, style: str) -> None:
    head, text = escape(head), escape(text)
    if len(text) > LONGEST:  # such as a name of a megabyte in a file that somebody else wrote
        text = f"{text[: LONGEST * 3 // 4]} … {text[-LONGEST // 4 :]}"
    if is_terminal(sys.stderr):
        from rich.text import Text

        # soft_wrap: the terminal breaks a long line, so that paths in it can still be copied whole
        _draw(sys.stderr, Text.assemble((head, style), " ", text), soft_wrap=True)
    else:
        print(f"{head} {text}", file=sys.stderr)


def _draw(stream: IO[str], what: Any, **options: Any) -> None:
    console = _console(stream)
    with console.capture() as drawn:
        console.print(what, **options)
    stream.write(drawn.get())  # and not by rich itself, which would write into the line of a progress bar
    stream.flush()


def _console(stream: IO[str]) -> Any:
    from rich.console import Console

    return Console(file=stream, highlight=False, emoji=False, markup=False)


# Progress


def progress(total: int, initial: int = 0, label: str = "", unit: str = "step", enabled: bool = True) -> Progress:
    """A meter on stderr: a bar on a terminal, else a line about every 10 seconds and one at the end.

    >>> with progress(total=1000, initial=200, label="learn", unit="step") as meter:  # doctest: +SKIP
    ...     for batch in batches:
    ...         meter.update(loss=train(batch))

    Args:
        total: Units of the whole work.
        initial: Units that an earlier run has done; they do not count in the rate.
        label: What is being done, such as a stage's name.
        unit: Name of one unit in the singular, such as ``"step"``.
        enabled: False: show nothing (on all ranks but one).
    """
    if not enabled:
        return Progress(total, initial, label, unit)
    return (
        DrawnProgress(total, initial, label, unit)
        if is_terminal(sys.stderr)
        else PlainProgress(total, initial, label, unit)
    )


class Progress:
    """Counts units and measures their rate; shows nothing. Subclasses show it.

    Attributes:
        done: Units that are done, the initial ones included.
        values: The latest values by name, such as the loss.
    """

    def __init__(
        self,
        total: int,
        initial: int = 0,
        label: str = "",
        unit: str = "step",
        clock: Callable[[], float] = time.monotonic,
    ):
        self.total, self.done, self.label, self.unit = total, initial, escape(label), escape(unit)
        self.values: dict[str, Any] = {}
        self._clock, self._changed, self._closed = clock, False, False
        self._shown = self._start = clock()
        self._samples = [(self._start, initial)]  # (seconds, units done), the oldest at most RATE_SECONDS ago

    def update(self, n: int = 1, **values: Any) -> None:
        """Count ``n`` more units and show ``values`` from now on; a value that is not given again stays."""
        self.done += n
        self.values.update(values)
        self._changed = True
        now = self._clock()
        if n:
            self._samples.append((now, self.done))
            while len(self._samples) > 2 and now - self._samples[1][0] >= RATE_SECONDS:
                del self._samples[0]
        if now - self._shown >= self._interval:
            self._shown = now
            self._show()

    def close(self) -> None:
        """Show the last state; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._finish()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def rate(self) -> float | None:
        """Units a second, lately; None before two moments are known."""
        (first, before), (last, done) = self._samples[0], self._samples[-1]
        return (done - before) / (last - first) if done > before and last > first else None

    @property
    def seconds_left(self) -> float | None:
        return None if self.rate is None else max(self.total - self.done, 0) / self.rate

    def rate_text(self) -> str:
        """As ``12.3 steps/s``, or ``4.56 s/step`` where it is slower than one a second."""
        if self.rate is None:
            return f"- {self.unit}s/s"
        return f"{self.rate:.3g} {self.unit}s/s" if self.rate >= 1 else f"{1 / self.rate:.3g} s/{self.unit}"

    def values_text(self) -> str:
        return ", ".join(f"{name} {_short(value)}" for name, value in self.values.items())

    _interval = float("inf")

    def _show(self) -> None:
        """Called every ``_interval`` seconds at most."""

    def _finish(self) -> None:
        """Called once, at the end."""


class PlainProgress(Progress):
    """Lines of text, for a file or a pipe."""

    _interval = PLAIN_SECONDS

    def _show(self) -> None:
        left = f", {_clock_text(self.seconds_left)} left" if self.done < self.total and self.rate is not None else ""
        values = f", {self.values_text()}" if self.values else ""
        label = f"{self.label}: " if self.label else ""
        print(f"{label}{self.done}/{self.total} {self.unit}s, {self.rate_text()}{left}{values}", file=sys.stderr)
        sys.stderr.flush()
        self._changed = False

    def _finish(self) -> None:
        if self._changed:  # otherwise the last line says it already, or there is nothing to say
            self._show()


class DrawnProgress(Progress):
    """A bar that is redrawn in place. It is drawn by ``update`` alone, without a thread beside those of training."""

    _interval = DRAW_SECONDS

    def __init__(
        self,
        total: int,
        initial: int = 0,
        label: str = "",
        unit: str = "step",
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(total, initial, label, unit, clock)
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        texts = (f"{{task.fields[{name}]}}" for name in ("label", "count", "rate", "left", "values"))
        label_column, *others = (TextColumn(text, markup=False) for text in texts)
        self._bar = RichProgress(
            label_column,
            BarColumn(bar_width=30),
            *others,
            console=_console(sys.stderr),
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty(),  # printed above the bar; what goes to a file still goes there
        )
        fields: Any = self._fields()
        self._task = self._bar.add_task("", total=total, completed=initial, **fields)
        self._bar.start()

    def _fields(self) -> dict[str, str]:
        left = f"{_clock_text(self.seconds_left)} left" if self.done < self.total and self.rate is not None else ""
        count = f"{self.done}/{self.total} {self.unit}s"
        return {
            "label": self.label, "count": count, "rate": self.rate_text(), "left": left, "values": self.values_text(),
        }  # fmt: skip

    def _show(self) -> None:
        fields: Any = self._fields()
        self._bar.update(self._task, completed=self.done, refresh=True, **fields)

    def _finish(self) -> None:
        self._show()
        self._bar.stop()


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _clock_text(seconds: float | None) -> str:
    """``0:07``, ``12:34`` or ``3:04:05``."""
    whole = round(seconds or 0)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
