"""Evaluations that samplers need on a table of trained networks (NAS-Bench-201). Nothing is trained.

    python benchmarks/samplers.py --table nb201_cifar10.csv                       # 20 seeds, about half an hour a core
    python benchmarks/samplers.py --table nb201_cifar10.csv --seeds 3 --evaluations 100 --samplers action_space random

The table is a CSV with ``arch_str`` in NAS-Bench-201's notation and columns of accuracies in percent: ``--objective``
is searched for, and ``--report`` is shown for the architecture found. The space has six categorical parameters of five
operations. A repeated proposal returns the known value, and only distinct architectures count as evaluations, which
favours samplers that repeat themselves. Defaults of ``ActionSpaceSampler`` were chosen on seeds 0..7; the seeds here
start at 1000. Writes results/samplers.md, and an .svg that is not in the repository.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler

from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search.config import ActionSpace
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.samplers.action_space import ActionSpaceSampler
from pinas_zoo.search.samplers.arch2vec import Arch2VecSampler, LatentSpace
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space

SIZES = (100, 200, 400)
AUTHORS = ActionSpace(preset="authors").settings(random_first=20)
SPACE: dict[str, BaseDistribution] = {f"edge{k}": CategoricalDistribution(OPERATIONS) for k in range(6)}


@cache
def latent_space() -> LatentSpace:
    """The embeddings of arch2vec, which all seeds share, as in its paper."""
    latent = LatentSpace(NASBench201Space(), seed=0)
    latent.embed(latent.rows[:1])  # trains the autoencoder, so that the time of a proposal does not contain it
    return latent


SAMPLERS: dict[str, tuple[str, Callable[[int], BaseSampler]]] = {
    "action_space": ("Action Space (default)", lambda seed: ActionSpaceSampler(seed, search_space=SPACE)),
    "authors": (
        'Action Space, preset "authors"',
        lambda seed: ActionSpaceSampler(
            seed,
            AUTHORS.random_first,
            8,
            *AUTHORS[1:],
            search_space=SPACE,  # the tree is rebuilt every 8 trials
        ),
    ),
    "uniform": (
        "Action Space, 80 random first, uniform in the leaf",
        lambda seed: ActionSpaceSampler(seed, n_startup_trials=80, ranked=False, search_space=SPACE),
    ),
    "arch2vec": (
        "arch2vec (Bayesian optimisation)",
        lambda seed: Arch2VecSampler(latent_space(), seed, search_space=SPACE),
    ),
    "tpe": ("TPE (Optuna)", lambda seed: TPESampler(seed=seed)),
    "nsga2": ("NSGA-II (Optuna, population 50)", lambda seed: NSGAIISampler(seed=seed)),
    "random": (
        "random, without repeats",
        lambda seed: ActionSpaceSampler(seed, n_startup_trials=10**9, search_space=SPACE),
    ),
}
Table = dict[tuple[str, ...], tuple[float, float]]


@dataclass
class Search:
    """A search: objective and reported accuracy of the distinct architectures, in the order of evaluation."""

    values: list[float]
    reported: list[float]


def accuracies(path: Path, objective: str, report: str) -> Table:
    """Read (objective, reported accuracy) in percent by the operations of the six edges."""
    return {
        tuple(OPERATIONS[choice] for choice in arch): (network.accuracies[objective], network.accuracies[report])
        for arch, network in read_table(path).items()
    }


def search(name: str, seed: int, table: Table, evaluations: int) -> Search:
    quiet()
    study = optuna.create_study(direction="maximize", sampler=SAMPLERS[name][1](seed))
    seen: set[tuple[str, ...]] = set()
    result = Search([], [])
    while len(seen) < evaluations:
        trial = study.ask(SPACE)
        edges = tuple(trial.params[key] for key in SPACE)
        value, reported = table[edges]
        study.tell(trial, value)
        if edges not in seen:
            seen.add(edges)
            result.values.append(value)
            result.reported.append(reported)
    return result


def known_study(sampler: BaseSampler, table: Table, trials: int = 1000) -> optuna.Study:
    """Create a study with a number of random trials and a sampler that has not proposed anything."""
    quiet()
    study = optuna.create_study(direction="maximize", sampler=SAMPLERS["random"][1](0))
    for _ in range(trials):
        trial = study.ask(SPACE)
        study.tell(trial, table[tuple(trial.params.values())][0])
    study.sampler = sampler
    return study


def proposal_seconds(study: optuna.Study, table: Table, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of one proposal, whose value is then reported to the study."""
    start = clock()
    trial = study.ask(SPACE)
    seconds = clock() - start
    study.tell(trial, table[tuple(trial.params.values())][0])
    return seconds


def milliseconds(name: str, table: Table, asks: int = 80) -> tuple[float, float]:
    """Mean and largest time of a proposal in milliseconds, with 1,000 known trials."""
    study = known_study(SAMPLERS[name][1](0), table)
    seconds = [proposal_seconds(study, table) for _ in range(asks)]
    return 1e3 * statistics.mean(seconds), 1e3 * max(seconds)


def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def quartiles(values: Sequence[float]) -> str:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def lines(found: dict[str, list[Search]], table: Table, sizes: Sequence[int]) -> list[str]:
    top = max(value for value, _ in table.values())
    head = " | ".join(f"best at {n} | regret at {n} | reported at {n}" for n in sizes)
    out = [f"| sampler | {head} | ms a sample at 1,000 trials, mean (largest) |", "|---" * (2 + 3 * len(sizes)) + "|"]
    for name, searches in found.items():
        cells = []
        for n in sizes:
            best = [int(np.argmax(s.values[:n])) for s in searches]
            values = [s.values[k] for s, k in zip(searches, best, strict=True)]
            reported = [s.reported[k] for s, k in zip(searches, best, strict=True)]
            cells += [quartiles(values), f"{top - statistics.median(values):.3f}", quartiles(reported)]
        mean, largest = milliseconds(name, table)
        out.append(f"| {SAMPLERS[name][0]} | {' | '.join(cells)} | {mean:.1f} ({largest:.0f}) |")
    return out


def draw(path: Path, found: dict[str, list[Search]], table: Table, objective: str) -> None:
    """Draw the median regret over evaluations with its quartiles."""
    from matplotlib.figure import Figure

    top = max(value for value, _ in table.values())
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for name, searches in found.items():
        regret = top - np.maximum.accumulate([s.values for s in searches], axis=1)  # seeds x evaluations
        low, middle, high = np.percentile(regret, (25, 50, 75), axis=0)
        steps = np.arange(1, len(middle) + 1)
        (line,) = axes.plot(steps, middle, label=SAMPLERS[name][0], linewidth=1.2)
        axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="architectures evaluated", ylabel=f"regret of {objective}, %", yscale="symlog")
    axes.set_yscale("symlog", linthresh=0.05)
    axes.set_ylim(0, None)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV with arch_str and accuracies")
    parser.add_argument("--objective", default="cifar10_valid_acc", help="column to search for (default: %(default)s)")
    parser.add_argument("--report", default="cifar10_test_acc", help="column to report (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=max(SIZES))
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--tag", default="", help="results/samplers_TAG.md")
    args = parser.parse_args()

    table = accuracies(args.table, args.objective, args.report)
    sizes = [n for n in SIZES if n <= args.evaluations] or [args.evaluations]
    found: dict[str, list[Search]] = {}
    with ProcessPoolExecutor(args.processes) as pool:
        for name in args.samplers:
            one: Any = partial(search, name, table=table, evaluations=args.evaluations)
            found[name] = list(pool.map(one, range(1000, 1000 + args.seeds)))
            best = [max(s.values) for s in found[name]]
            print(f"{name:14} median of best at {args.evaluations}: {statistics.median(best):.3f}", flush=True)
    text = [
        "# Samplers on NAS-Bench-201",
        "",
        f"`python benchmarks/samplers.py --table {args.table.name} --objective {args.objective} --report {args.report} "
        f"--seeds {args.seeds} --evaluations {args.evaluations}`",
        "",
        f"{len(table):,} architectures, 6 edges of 5 operations; {args.seeds} seeds from 1000; accuracies in percent, "
        f"median (quartiles); regret is the median's distance from the table's best, "
        f"{max(v for v, _ in table.values()):.3f}. Only distinct architectures count as evaluations.",
        f"Python {platform.python_version()}, Optuna {optuna.__version__}, {platform.machine()}, "
        f"{os.cpu_count()} cores, {args.processes} process{'es' if args.processes > 1 else ''}.",
        "",
        *lines(found, table, sizes),
        "",
    ]
    print("\n".join(text))
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    stem = "_".join(filter(None, ["samplers", args.tag]))
    (folder / f"{stem}.md").write_text("\n".join(text))
    draw(folder / f"{stem}.svg", found, table, args.objective)


if __name__ == "__main__":
    main()
