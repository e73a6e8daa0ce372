"""Reads a shard of inputs in a child process with limits on memory, time, files and processes, and watches it.

The child is a fork of this process, which has torch imported, so a shard of 50 inputs costs milliseconds. An audit hook
sees what Python does: a program that is started, a file that is written or moved outside the input's folder, and a
connection to another machine break the promise. Linux alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from tests.hostile.inputs import Accepted, Input, Refused

MEMORY_MIB = 2048  # that reading an input may add
ADDRESSES = 16 * 2**30  # bytes of address space beyond that of the parent; more than memory, which is measured
LARGEST_FILE = 256 * 2**20  # bytes that a reader may write
OPEN_FILES = 512
WALL_FACTOR = 3  # wall time over processor time that a busy machine may take
CANARY = "EXECUTED"  # a file that inputs with code would make in their folder

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile", "pty.spawn")
_MOVES = {"os.rename": 2, "os.link": 2, "os.symlink": 2, "os.mkdir": 1, "os.remove": 1, "os.rmdir": 1, "os.truncate": 1}
_FREE = ("/dev/", "/proc/")
_HERE = ("127.0.0.1", "localhost", "::1")
_VERSIONS = ("git", "uname", "ldconfig")  # programs that tell versions, which no input chooses
_SHELL = "['/bin/sh', '-c', 'gcc --version']"  # mmengine's, at the start of each run
_watch: list[Watch] = []  # of this process, once it is a shard's


class TimeUp(BaseException):
    """The limit of time; no reader catches it."""


@dataclass
class Outcome:
    """What became of an input.

    Attributes:
        name: Of the input.
        kind: ``accepted``, ``refused`` or ``broken``.
        text: The line of a refusal, or which promise was broken and how.
        seconds: Of processor time.
        mib: Memory that reading added, at its peak.
    """

    name: str
    kind: str
    text: str
    seconds: float = 0.0
    mib: float = 0.0


class Watch:
    """The audit hook: notes what an input must not cause while it is read."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.found: list[str] = []
        sys.addaudithook(self)

    @contextlib.contextmanager
    def of(self, folder: Path) -> Iterator[None]:
        self.found, self.folder = [], str(folder)
        try:
            yield
        finally:
            self.folder = None

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _PROGRAMS and os.path.basename(str(args[0])) not in _VERSIONS and _SHELL not in str(args[1:2]):
            self.found.append(f"{event}{args[:2]!r}"[:300])
        elif event == "open" and isinstance(args[2], int) and args[2] & _WRITES:
            self._place(args[0], event)
        elif event in _MOVES:
            for place in args[1:2] if event == "os.symlink" else args[: _MOVES[event]]:
                self._place(place, event)
        elif event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in _HERE:
            self.found.append(f"{event}({args[1]!r})")

    def _place(self, place: Any, event: str) -> None:
        if isinstance(place, int) or self.folder is None:
            return
        folder, self.folder = self.folder, None  # realpath itself is watched too
        try:
            real = os.path.realpath(os.fsdecode(place))
            if not os.path.join(real, "").startswith((os.path.join(folder, ""), *_FREE)):
                self.found.append(f"{event}({real!r})")
        finally:
            self.folder = folder


def watch_of_this_process() -> Watch | None:
    """The audit hook of a shard's process, or of a fork of it."""
    return _watch[0] if _watch else None


def read_shard(inputs: Sequence[Input], folder: Path) -> list[Outcome]:
    """The outcome of each input, in order. A child that dies or hangs breaks the promise of the input it was reading.

    Args:
        inputs: Of one shard.
        folder: An empty folder, in which each input gets one of its own.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(inputs):
        outcomes += _in_child(inputs[len(outcomes) :], folder)
    return outcomes


def _in_child(inputs: Sequence[Input], folder: Path) -> list[Outcome]:
    reader, writer = os.pipe()
    sys.stdout.flush(), sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forks of processes with threads
        pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            os.setsid()  # so that the parent ends what it started, too
            _limit()
            watch = Watch()
            _watch.append(watch)
            for item in inputs:
                outcome = _outcome(item, folder.resolve(), watch)
                os.write(writer, json.dumps(asdict(outcome)).encode() + b"\n")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    lines, silent = _lines(reader, inputs)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    outcomes = [Outcome(**json.loads(line)) for line in lines]
    if len(outcomes) < len(inputs):
        end = "hangs in native code" if silent else f"its process ended with {os.waitstatus_to_exitcode(status)}"
        outcomes.append(Outcome(inputs[len(outcomes)].name, "broken", end))
    return outcomes


def _lines(reader: int, inputs: Sequence[Input]) -> tuple[list[bytes], bool]:
    """What the child wrote, and whether it fell silent for longer than an input may take."""
    text = b""
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while (done := text.count(b"\n")) < len(inputs):
            limit = inputs[done].seconds * WALL_FACTOR + 30
            if not select.select([stream], [], [], limit)[0]:
                return text.split(b"\n")[:-1], True
            part = stream.read(65536)
            if not part:
                break
            text += part
    return text.split(b"\n")[:-1], False


def _limit() -> None:
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ADDRESSES,) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a longer file is an OSError
    sys.dont_write_bytecode = True

    def time_up(*_: object) -> None:
        raise TimeUp

    signal.signal(signal.SIGALRM, time_up)
    signal.signal(signal.SIGPROF, time_up)


def _outcome(item: Input, folder: Path, watch: Watch) -> Outcome:
    place = folder / item.name
    place.mkdir(parents=True)
    home = os.getcwd()
    before = tempfile.tempdir
    try:
        material = item.make(place)
        (place / "tmp").mkdir(exist_ok=True)
        tempfile.tempdir = str(place / "tmp")
        os.chdir(place)
        peak = _Peak()
        start = time.process_time()
        with warnings.catch_warnings(), watch.of(place):
            warnings.simplefilter("ignore")
            kind, text = _read(item, material)
        seconds, mib = time.process_time() - start, peak.mib()
    finally:
        tempfile.tempdir = before
        os.chdir(home)
    problems = list(watch.found)
    if next(place.rglob(CANARY), None):
        problems.append("code in the input was executed")
    if mib > MEMORY_MIB:
        problems.append(f"it took {mib:.0f} MiB")
    shutil.rmtree(place, ignore_errors=True)
    if problems and kind != "broken":
        kind, text = "broken", "; ".join(problems)[:500]
    return Outcome(item.name, kind, text, seconds, mib)


def _read(item: Input, material: Any) -> tuple[str, str]:
    """``accepted``, ``refused`` or ``broken``, and the line of a refusal, or what is broken."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_REAL, item.seconds * WALL_FACTOR)
    signal.setitimer(signal.ITIMER_PROF, item.seconds)
    try:
        result = item.read(material)
    except UserError as error:
        return _refusal(item, str(error))
    except TimeUp:
        return "broken", f"more than {item.seconds:g} s"
    except BaseException as error:
        stack = traceback.extract_tb(error.__traceback__)
        place = next((frame for frame in reversed(stack) if "pinas_zoo" in frame.filename), stack[-1])
        try:
            said = " ".join(str(error).split())[:300]
        except Exception:  # an input's own class
            said = "?"
        return "broken", f"traceback {type(error).__name__}: {said} ({Path(place.filename).name}:{place.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if isinstance(item.promise, Refused):
        return "broken", f"accepted, where it must be refused: {result!r}"[:300]
    if isinstance(item.promise, Accepted) and not item.promise.right(result):
        return "broken", f"read wrongly: {result!r}"[:300]
    return "accepted", ""


def _refusal(item: Input, text: str) -> tuple[str, str]:
    if isinstance(item.promise, Accepted):
        return "broken", f"refused, where it must be accepted: {text}"[:400]
    if "\n" in text or not text.strip():
        return "broken", f"expected one line, got {text[:200]!r}"
    if isinstance(item.promise, Refused) and item.promise.words not in text:
        return "broken", f"expected {item.promise.words!r} in the line, got {text[:300]!r}"
    return "refused", text[:400]


class _Peak:
    """The most memory that this process held since now, beyond what it holds now, in MiB."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # forgets the highest mark
        self.start = status("VmRSS")

    def mib(self) -> float:
        return max(0.0, (status("VmHWM") - self.start) / 1024)


def status(key: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))
