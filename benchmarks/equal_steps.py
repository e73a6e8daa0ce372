"""Does Π-NAS rank better than SPOS after the same steps, by the same score, and what do scores get wrong?

    python benchmarks/equal_steps.py --truth nb201.csv [--figure equal_steps.svg]

Kept scores of supernets of all 15,625 architectures of NAS-Bench-201, of which the same 1,000 are scored. Each score is
taken alone and in sums of log places with scores that need no supernet. Means are over seeds, and intervals are 95%
bootstrap intervals over architectures, of means of taus and of their differences. Nothing is learned or scored: half a
minute.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search.evidence.plan import find_evidence, load_evidence
from pinas_zoo.search.evidence.results import effect_sums, read_run
from pinas_zoo.search.evidence.training_free import read_training_free
from pinas_zoo.search.evidence.truth import Truth, load_truth
from pinas_zoo.search.scorers.log_ranks import log_rank_sums

RESULTS = Path(__file__).parent / "results"
RUNS = {
    "Π-NAS": tuple(f"pinas_15625_3638steps_{seed}_of_1000" for seed in (0, 1, 2)),
    "SPOS": tuple(f"spos_15625_3638steps_{seed}_of_1000" for seed in (0, 1, 2)),
    "Π-NAS, balanced paths": ("pinas_space.training_paths=balanced_15625_12x1_2_of_1000",),
    "Π-NAS, 1,200 steps": ("pinas_15625_1200steps_2_of_1000",),
    "Π-NAS, 14,000 steps": ("pinas_15625_14000steps_2_of_1000",),
    "Π-NAS, three cells a stage": tuple(f"pinas_space.cells=3_15625_3638steps_{seed}_of_1000" for seed in (0, 2)),
}
MAIN = "Π-NAS", "SPOS"  # three seeds; the others are trials
SIZE, SMALLER = 15625, {4096: "_on_4096_of_1000", 729: "_on_729"}  # ends of the names of runs scored on smaller spaces
OF_STEPS = {3638: "pinas_15625_3638steps_2", 14000: "pinas_15625_14000steps_2"}  # 150 scored on the smaller spaces
NO_SUPERNET = "no supernet"
SCORES = "consistency", "identification"
SUM = {"jacov": 1.0, "reachable_flops": 1.0}
BEST = {"jacov": 1.0, "reachable_flops": 2.0, "shortest_path": 1.0, "az_expressivity": 1.0}  # beside a supernet's score
BEST_ALONE = {**BEST, "shortest_path": 0.5}
SUM_WORDS, BEST_WORDS = " + jacov + reachable_flops", " + the four scores"
ALONE_WORDS = f"{BEST_WORDS}, 0.5 shortest_path"
BETTER_SCORE = (("Π-NAS", "identification"), ("SPOS", "consistency"))  # the better of the two scores in each supernet
SHALLOW = "jacov", "az_expressivity"  # also kept of networks of one cell a stage
LENGTHS = "0", "1", "2"  # operations other than skip_connect on a cell's shortest path
WEIGHTS = {  # that are changed one at a time
    "the supernet's score": (0.5, 1.0, 2.0),
    "jacov": (0.0, 0.5, 1.0, 2.0),
    "reachable_flops": (0.0, 1.0, 2.0, 3.0),
    "shortest_path": (0.0, 0.5, 1.0, 1.5),
    "az_expressivity": (0.0, 0.5, 1.0, 2.0),
}
Values = NDArray[np.float64]  # an architecture each, higher is better


@dataclass(frozen=True)
class Kept:
    """Scores of the same architectures, and their accuracies.

    Attributes:
        archs: The architectures, in the benchmark's digits.
        scores: By run and score.
        free: Scores that need no supernet, by kind, of networks of five cells a stage.
        shallow: The same of networks of one cell a stage.
        truth: The benchmark's table.
        space: All architectures of the space.
    """

    archs: Sequence[str]
    scores: Mapping[tuple[str, str], Values]
    free: Mapping[str, Values]
    shallow: Mapping[str, Values]
    truth: Truth
    space: Sequence[str]

    @classmethod
    def load(cls, truth: Truth, operations: Collection[str], names: Sequence[str]) -> Kept:
        """The kept scores of runs, and those that need no supernet, in the space of these operations."""
        digits = {f"{OPERATIONS.index(operation)}" for operation in operations}
        space = [arch for arch in truth.networks if set(arch) <= digits]
        runs = {name: read_run(RESULTS / "nb201_equal_steps" / f"{name}.json") for name in names}
        archs = sorted(next(iter(runs.values())).scores)
        free, shallow = (
            {
                one.kind: np.array([one.values[arch] for arch in archs])
                for folder in folders
                for one in read_training_free(RESULTS / folder)
                if one.network["cells"] == cells and one.size == len(space) and one.values.keys() >= set(archs)
            }
            for folders, cells in ((("nb201", "nb201_equal_steps"), 5), (("nb201_equal_steps/one_cell",), 1))
        )
        if len(space) == SIZE and shallow.keys() != set(SHALLOW):
            raise UserError(f"expected {' and '.join(SHALLOW)} of one cell in {RESULTS / 'nb201_equal_steps/one_cell'}")
        values = {(name, score): runs[name].values(score) for name, score in product(runs, SCORES)}
        return cls(archs, {k: np.array([v[a] for a in archs]) for k, v in values.items()}, free, shallow, truth, space)

    def accuracies(self, column: str | None = None) -> Values:
        """The accuracies that are ranked, or those on other data (:attr:`Truth.transfer`)."""
        if column is not None:
            return np.array([self.truth.networks[arch].transfer[column] for arch in self.archs])
        return np.array([self.truth.networks[arch].accuracy for arch in self.archs])

    def sum_of(
        self, run: str | None, score: str, parts: Mapping[str, float], smoothed: bool = False, weight: float = 1.0
    ) -> Values:
        """A run's score times a weight with ``parts``, as sums of log places from the last; no run: the parts alone."""
        columns = [(self.free[kind], of_kind) for kind, of_kind in parts.items() if of_kind]
        if run is not None:
            columns.append((self.scores[run, score], weight))
        total = sum_of_logs(columns)
        return self.smoothed(total) if smoothed else total

    def smoothed(self, values: Values) -> Values:
        """By the values and by the effects that are fitted to them, half each."""
        sums = effect_sums(dict(zip(self.archs, values.tolist(), strict=True)), self.archs)
        return sum_of_logs([(values, 0.5), (np.array([sums[arch] for arch in self.archs]), 0.5)])

    def better(self) -> NDArray[np.bool_]:
        """Which of the architectures belong to the better half of the space."""
        return np.isin(self.archs, list(self.truth.better_half(self.space)))


def sum_of_logs(columns: Sequence[tuple[Values, float]]) -> Values:
    """The weighted sum of log places from the last, as ``explore.score`` adds scores; higher is better."""
    named = {f"{k}": column for k, column in enumerate(columns)}
    return -log_rank_sums({k: rankdata(-v) for k, (v, _) in named.items()}, {k: w for k, (_, w) in named.items()})


def tau(values: Values, accuracies: Values, chosen: NDArray | slice = slice(None)) -> float:
    return float(kendalltau(values[chosen], accuracies[chosen]).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", required=True, type=Path, help="the benchmark's table (docs/nasbench201.md)")
    parser.add_argument("--resamples", type=int, default=400, help="of the bootstrap (default: %(default)d)")
    parser.add_argument("--figure", type=Path, help="SVG of the errors in place by the shortest path")
    args = parser.parse_args()
    try:
        config = load_evidence(find_evidence("nasbench201"))
        truth = load_truth(args.truth, config.truth, 1)
        kept = Kept.load(truth, config.spaces[SIZE], [name for names in RUNS.values() for name in names])
        smaller, by_steps = {}, {}
        for size, end in SMALLER.items():
            smaller[size] = Kept.load(truth, config.spaces[size], [on_smaller(r, end) for m in MAIN for r in RUNS[m]])
            names = [f"{name}_on_{size}_of_150" for name in OF_STEPS.values()]
            by_steps[size] = Kept.load(truth, config.spaces[size], names)
    except UserError as error:
        parser.error(str(error))
    found = rankings(kept)
    parts = [taus(kept, found, args.resamples), depths(kept), weights(kept), errors(kept), ceiling(kept)]
    print("\n\n".join("\n".join(lines) for lines in parts))
    for size, one in smaller.items():
        print("\n".join(["", *taus_on_smaller(one, size, args.resamples)]))
    print("\n".join(["", *steps_on_smaller(by_steps)]))
    print("\n".join(["", *training(truth, {SIZE: kept.space, **{size: one.space for size, one in smaller.items()}})]))
    if args.figure:
        draw(kept, args.figure)


def rankings(kept: Kept) -> dict[str, list[Values]]:
    """By words, how each seed's supernet ranks."""
    ways = {
        "": ({}, False),
        ", smoothed": ({}, True),
        SUM_WORDS: (SUM, False),
        f"{SUM_WORDS}, smoothed": (SUM, True),
        BEST_WORDS: (BEST, False),
        f"{BEST_WORDS}, smoothed": (BEST, True),
    }
    alone = {ALONE_WORDS: (BEST_ALONE, False)}
    found = {
        f"{NO_SUPERNET}{way}": [kept.sum_of(None, "", parts, smoothed)]
        for way, (parts, smoothed) in {**ways, **alone}.items()
        if parts
    }
    for title, score, (way, (parts, smoothed)) in product(RUNS, SCORES, ways.items()):
        if title in MAIN or not smoothed:
            found[f"{title}, {score}{way}"] = [kept.sum_of(run, score, parts, smoothed) for run in RUNS[title]]
    return found


def taus(kept: Kept, found: Mapping[str, Sequence[Values]], resamples: int) -> list[str]:
    """The table of taus, means over seeds, and that of their differences."""
    truth, better, rng = kept.accuracies(), kept.better(), np.random.default_rng(0)
    samples = [rng.integers(len(truth), size=len(truth)) for _ in range(resamples)]
    resampled = {
        name: np.array([np.mean([tau(v, truth, sample) for v in seeds]) for sample in samples])
        for name, seeds in found.items()
    }
    others = {name: kept.accuracies(name) for name in kept.truth.transfer}

    def mean(name: str, accuracies: Values, chosen: NDArray | slice = slice(None)) -> float:
        return float(np.mean([tau(values, accuracies, chosen) for values in found[name]]))

    def interval(values: Values) -> str:
        return "[{:+.3f}, {:+.3f}]".format(*np.quantile(values, [0.025, 0.975]))

    lines = [
        f"| ranked by | seeds | tau, 1,000 of all | single seeds | within the better half | best of the first 10 "
        f"{''.join(f'| {name} ' for name in others)}|",
        "| --- " * (6 + len(others)) + "|",
    ]
    for name, seeds in found.items():
        first = [max(truth[np.argsort(-values, kind="stable")[:10]]) for values in seeds]
        cells = [name, f"{len(seeds)}", f"{mean(name, truth):+.3f} {interval(resampled[name])}"]
        cells += [", ".join(f"{tau(values, truth):+.3f}" for values in seeds), f"{mean(name, truth, better):+.3f}"]
        cells += [", ".join(f"{accuracy:.1f}%" for accuracy in first)]
        lines.append(f"| {' | '.join([*cells, *(f'{mean(name, other):+.3f}' for other in others.values())])} |")
    lines += ["", "| difference of taus, means over seeds | |", "| --- | --- |"]
    ways = dict.fromkeys(name.removeprefix("SPOS, ") for name in found if name.startswith("SPOS, "))
    pairs = [(f"Π-NAS, {way}", f"SPOS, {way}") for way in ways]
    for title, score, way in product(MAIN, SCORES, ways):
        parts = way.removeprefix(score)
        alone = dict.fromkeys((NO_SUPERNET + parts, NO_SUPERNET + parts.replace(BEST_WORDS, ALONE_WORDS)))
        pairs += [(f"{title}, {way}", other) for other in alone if way.startswith(score) and other in found]
    pairs = [pair for pair in pairs if not pair[0].endswith(", smoothed")]
    for one, other in pairs:
        lines.append(
            f"| {one}, less {other} | {mean(one, truth) - mean(other, truth):+.3f} "
            f"{interval(resampled[one] - resampled[other])} |"
        )
    return lines


def on_smaller(run: str, end: str) -> str:
    """The name of a run's scores of a smaller space, with the end that :data:`SMALLER` has."""
    return run.removesuffix("_of_1000") + end


def taus_on_smaller(kept: Kept, size: int, resamples: int) -> list[str]:
    """Of a smaller space, means over seeds; differences with the other rows that rank in the same way."""
    truth, better, rng = kept.accuracies(), kept.better(), np.random.default_rng(0)
    samples: list[NDArray | slice] = [
        slice(None),
        *(rng.integers(len(truth), size=len(truth)) for _ in range(resamples)),
    ]
    smoothed = f"{BEST_WORDS}, smoothed"
    ways = {"": ({}, False), BEST_WORDS: (BEST, False), smoothed: (BEST, True)}
    alone = {ALONE_WORDS: (BEST_ALONE, False), f"{ALONE_WORDS}, smoothed": (BEST_ALONE, True)}

    def taus_of(title: str, score: str, parts: Mapping[str, float], smooth: bool) -> tuple[NDArray, float]:
        """The mean tau of all and of each sample, and within the better half."""
        runs = [None] if title == NO_SUPERNET else [on_smaller(run, SMALLER[size]) for run in RUNS[title]]
        values = [kept.sum_of(run, score, parts, smooth) for run in runs]
        means = [np.mean([tau(v, truth, sample) for v in values]) for sample in samples]
        return np.array(means), float(np.mean([tau(v, truth, better) for v in values]))

    def shown(taus: NDArray) -> str:
        return "{:+.3f} [{:+.3f}, {:+.3f}]".format(taus[0], *np.quantile(taus[1:], [0.025, 0.975]))

    counted = f"all {size:,}" if len(truth) == size else f"{len(truth):,} of the {size:,}"
    lines = [
        f"| ranked by | tau, {counted} | within the better half | Π-NAS less SPOS | less no supernet "
        "| less no supernet, 0.5 shortest_path |",
        "| --- " * 6 + "|",
    ]
    free = {way: taus_of(NO_SUPERNET, "", *how) for way, how in {**ways, **alone}.items() if how[0]}
    lines += [f"| {NO_SUPERNET}{way} | {shown(all_)} | {inside:+.3f} | | | |" for way, (all_, inside) in free.items()]
    for score, (way, how) in product(SCORES, ways.items()):
        found = {title: taus_of(title, score, *how) for title in MAIN}
        for title, (all_, inside) in found.items():
            cells = [f"{title}, {score}{way}", shown(all_), f"{inside:+.3f}"]
            cells += [shown(all_ - found["SPOS"][0]) if title == "Π-NAS" else ""]
            cells += [
                shown(all_ - free[other][0]) if other in free else ""
                for other in (way, way.replace(BEST_WORDS, ALONE_WORDS))
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def steps_on_smaller(by_size: Mapping[int, Kept]) -> list[str]:
    """What more steps do on the smaller spaces: one supernet each, of the same seed."""
    heads = " | ".join(f"tau, 150 of the {size:,} | within the better half" for size in by_size)
    lines = [f"| Π-NAS, seed 2 | steps | {heads} |", "| --- " * (2 + 2 * len(by_size)) + "|"]
    for score, parts, (steps, run) in product(SCORES, ({}, BEST), OF_STEPS.items()):
        cells = [f"{score}{BEST_WORDS if parts else ''}", f"{steps:,}"]
        for size, kept in by_size.items():
            values = kept.sum_of(f"{run}_on_{size}_of_150", score, parts)
            cells += [f"{tau(values, kept.accuracies(), some):+.3f}" for some in (slice(None), kept.better())]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def parts_of(kept: Kept) -> list[tuple[NDArray | slice, str]]:
    """A random half of the architectures, the other, all, and the better half, with their words."""
    first = np.random.default_rng(1).random(len(kept.archs)) < 0.5
    return [
        (first, "first half"), (~first, "other half"), (slice(None), "all"), (kept.better(), "within the better half"),
    ]  # fmt: skip


def row_of(kept: Kept, cells: Sequence[str], values: Sequence[Values]) -> str:
    """Cells of words, and the mean taus of :func:`parts_of`."""
    truth = kept.accuracies()
    means = [np.mean([tau(v, truth, some) for v in values]) for some, _ in parts_of(kept)]
    return f"| {' | '.join([*cells, *(f'{mean:+.3f}' for mean in means)])} |"


def weights(kept: Kept) -> list[str]:
    """The best sum with one weight after the other changed."""
    heads = " | ".join(words for _, words in parts_of(kept))
    lines = [f"| sum | weight of | is | {heads} |", "| --- " * 7 + "|"]
    for words, runs, score in (NO_SUPERNET, [None], ""), *((f"{m}, {s}", RUNS[m], s) for m, s in BETTER_SCORE):
        for part, values in WEIGHTS.items():
            for weight in values if part in BEST or score else ():
                own = weight if part not in BEST else 1.0
                parts = {**BEST, part: weight} if part in BEST else BEST
                sums = [kept.sum_of(run, score, parts, weight=own) for run in runs]
                lines.append(row_of(kept, [words, part, f"{weight:g}"], sums))
    return lines


def depths(kept: Kept) -> list[str]:
    """Training-free scores of networks of one and of five cells a stage, alone and in sums."""
    heads = " | ".join(words for _, words in parts_of(kept))
    lines = [f"| ranked by | cells a stage | {heads} |", "| --- " * 6 + "|"]
    deep, shallow = kept, replace(kept, free={**kept.free, **kept.shallow})
    for kind in SHALLOW:
        lines += [row_of(k, [kind, cells], [k.free[kind]]) for k, cells in ((shallow, "1"), (deep, "5"))]
    shown = (*BETTER_SCORE, ("Π-NAS", "consistency"))
    for words, runs, score in (NO_SUPERNET, [None], ""), *((f"{m}, {s}", RUNS[m], s) for m, s in shown):
        for way, parts in ((SUM_WORDS, SUM), (BEST_WORDS, BEST) if score else (ALONE_WORDS, BEST_ALONE)):
            for k, cells in ((shallow, "1"), (deep, "5")):
                lines.append(row_of(k, [words + way, cells], [k.sum_of(run, score, parts) for run in runs]))
    return lines


def groups_of(kept: Kept) -> dict[str, NDArray[np.bool_]]:
    """Cells by the operations on their shortest path, skips left out; those with three or none at all are few."""
    paths = kept.free["shortest_path"]
    lengths = sorted(set(paths.tolist()), reverse=True)
    return {name: paths == length for name, length in zip(LENGTHS, lengths, strict=False)}


def place_errors(kept: Kept) -> dict[str, list[float]]:
    """By score, the mean place by accuracy less that by score (0 to 1, 1 is the best), for each shortest path."""
    columns = {kind: [kept.free[kind]] for kind in ("reachable_flops", "jacov", "az_expressivity")}
    titles = (*MAIN, "Π-NAS, 14,000 steps", "Π-NAS, three cells a stage")
    columns |= {f"{t}, {s}": [kept.scores[run, s] for run in RUNS[t]] for t, s in product(titles, SCORES)}
    for words, parts in {SUM_WORDS: SUM, BEST_WORDS: BEST}.items():
        columns[f"Π-NAS, consistency{words}"] = [kept.sum_of(run, "consistency", parts) for run in RUNS["Π-NAS"]]
    places = rankdata(kept.accuracies())
    return {
        name: [
            float(np.mean([(places - rankdata(v))[group].mean() for v in seeds])) / len(places)
            for group in groups_of(kept).values()
        ]
        for name, seeds in columns.items()
    }


def errors(kept: Kept) -> list[str]:
    """The table of :func:`place_errors`."""
    head = " | ".join(f"{length} ({group.sum()} cells)" for length, group in groups_of(kept).items())
    lines = [f"| place by accuracy less place by score, of shortest paths of | {head} |", "| --- | --- | --- | --- |"]
    for name, cells in place_errors(kept).items():
        lines.append(f"| {name} | {' | '.join(f'{cell:+.3f}' for cell in cells)} |")
    return lines


def ceiling(kept: Kept) -> list[str]:
    """What a regression on the accuracies of four fifths of the architectures makes of the scores for the last fifth.

    It bounds what could be made of these scores: by any function of them, and by a sum of functions of one score each.
    Gaussian processes on standardised places; that of sums is fitted to the places' square roots, which is best for it.
    """
    truth, better = kept.accuracies(), kept.better()
    fold = np.random.default_rng(0).permutation(len(truth)) % 5
    places = rankdata(truth) / len(truth)

    def predicted(kernel: NDArray[np.float64], targets: Values) -> Values:
        found = np.zeros(len(truth))
        for k in range(5):
            known, new = fold != k, fold == k
            noisy = kernel[np.ix_(known, known)] + 0.01 * np.eye(known.sum())
            weights = np.linalg.solve(noisy, targets[known] - targets[known].mean())
            found[new] = targets[known].mean() + kernel[np.ix_(new, known)] @ weights
        return found

    def both(columns: Sequence[Values]) -> tuple[Values, Values]:
        x = np.stack([(rankdata(c) - rankdata(c).mean()) / rankdata(c).std() for c in columns], 1)  # N x scores
        squares = (x[:, None] - x[None]) ** 2  # N x N x scores
        return predicted(np.exp(-squares.mean(-1) / 2), places), predicted(np.exp(-5 * squares).mean(-1), places**0.5)

    free = [kept.free[kind] for kind in BEST]
    head = "| fitted to the accuracies of 800, predicts the other 200 "
    lines = [f"{head}| any function: tau | within the better half | sum: tau | within the better half |"]
    lines += ["| --- " * 5 + "|"]
    rows = {", ".join(BEST): [free]}
    for title in MAIN:
        words = f"the same, and {title}'s consistency and identification"
        rows[words] = [[*free, *(kept.scores[run, score] for score in SCORES)] for run in RUNS[title]]
    for words, several in rows.items():
        kinds = zip(*map(both, several), strict=True)  # any function, sum
        cells = [np.mean([tau(v, truth, some) for v in values]) for values in kinds for some in (slice(None), better)]
        lines.append(f"| {words} | {' | '.join(f'{cell:+.3f}' for cell in cells)} |")
    return lines


def training(truth: Truth, spaces: Mapping[int, Sequence[str]]) -> list[str]:
    """How accuracies of trained networks rank whole spaces: what a score without training is to be compared with."""
    heads = " | ".join(f"tau, all {size:,} | within the better half" for size in spaces)
    lines = [f"| ranked by | {heads} |", "| --- " * (1 + 2 * len(spaces)) + "|"]
    one = next(iter(truth.networks.values()))
    for kind, names in (("others", one.others), ("transfer", one.transfer)):
        for name in names:
            cells = []
            for archs in spaces.values():
                values = np.array([getattr(truth.networks[arch], kind)[name] for arch in archs])
                accuracies = np.array([truth.networks[arch].accuracy for arch in archs])
                better = np.isin(archs, list(truth.better_half(archs)))
                cells += [f"{tau(values, accuracies, some):+.3f}" for some in (slice(None), better)]
            words = f"each trained for 200 epochs on {name}" if kind == "transfer" else name
            lines.append(f"| {words} | {' | '.join(cells)} |")
    return lines


def draw(kept: Kept, path: Path) -> None:
    """Draw :func:`place_errors` as bars."""
    import matplotlib
    from matplotlib.figure import Figure

    found = place_errors(kept)
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for k, length in enumerate(LENGTHS):
        rows = [row + 0.25 * (k - 1) for row in range(len(found))]
        axes.barh(rows, [cells[k] for cells in found.values()], height=0.25, label=length)
    axes.set_yticks(range(len(found)), list(found), fontsize="small")
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("mean place by accuracy less place by score\n(right of 0: underrated; 1 is the whole ranking)")
    figure.legend(
        loc="outside upper center",
        ncols=3,
        title="operations on the cell's shortest path, without skips",
        fontsize="small",
    )
    with matplotlib.rc_context({"svg.hashsalt": "pinas", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
