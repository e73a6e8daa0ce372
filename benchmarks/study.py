"""Cost of storing a candidate's score in explore: commits and milliseconds. Scoring itself costs nothing here.

    python benchmarks/study.py --folder DISK        # SQLite with its defaults, and with the settings of a run folder

Whole explorations run in turn, so that other load on the machine and its disk affects both; results are medians over
rounds. Only commits with changes count. Their time is that of SQLite, including waits for the disk. The rest is mostly
work of Optuna and SQLAlchemy, for which CPU time excludes other load.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.search.config import Explore
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.study import storage
from pinas_zoo.search.study.loop import explore_study

commits: list[float] = []  # seconds of each commit


class Counting(storage.WriteAheadConnection):
    """The connection of a run folder, which records the durations of commits with changes."""

    def commit(self) -> None:
        changed, started = self.in_transaction, time.perf_counter()
        super().commit()
        if changed:
            commits.append(time.perf_counter() - started)


class Default(Counting):
    """A connection with SQLite's defaults: a rollback journal, and every commit waits for the disk."""

    def __init__(self, *args: Any, **kwargs: Any):
        sqlite3.Connection.__init__(self, *args, **kwargs)


def scores(archs: Sequence[Arch]) -> list[Score]:
    return [Score(sum(arch) / 48, loss=arch[0]) for arch in archs]


def run(kind: type[Counting], folder: Path, candidates: int) -> list[float]:
    """Run an exploration. Returns commits, their milliseconds, all milliseconds and CPU milliseconds per candidate."""
    vars(storage)["WriteAheadConnection"] = kind
    with tempfile.TemporaryDirectory(dir=folder) as made:
        study = storage.open_study("", Path(made))
        commits.clear()
        started, worked = time.perf_counter(), time.process_time()
        explore_study(ResNeSt50Space(), scores, Explore(evaluations=candidates, sampler="random"), study, seed=0)
        taken, worked = time.perf_counter() - started, time.process_time() - worked
    return [value / candidates for value in (len(commits), 1000 * sum(commits), 1000 * taken, 1000 * worked)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk in question (default: here)")
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not storage.on_local_disk(args.folder):
        raise SystemExit(f"expected a disk of this machine, got {args.folder.resolve()}: both ways are the same there")
    kinds = {"SQLite's default": Default, "as a run folder has it": Counting}
    found: dict[str, list[list[float]]] = {name: [] for name in kinds}
    for _ in range(args.rounds):
        for name, kind in kinds.items():
            found[name].append(run(kind, args.folder, args.candidates))
    print("| a candidate | commits | ms in commits | ms in all | ms of CPU |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, rows in found.items():
        count, *ms = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {count:.2f} | {' | '.join(f'{value:.1f}' for value in ms)} |")


if __name__ == "__main__":
    main()
