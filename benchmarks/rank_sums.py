"""How should several scores become one ranking? Rules compared on the kept scores of NAS-Bench-201.

    python benchmarks/rank_sums.py --truth nb201.csv [--results FOLDER] [--size 15625]

The rules are sums of places, of the logarithms of places from the first, and from the last (AZ-NAS), each with and
without smoothing by main effects. They are compared on a random half of the scored architectures and on the other one,
so that a rule that is chosen on the first half is judged on the second. With ``--together`` the supernets of all seeds
of a method rank together. Nothing is learned or scored: about a minute.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.plan import find_evidence, load_evidence
from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun, effect_sums
from pinas_zoo.search.evidence.tables import Evidence, Ranking
from pinas_zoo.search.evidence.truth import load_truth

Values = Mapping[str, float]  # by architecture, higher is better
RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of places, N is the best
    "places": lambda places: places,
    "log, from the first": lambda places: -np.log(len(places) + 1 - places),
    "log, from the last": np.log,
}
SUMS = (  # a name that stands twice has weight 2
    ("consistency", "jacov", "reachable_flops", "reachable_flops", "shortest_path", "az_expressivity"),
    ("jacov", "reachable_flops", "reachable_flops", "shortest_path", "az_expressivity"),
    ("consistency", "jacov", "reachable_flops"),
    ("consistency", "naswot", "jacov", "reachable_flops"),
    ("consistency", "squared_error", "jacov", "reachable_flops"),
    ("jacov", "reachable_flops"),
    ("naswot", "jacov", "reachable_flops"),
)


def combined(scores: Sequence[Sequence[Values]], rule: Callable[[np.ndarray], np.ndarray]) -> Values:
    """The sum over scores, by a rule, of the places of architectures that all have; a score's columns are averaged."""
    columns = [column for score in scores for column in score]
    archs = [arch for arch in columns[0] if all(arch in column for column in columns)]
    parts = [np.mean([rule(rankdata([column[arch] for arch in archs])) for column in score], 0) for score in scores]
    total = np.sum(parts, 0)
    return dict(zip(archs, np.asarray(total).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True, help="the benchmark's table (docs/nasbench201.md)")
    parser.add_argument("--results", default="benchmarks/results/nb201", help="folder of kept scores")
    parser.add_argument("--size", type=int, default=15625, help="architectures of the space")
    parser.add_argument("--runs", nargs="+", default=["pinas", "spos"], help="methods, each with its longest budget")
    parser.add_argument("--together", action="store_true", help="rank by the supernets of all seeds together")
    args = parser.parse_args()
    try:
        rows = compare(args.truth, args.results, args.size, args.runs, args.together)
    except UserError as error:
        parser.error(str(error))
    if not rows:
        parser.error(f"expected kept scores of {' or '.join(args.runs)} on {args.size} architectures in {args.results}")
    print("| supernet | sum | rule | first half | other half | all | within the better half |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))


def compare(table: str, results: str, size: int, methods: Sequence[str], together: bool = False) -> list[str]:
    """A row for each method, sum and rule, and for each sum without a supernet.

    Raises:
        UserError: A file is missing or damaged, or the size is not that of a space.
    """
    config = load_evidence(find_evidence("nasbench201"))
    if size not in config.spaces:
        raise UserError(f"expected a --size of {', '.join(map(str, config.spaces))}, got {size}")
    truth = load_truth(Path(table), config.truth, 1)
    evidence = Evidence.load(config, truth, Path(results))
    ranking = Ranking(size, size)
    better = truth.better_half(evidence.archs(size))
    free = {one.kind: one.values for one in evidence.training_free if one.size == size}
    lines = []
    for method in (*methods, None):
        runs, title = _runs(evidence, method, size)
        for names in SUMS:
            needs_supernet = any(name in RANKING_SCORES for name in names)
            known = all(name in RANKING_SCORES or name in free for name in names)
            if needs_supernet != (method is not None) or not runs or not known:
                continue
            weights = Counter(RANKING_SCORES.get(name, name) for name in names)
            words = " + ".join(f"{weight} {name}" if weight > 1 else name for name, weight in weights.items())
            for rule, smooth in product(RULES, (False, True)):
                groups = [runs] if together else [[run] for run in runs]
                rows = [taus(evidence, ranking, group, names, free, rule, smooth, better) for group in groups]
                cells = [f"{value:+.3f}" for value in np.mean(rows, 0)]
                lines.append(f"| {title} | {words} | {rule}{', smoothed' * smooth} | {' | '.join(cells)} |")
    return lines


def _runs(evidence: Evidence, method: str | None, size: int) -> tuple[list[MeasuredRun | None], str]:
    """The runs of a method's longest budget, and its title; a single None without a method."""
    if method is None:
        return [None], "none"
    known = [run for run in evidence.of_size(size) if run.method == method and not run.changes]
    longest = max((run.core_minutes for run in known), default=0)
    runs: list[MeasuredRun | None] = [run for run in known if run.core_minutes == longest]
    return runs, f"{known[0].title if known else method}, {len(runs)} seed{'s' * (len(runs) > 1)}"


def taus(
    evidence: Evidence,
    ranking: Ranking,
    runs: Sequence[MeasuredRun | None],
    names: tuple[str, ...],
    free: Mapping[str, Values],
    rule: str,
    smooth: bool,
    better: set[str],
) -> list[float]:
    """Tau of a sum on a random half of what is scored, on the other one, on all, and within the better half."""
    truth = evidence.truth
    own = {name: [evidence.values(run, name, ranking) for run in runs] for name in names if name not in free}  # type: ignore[arg-type]
    values = combined([own.get(name) or [free[name]] for name in names], RULES[rule])
    if smooth:
        values = combined([[values], [effect_sums(values, list(values))]], RULES[rule])
    archs = sorted(values)
    first = {archs[k] for k in np.random.default_rng(0).permutation(len(archs))[: len(archs) // 2]}
    parts = (first, set(archs) - first, set(archs), better)
    return [truth.tau({arch: value for arch, value in values.items() if arch in part}) for part in parts]


if __name__ == "__main__":
    main()
