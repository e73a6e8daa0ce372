"""What the record of a candidate costs in explore, where scoring itself costs nothing: commits and milliseconds.

    python benchmarks/study.py --folder DISK        # SQLite as it is by default, then as a run folder has it

Both in turns, a whole exploration each, so that what else runs on the machine and its disk meets both; medians over
rounds. Commits are those that changed something; their time is SQLite's writing and waiting for the disk, the rest is
mostly Optuna's and SQLAlchemy's own work: CPU time tells it from other load.
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

commits: list[float] = []  # seconds of each


class Counting(storage.WriteAheadConnection):
    """As a run folder has it; keeps how long commits took, of those that changed something."""

    def commit(self) -> None:
        changed, started = self.in_transaction, time.perf_counter()
        super().commit()
        if changed:
            commits.append(time.perf_counter() - started)


class Default(Counting):
    """As SQLite is by default: a rollback journal, and every commit waits for the disk."""

    def __init__(self, *args: Any, **kwargs: Any):
        sqlite3.Connection.__init__(self, *args, **kwargs)


def scores(archs: Sequence[Arch]) -> list[Score]:
    return [Score(sum(arch) / 48, loss=arch[0]) for arch in archs]


def run(kind: type[Counting], folder: Path, candidates: int) -> list[float]:
    """Of an exploration, per candidate: commits, their milliseconds, all milliseconds, those of CPU."""
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
