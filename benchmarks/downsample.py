"""Ablation of the shared downsample (DS in Table 7): the digits search with and without it.

    python benchmarks/downsample.py                 # three seeds each; 18 minutes on one busy core
    python benchmarks/downsample.py --seeds 0 --steps 20 --candidates 8

For each run it reports the final loss, the similarity of features along paths that end in different candidates (mean
off the diagonal of Figure 5, 256 held-out images), the teacher's drift, and held-out accuracies of random candidates by
the shared classifier. It reports no tau, because no table of trained networks exists for this space. Writes
results/downsample.md.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from pathlib import Path

import numpy as np
import torch

from pinas_zoo.engine.curve import read_curve
from pinas_zoo.search.api import result_of
from pinas_zoo.search.config import load_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.pipeline import run
from pinas_zoo.search.run_folder import read_done
from pinas_zoo.weights.atomic import write_text

CONFIG = Path(__file__).parents[1] / "configs" / "search" / "digits.py"
RESULT = Path(__file__).parent / "results" / "downsample.md"


def measure(shared: bool, seed: int, steps: int, candidates: int, folder: Path) -> str:
    """Run one search and return its row of the table."""
    changes = {
        "space.shared_downsample": shared,
        "seed": seed,
        "learn.steps": steps,
        "linear.steps": steps,
        "explore.evaluations": candidates,
        "explore.sampler": "random",
        "until": "explore",
    }
    context = Context.of(load_config(CONFIG, changes), folder)
    run(context)
    curve = read_curve(folder / "learn")
    loss, drift, spread = (float(np.mean(curve[key][-3:])) for key in ("loss", "drift", "spread"))
    similarity = read_done(folder / "explore")["similarity"]
    accuracies = [row.score for row in result_of(context).ranking]
    return (
        f"| {'shared' if shared else 'separate'} | {seed} | {loss:.2f} | {similarity:.3f} | {drift:.3f} | {spread:.3f} "
        f"| {np.mean(accuracies):.1%} | {np.max(accuracies):.1%} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300, help="of learning, and of linear evaluation")
    parser.add_argument("--candidates", type=int, default=50)
    args = parser.parse_args()
    lines = [
        "# Shared and separate downsample (Table 7's DS)",
        "",
        f"`python benchmarks/downsample.py`, {args.steps} steps, {args.candidates} random candidates; "
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}.",
        "",
        "| downsample | seed | loss | similarity of paths | drift | spread of outputs | mean accuracy | best |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for seed in args.seeds:
            for shared in (True, False):
                where = Path(folder) / f"{shared}_{seed}"
                lines.append(measure(shared, seed, args.steps, args.candidates, where))
    text = "\n".join(lines) + "\n"
    write_text(RESULT, text)
    print(text)


if __name__ == "__main__":
    main()
