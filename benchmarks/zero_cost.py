"""Training-free scores of NAS-Bench-201's networks beside published ones and beside accuracies.

    python benchmarks/zero_cost.py --images cifar10.npz --published nb201_zero_cost.csv --truth nb201_cifar10.csv

Random rows of a table of published scores (NAS-Bench-201 on CIFAR-10, dead operations pruned) are scored anew: the
benchmark's own network (16 channels, 5 cells a stage, 10 classes) on one batch of 64 images of CIFAR-10. Prints the
Spearman correlation with the published column, Kendall's tau with the accuracies of both, and the time of a score. With
``--initialisations 2``, each network is scored from two initial weights, and the correlation of the two is the largest
that one initialisation can be expected to reach. results/zero_cost.md has a run's table.

The published table has a column net_str, a pruned cell, and one for each score; --truth is read by read_table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import kendalltau, spearmanr

from pinas_zoo.data.images import Images
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import ENTRY_POINT, parse_arch
from pinas_zoo.search.evidence.images import CLASSES, image_folder
from pinas_zoo.search.evidence.measure import machine
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.ranking.truth_csv import read_csv
from pinas_zoo.search.score_kinds import KINDS, UNTRAINED
from pinas_zoo.search.scorers.protocol import ScoringData
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from pinas_zoo.terminal import progress
from pinas_zoo.weights.atomic import write_text

COLUMNS = {"naswot": "nwot", "reachable_flops": "flops", "reachable_params": "params"}  # of other names
ACCURACY = "cifar10_test_acc"


def scoring_data(folder: Path, count: int, seed: int, averaged: int) -> ScoringData:
    """A random batch of training images, normalised as the benchmark's networks are."""
    files = sorted((folder / "train").glob("*/*"))
    chosen = [files[k] for k in np.random.default_rng(0).permutation(len(files))[:count]]
    pixels = torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in chosen])
    images = Images(pixels, torch.tensor([CLASSES.index(file.parent.name) for file in chosen]))
    mean, std = (torch.tensor(ENTRY_POINT.default_cfg[key])[:, None, None] for key in ("mean", "std"))

    def normalise(x: torch.Tensor) -> torch.Tensor:
        return (x.float() / 255 - mean) / std

    return ScoringData(
        NASBench201Space(), None, None, len(CLASSES), images, images, normalise, lambda x, g: x, count, 32, seed,
        zero_cost_images=count, zero_cost_initialisations=averaged,
    )  # fmt: skip


def measure(args: argparse.Namespace, folder: Path) -> str:
    """Score the architectures, and return the page of results."""
    torch.set_num_threads(args.threads)
    space, truth = NASBench201Space(), read_table(args.truth)
    rows = read_csv(args.published).rows
    rows = tuple(rows[k] for k in np.random.default_rng(args.seed).permutation(len(rows))[: args.count])
    archs = [parse_arch(row.text("net_str")) for row in rows]
    accuracies = [truth[arch].accuracies[ACCURACY] for arch in archs]
    names = [name for name in KINDS if name in (args.scores or UNTRAINED - {"flops"})]
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    seconds: dict[str, float] = defaultdict(float)
    seeds = range(args.initialisations)
    batches = [scoring_data(folder, args.batch, seed, args.mean) for seed in seeds]
    builders = {name: KINDS[name].build for name in names}
    scorers = {(n, s): build(batches[s]) for n, build in builders.items() for s in seeds if build is not None}
    for name, seed in scorers:
        scorers[name, seed].scores([space.parse("333333")])  # tables and libraries
    with progress(len(archs), label="score", unit="arch") as bar:
        for arch in archs:
            for (name, seed), scorer in scorers.items():
                started = time.process_time()
                found[name, seed].append(scorer.scores([arch])[0].accuracy)
                seconds[name] += time.process_time() - started
            bar.update(len(found[names[0], 0]) - bar.done)
    lines = [
        "# Training-free scores on NAS-Bench-201",
        "",
        f"`python benchmarks/zero_cost.py --count {args.count} --batch {args.batch} --threads {args.threads} --seed "
        f"{args.seed} --initialisations {args.initialisations} --mean {args.mean} --images IMAGES --published TABLE "
        f"--truth TABLE`; {machine()}. {len(archs)} random cells of the published table, {args.batch} images of "
        "32 x 32 pixels, the benchmark's own network. ρ: Spearman with the published column. Self: Spearman of two of "
        "our initialisations. "
        "tau: Kendall with the 200-epoch CIFAR-10 test accuracy, of ours and of the published column. ms: CPU time of "
        "a score, with building the network.",
        "",
        "| `explore.score` | needs | ρ | self | tau | published tau | ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        ours, column = np.array(found[name, 0]), COLUMNS.get(name, name)
        rho = published_tau = again = ""
        if column in rows[0].values:
            published = [row.number(column) for row in rows]
            rho = f"{spearmanr(ours, published).statistic:.3f}"
            published_tau = f"{kendalltau(published, accuracies).statistic:.3f}"
        if args.initialisations > 1:
            again = f"{spearmanr(ours, found[name, 1]).statistic:.3f}"
        tau = kendalltau(ours, accuracies).statistic
        cost = 1000 * seconds[name] / len(archs) / args.initialisations
        needs = ", ".join(sorted(KINDS[name].needs)) or "nothing"
        lines.append(f"| `{name}` | {needs} | {rho} | {again} | {tau:.3f} | {published_tau} | {cost:.2g} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="CIFAR-10: a folder, or an .npz of JPEGs")
    parser.add_argument("--published", type=Path, required=True, help="CSV of published scores")
    parser.add_argument("--truth", type=Path, required=True, help="CSV of the benchmark's accuracies")
    parser.add_argument("--count", type=int, default=80, help="architectures (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="images (default: %(default)s)")
    parser.add_argument("--scores", nargs="+", choices=sorted(UNTRAINED), help="(default: all)")
    parser.add_argument("--initialisations", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--mean", type=int, default=1, help="initialisations that a score averages (default: 1)")
    parser.add_argument("--threads", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the architectures (default: %(default)s)")
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/nb201"))
    parser.add_argument("--out", type=Path, help="file for the table (default: printed alone)")
    args = parser.parse_args()
    text = measure(args, image_folder(args.images, args.work_dir))
    if args.out is not None:
        write_text(args.out, text)
    print(text)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
