"""One worker of an exploration, for a process of its own.

It begins when ``FOLDER/go`` exists. Evaluations cost nothing but time; ``FOLDER/log`` gets a line when each begins and
when it ends. One that hangs does so within its second batch, as if that took for ever. The others wait for that after
their third, so that they do not reach the goal before a worker that the machine runs late. ``FOLDER/result.PID`` gets
the best architecture, how many are scored, and all of them in order.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pinas_zoo.arch import Arch
from pinas_zoo.search.config import Explore
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.study import leases
from pinas_zoo.search.study.loop import explore_study
from pinas_zoo.search.study.storage import open_study


def main(storage: str, folder: Path, goal: int, hangs: bool) -> None:
    leases.POLL = 0.05
    batches = 0

    def say(what: str, arch: Arch) -> None:
        with (folder / "log").open("a") as log:
            log.write(f"{what} {arch} {os.getpid()}\n")

    def evaluate(archs: list[Arch]) -> list[Score]:
        nonlocal batches
        batches += 1
        while not hangs and batches > 3 and not (folder / "hangs").exists():
            time.sleep(0.02)
        for arch in archs:
            say("begin", arch)
        if hangs and batches == 2:
            (folder / "hangs").touch()
            time.sleep(3600)
        time.sleep(0.02 * len(archs))
        for arch in archs:
            say("end", arch)
        return [Score(sum(arch) / 12, loss=arch[0]) for arch in archs]

    space = ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
    (folder / f"ready.{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.02)
    study = open_study(storage, folder)
    scores = explore_study(space, evaluate, Explore(evaluations=goal, random_first=8, batch=4), study, seed=0)
    order = sorted(scores, key=lambda arch: (-scores[arch].accuracy, scores[arch].loss, str(arch)))
    text = f"{order[0]} {len(scores)} {' '.join(map(str, order))}"
    (folder / f"result.{os.getpid()}").write_text(text)
