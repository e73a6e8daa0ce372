"""One worker of an exploration, as a process: ``python -m tests.search.explore_worker STORAGE FOLDER GOAL SECONDS``.

Evaluations cost seconds and nothing else; ``FOLDER/log`` gets a line when each begins and when it ends.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pinas_zoo.arch import Arch
from pinas_zoo.search import claims
from pinas_zoo.search.config import Explore
from pinas_zoo.search.evaluate import Score
from pinas_zoo.search.explore import best, explore
from pinas_zoo.search.spaces.resnest50 import Space


def main(storage: str, folder: Path, goal: int, seconds: float) -> None:
    claims.POLL = 0.05

    def say(what: str, arch: Arch) -> None:
        with (folder / "log").open("a") as log:
            log.write(f"{what} {arch} {os.getpid()}\n")

    def evaluate(archs: list[Arch]) -> list[Score]:
        for arch in archs:
            say("begin", arch)
        time.sleep(seconds * len(archs))
        for arch in archs:
            say("end", arch)
        return [Score(sum(arch) / 12, loss=arch[0]) for arch in archs]

    space = Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
    study = claims.open_study(storage, folder)
    scores = explore(space, evaluate, Explore(evaluations=goal, random_first=8, batch=4), study, seed=0)
    order = sorted(scores, key=lambda arch: (-scores[arch].accuracy, scores[arch].loss, str(arch)))
    print(best(scores), len(scores), " ".join(map(str, order)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
