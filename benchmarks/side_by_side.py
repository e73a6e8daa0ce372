"""Candidates a minute when paths run side by side, against one after another with all threads.

    python benchmarks/side_by_side.py --threads 2

Random paths are scored by consistency and by the shared classifier with recalibration, on random images. The two ways
take turns, and the ratio is the median over rounds; the time is that of the clock, so give it idle cores. On a card,
``--device-passes N`` runs N passes on streams of their own. Writes results/side_by_side.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pinas_zoo.analysis.hardware import hardware
from pinas_zoo.data.images import Images
from pinas_zoo.engine.side_by_side import SideBySide, passes_at_once
from pinas_zoo.rng import step_rng
from pinas_zoo.search import build_space
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.weights.atomic import write_text

RESULT = Path(__file__).parent / "results" / "side_by_side.md"
NB201: Mapping[str, Any] = {"type": "nasbench201", "channels": 16, "cells": 1}
DEMO: Mapping[str, Any] = {"type": "resnest50", "depths": (1, 2, 2, 1), "widths": (16, 32, 64, 128), "stem_width": 8}
WIDE: Mapping[str, Any] = {"type": "resnest50", "depths": (1, 2, 2, 1)}
CASES = (  # what, space, images of a batch, pixels
    ("NAS-Bench-201, one cell a stage", NB201, 250, 16),
    ("4^6 of digits", DEMO, 128, 32),
    ("4^6 at full width", WIDE, 16, 112),
)
PATHS, CLASSES = 8, 10


def scorers(space: Mapping[str, Any], batch: int, size: int) -> dict[str, ConsistencyScorer | PathEvaluator]:
    torch.manual_seed(0)
    supernet = build_space(space).supernet().eval()
    images = Images(torch.randint(0, 256, (2 * batch, 3, size, size), dtype=torch.uint8), torch.arange(2 * batch) % 10)
    normalise: Callable[[torch.Tensor], torch.Tensor] = lambda x: x.float() / 128 - 1
    views = lambda x, rng: torch.stack([normalise(x), normalise(x.flip(3))], 1)
    classifier = nn.Linear(supernet.num_features, CLASSES)
    return {
        "consistency": ConsistencyScorer(supernet, images, views, batch),
        "classifier": PathEvaluator(supernet, classifier, images, images, normalise, batch),
    }


def compare(space: Mapping[str, Any], batch: int, size: int, count: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of a round: ``NAME`` one after another, and ``NAME side by side``."""
    made = build_space(space)
    paths = [made.sample(step_rng(0, k, 0))[0] for k in range(PATHS)]
    found: dict[str, list[float]] = {}
    for name, scorer in scorers(space, batch, size).items():
        network = scorer.side_by_side.networks[0]
        ways = {name: SideBySide(network, 1), f"{name} side by side": SideBySide(network, count)}
        for number in range(rounds + 1):
            for label, way in ways.items():
                scorer.side_by_side = way
                started = time.perf_counter()
                scorer.scores(paths)
                if number:  # the first round warms up
                    found.setdefault(label, []).append(time.perf_counter() - started)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("--device-passes", type=int, default=2, help="passes on a card (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    count = args.device_passes if torch.cuda.is_available() else passes_at_once("cpu")
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else hardware()
    lines = [
        "# Paths side by side, against one after another",
        "",
        f"`python benchmarks/side_by_side.py --threads {args.threads}`; {machine}, torch {torch.__version__}. "
        f"{PATHS} random paths; {count} passes side by side with {max(1, args.threads // count)} thread each, against "
        f"one with {args.threads}. Median of {args.rounds} rounds, by the clock.",
        "",
        "| space | images of a batch | score | candidates a minute | side by side | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for what, space, batch, size in CASES:
        found = compare(space, batch, size, count, args.rounds)
        for name in ("consistency", "classifier"):
            one, side = found[name], found[f"{name} side by side"]
            ratio = statistics.median(a / b for a, b in zip(one, side, strict=True))
            rates = [60 * PATHS / statistics.median(seconds) for seconds in (one, side)]
            lines.append(f"| {what} | {batch} x {size}² | {name} | {rates[0]:.0f} | {rates[1]:.0f} | {ratio:.2f} |")
            print(lines[-1], flush=True)
    write_text(RESULT, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
