"""Does Π-NAS rank better than SPOS after the same steps, by the same score? Kept scores of NAS-Bench-201.

    python benchmarks/equal_steps.py --truth nb201.csv

Supernets of all 15,625 architectures, one seed, of which the same 1,000 are scored. Each score is taken alone and in
the sum of log places with ``jacov`` and ``reachable_flops``, as it is and smoothed. Intervals are 95% bootstrap
intervals over architectures, of taus and of differences of taus. Nothing is learned or scored: about a minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from rank_sums import RULES, Values, combined
from scipy.stats import kendalltau

from pinas_zoo.search.evidence.plan import find_evidence, load_evidence
from pinas_zoo.search.evidence.results import effect_sums, read_run
from pinas_zoo.search.evidence.training_free import read_training_free
from pinas_zoo.search.evidence.truth import load_truth

RESULTS = Path(__file__).parent / "results"
RUNS = {
    "Π-NAS": "pinas_15625_3638steps_2_of_1000",
    "Π-NAS, balanced paths": "pinas_space.training_paths=balanced_15625_12x1_2_of_1000",
    "SPOS": "spos_15625_3638steps_2_of_1000",
}
SCORES = "consistency", "identification"
FREE = "jacov", "reachable_flops"
NO_SUPERNET = "no supernet"
SUM = " + jacov + reachable_flops"
WAYS = "", ", smoothed", SUM, f"{SUM}, smoothed"
LOG = RULES["log, from the last"]
SIZE, SCORED = 15625, 1000


def ways(scores: Sequence[Values], free: Sequence[Values]) -> dict[str, Values]:
    """Rankings by a score: alone, smoothed, in the sum with the ``free`` ones, and the sum smoothed."""
    found: dict[str, Values] = {}
    for words, parts in ([("", scores)] if scores else []) + [(SUM, [*scores, *free])]:
        values = combined([[part] for part in parts], LOG)
        found[words] = values
        found[f"{words}, smoothed"] = combined([[values], [effect_sums(values, list(values))]], LOG)
    return found


def rankings(archs: Sequence[str]) -> dict[str, np.ndarray]:
    """By supernet, score and way, the value of each architecture; higher is better."""
    kept = [one for one in read_training_free(RESULTS / "nb201") if one.size == SIZE and len(one.values) == SCORED]
    free = [one.values for kind in FREE for one in kept if one.kind == kind]
    found = {f"{NO_SUPERNET}{way}": values for way, values in ways([], free).items()}
    for (title, name), score in product(RUNS.items(), SCORES):
        values = read_run(RESULTS / "nb201_equal_steps" / f"{name}.json").values(score)
        found |= {f"{title}, {score}{way}": values for way, values in ways([values], free).items()}
    return {name: np.array([values[arch] for arch in archs]) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True, type=Path, help="the benchmark's table (docs/nasbench201.md)")
    parser.add_argument("--resamples", type=int, default=400, help="of the bootstrap (default: %(default)d)")
    args = parser.parse_args()
    truth = load_truth(args.truth, load_evidence(find_evidence("nasbench201")).truth, 1)
    archs = sorted(read_run(RESULTS / "nb201_equal_steps" / f"{RUNS['SPOS']}.json").scores)
    accuracies = np.array([truth.networks[arch].accuracy for arch in archs])
    better = np.isin(archs, list(truth.better_half(list(truth.networks))))
    rng = np.random.default_rng(0)
    samples = [rng.integers(len(archs), size=len(archs)) for _ in range(args.resamples)]
    found = rankings(archs)

    def tau(values: np.ndarray, chosen: np.ndarray | slice = slice(None)) -> float:
        return float(kendalltau(values[chosen], accuracies[chosen]).statistic)

    def interval(taus: np.ndarray) -> str:
        return "[{:+.3f}, {:+.3f}]".format(*np.quantile(taus, [0.025, 0.975]))

    resampled = {name: np.array([tau(values, sample) for sample in samples]) for name, values in found.items()}
    print("| ranked by | tau, 1,000 of all | within the better half |\n| --- | --- | --- |")
    for name, values in found.items():
        print(f"| {name} | {tau(values):+.3f} {interval(resampled[name])} | {tau(values, better):+.3f} |")
    print("\n| difference of taus | |\n| --- | --- |")
    pairs = [("Π-NAS", "SPOS"), ("Π-NAS, balanced paths", "Π-NAS")]
    compared = [(f"{a}, {score}{way}", f"{b}, {score}{way}") for (a, b), score, way in product(pairs, SCORES, WAYS)]
    compared += [(f"{a}, {s}{way}", f"{NO_SUPERNET}{way}") for a, s, way in product(RUNS, SCORES, WAYS[2:])]
    for one, other in compared:
        print(
            f"| {one}, less {other} | {tau(found[one]) - tau(found[other]):+.3f} "
            f"{interval(resampled[one] - resampled[other])} |"
        )


if __name__ == "__main__":
    main()
