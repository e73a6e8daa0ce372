"""Kill commands at random moments and run them again until they end; count kills and broken promises."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.chaos.promises import after_kill, at_end
from tests.chaos.victim import Moment, Victim
from tests.chaos.workloads import Workload, begin, environment, words_in, workloads, write_inputs

ROOT = Path(__file__).resolve().parents[2]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
SHARES = (0.55, 0.15, 0.15, 0.15)  # of the signals
MOST_ROUNDS = 6  # with kills, of one folder; then it is left alone
LIMIT = 180.0  # seconds after which a process counts as one that hangs


@dataclass
class Row:
    """What happened to one workload."""

    kills: Counter[str] = field(default_factory=Counter)  # by signal
    folders: int = 0  # brought to an end
    rounds: int = 0
    most_repeated: float = 0.0  # optimiser steps made again, for each kill
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)


@dataclass
class Reference:
    """A run that was never killed."""

    folder: Path
    seconds: float
    operations: int  # changes of files by its first process
    steps: int


class Campaign:
    """Kills within a folder for everything that is written.

    Args:
        place: An empty folder.
        seed: Of moments, signals and the order of workloads.
        names: Workloads to kill; None for all.
        say: Takes lines of progress.
    """

    def __init__(
        self, place: Path, seed: int, names: Sequence[str] | None = None, say: Callable[[str], None] = lambda text: None
    ):
        self.place, self.seed, self.say = place, seed, say
        self.rng = np.random.default_rng(seed)
        self.inputs = write_inputs(place / "inputs")
        self.all = workloads(self.inputs)
        self.names = [w.name for w in self.all if w.name != "evidence: begin"] if names is None else list(names)
        self.references: dict[str, Reference] = {}
        self.rows = {name: Row() for name in self.names}
        self.hub = ""

    def run(self, kills: int, seconds: float) -> dict[str, Row]:
        """Kill until there are enough kills or the time is over; folders that were begun are brought to an end."""
        with subprocess.Popen(
            [sys.executable, "-m", "tests.hub_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout is not None
            self.hub = server.stdout.readline().strip()
            try:
                self._make_references()
                end, turn = time.monotonic() + seconds, 0
                while self.total < kills and time.monotonic() < end:
                    name = self.names[turn % len(self.names)]
                    self._folder(next(w for w in self.all if w.name == name), turn)
                    turn += 1
            finally:
                assert server.stdin is not None
                server.stdin.close()
        return self.rows

    @property
    def total(self) -> int:
        """Kills so far."""
        return sum(row.kills.total() for row in self.rows.values())

    def _make_references(self) -> None:
        needed = set(self.names) | ({"push"} if "pull" in self.names else set())
        for workload in reversed(self.all):
            if workload.name in needed and workload.after:
                needed.add(workload.after)
        if "pull" in needed:
            self._end(["push", str(self.inputs / "model"), "user/pulled", "--yes"], self.inputs)
        for workload in self.all:
            if workload.name in needed:
                folder = self.place / "references" / workload.name.replace(": ", "_").replace(" ", "_")
                begin(workload, folder, {name: found.folder for name, found in self.references.items()})
                victims = [self._start(words, folder, None) for words in words_in(workload, folder)]
                self._attend(victims)
                for victim in victims:
                    if problems := victim.problems():
                        raise RuntimeError(f"{workload.name}, not killed: {problems[0]}")
                first = victims[0]
                self.references[workload.name] = Reference(folder, first.seconds, first.operations, first.steps)
                self.say(f"{workload.name:32} {first.seconds:5.1f} s, {first.operations} changes of files")

    def _end(self, words: Sequence[str], folder: Path) -> None:
        victim = self._start(words, folder, None)
        self._attend([victim])
        if problems := victim.problems():
            raise RuntimeError(problems[0])

    def _start(self, words: Sequence[str], folder: Path, moment: Moment | None) -> Victim:
        return Victim(words, folder, environment(folder, self.hub), moment)

    def _attend(self, victims: Sequence[Victim]) -> None:
        waiting = list(victims)
        while waiting := [victim for victim in waiting if not victim.attend(LIMIT)]:
            time.sleep(0.002)

    def _moment(self, reference: Reference, first: bool) -> Moment:
        sent = SIGNALS[self.rng.choice(len(SIGNALS), p=SHARES)]
        share = float(self.rng.uniform(0, 1.02 if first else 0.6))  # of a whole run; one that resumes is shorter
        if self.rng.random() < 0.5 or not reference.operations:
            return Moment(sent, seconds=share * reference.seconds)
        return Moment(sent, operation=1 + int(share * reference.operations))

    def _folder(self, workload: Workload, turn: int) -> None:
        """Begin a folder, kill its processes in some rounds, and bring it to an end."""
        reference, row = self.references[workload.name], self.rows[workload.name]
        folder = self.place / f"turn{turn}"
        begin(workload, folder, {name: found.folder for name, found in self.references.items()})
        killed, steps, history, started = 0, 0, [], time.monotonic()
        scored: set[str] = set()
        for number in range(MOST_ROUNDS + 1):
            row.rounds += 1
            victims = []
            for k, words in enumerate(words_in(workload, folder)):
                spared = number == MOST_ROUNDS or (k and self.rng.random() < 0.3)
                victims.append(self._start(words, folder, None if spared else self._moment(reference, number == 0)))
            self._attend(victims)
            history.append(", ".join(str(v.moment) if v.was_killed else "to the end" for v in victims))
            for victim in victims:
                if victim.was_killed and victim.moment is not None:
                    row.kills[victim.moment.signal.name] += 1
                    killed += 1
                self._note(row, turn, history, victim.problems())
            steps += victims[0].steps
            problems, scored = after_kill(workload, folder, scored)
            self._note(row, turn, history, problems)
            assert victims[0].result is not None
            if victims[0].result[0] == 0:
                break
        else:
            self._note(row, turn, history, ["does not end when it is run again"])
        self._note(row, turn, history, at_end(workload, folder, reference.folder, self.hub, self.inputs, killed))
        if workload.interval and killed:
            repeated = (steps - reference.steps) / killed
            row.most_repeated = max(row.most_repeated, repeated)
            if repeated > workload.interval:
                self._note(row, turn, history, [f"{steps - reference.steps} steps repeated in {killed} kills"])
        row.folders += 1
        row.seconds += time.monotonic() - started
        self.say(
            f"turn {turn:3} {workload.name:32} {self.total:4} kills, {len(row.broken)} broken: {'; '.join(history)}"
        )

    def _note(self, row: Row, turn: int, history: Sequence[str], problems: Sequence[str]) -> None:
        for problem in problems:
            row.broken.append(f"seed {self.seed}, turn {turn} ({'; '.join(history)}): {problem}")
            self.say(f"BROKEN {row.broken[-1]}")


def import_everything() -> None:
    """Import what the commands import, so that their processes begin with it."""
    import importlib
    import pkgutil

    import pinas_zoo

    for package in ("commands", "search", "train", "zoo", "convert"):
        path = [os.path.join(where, package) for where in pinas_zoo.__path__]
        for module in pkgutil.walk_packages(path, f"pinas_zoo.{package}."):
            if module.name != "pinas_zoo.search.space":  # an old name, which warns
                importlib.import_module(module.name)
