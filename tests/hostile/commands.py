"""Runs a whole command in a fork of a shard's process: real exit codes and streams, and the limits of the shard."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinas_zoo import cli
from pinas_zoo.errors import UserError
from tests.hostile import limits

SECONDS = 60  # of processor time of a command


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        words: After ``pinas-zoo``.
        env: Changes of the environment; None takes a variable away.
        prepare: Called in the command's process before it runs.
        main: What runs the words (default: the command line of the package).
        check: Called after it has run, with its folder; raises AssertionError if it left something wrong behind.
    """

    words: list[str]
    env: Mapping[str, str | None] = field(default_factory=dict)
    prepare: Callable[[], object] = lambda: None
    main: Callable[[list[str]], int] = cli.main
    check: Callable[[Path], object] = lambda folder: None


@dataclass(frozen=True)
class Printed:
    """What a command that worked has printed."""

    out: str
    err: str


def run(command: Command) -> Printed:
    """Run a command in the current folder.

    Raises:
        UserError: It ended with 2 and one line, which is the error's.
        AssertionError: It ended in another way, printed a traceback, took too much memory, or did what it must not do.
    """
    folder = Path.cwd()
    watch = limits.watch_of_this_process()
    reader, writer = os.pipe()
    rss = limits.status("VmRSS") / 1024
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.close(reader)
            _streams()
            _environment(folder, command.env)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
            command.prepare()
            code = command.main(command.words)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush(), sys.stderr.flush()
            os.write(writer, json.dumps(watch.found[:20] if watch else []).encode())
            os._exit(code)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as stream:
            broken = json.loads(stream.read() or b"[]")
        _, status, usage = os.wait4(pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return _result(command, os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024 - rss, broken)


def _result(command: Command, code: int, mib: float, broken: list[str]) -> Printed:
    out, err = (Path(name).read_text("utf-8", "replace") for name in ("stdout.txt", "stderr.txt"))
    lines = [line for line in err.replace("\r", "\n").splitlines() if line.strip()]
    assert not broken, broken
    assert "Traceback" not in err, "traceback " + " | ".join(lines[-3:])[-400:]
    assert code in (0, 2), f"exit code {code}: {' | '.join(lines[-2:])[-300:]}"
    assert mib < limits.MEMORY_MIB, f"it took {mib:.0f} MiB"
    assert "\x1b" not in out + err, "escapes reach the terminal"
    command.check(Path.cwd())
    if code == 0:
        return Printed(out, err)
    said = [line for line in lines if ":" in line and not line.startswith(("warning:", "note:"))]
    assert lines, "exit code 2 without a line"
    assert lines[-1] in said, f"no line says what is wrong: {lines[-1][:200]}"
    raise UserError(lines[-1])


def _streams() -> None:
    for number, name in ((1, "stdout"), (2, "stderr")):
        target = os.open(f"{name}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, number)
        os.close(target)
        stream = open(number, "w", encoding="utf-8", buffering=1, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)


def _environment(folder: Path, changes: Mapping[str, str | None]) -> None:
    usual = {
        "PINAS_ZOO_HOME": folder / "home",
        "HF_HOME": folder / "hf",
        "HF_HUB_CACHE": folder / "hf" / "hub",
        "TMPDIR": folder / "tmp",
        "MPLCONFIGDIR": folder / "tmp",
    }
    os.environ.update({name: str(value) for name, value in usual.items()})
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def tool(name: str) -> Callable[[list[str]], Any]:
    """``tools/NAME.py`` as something that runs words."""

    def main(words: list[str]) -> int:
        from tests.openmmlab.small import tool as load

        return int(load(name).main(words) or 0)

    return main
