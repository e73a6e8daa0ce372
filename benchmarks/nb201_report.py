"""The tables of benchmarks/nb201.py: what its runs have left in results/nb201/, against NAS-Bench-201's accuracies."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nb201_found import (
    CRITERION,
    LOSSES,
    SPACES,
    SUPERVISED,
    Found,
    Row,
    archs_of,
    effect_sums,
    plain_tau,
    read_found,
    tuned_half,
)
from tqdm import tqdm

from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search.ranking.kendall import RESAMPLES, Ranking, Tau, correlate
from pinas_zoo.weights.atomic import write_text

RESULTS = Path(__file__).parent / "results" / "nb201"
FITTED, FITS = 150, 200  # architectures that effects are fitted to at least, and draws of them
SKIPS_OF = 100  # best architectures
MANY = 5000  # architectures, of which fewer resamples do

HEAD = (
    "Command: `python benchmarks/nb201.py --images IMAGES --table CSV`, which adds runs to those below; a row is one "
    "supernet, learned on CIFAR-10 at 16 x 16 pixels, one cell a stage, 16 channels. Tau is Kendall's, against the "
    "table's test accuracy after 200 epochs, with its 95% bootstrap interval over architectures.",
    "",
    "Paths are scored in two or three ways. *Consistency*, by which all are ranked unless a table says otherwise: how "
    "much more alike two views of a held-out image are than views of two, by features "
    '(`explore.score="consistency"`, 1,000 images). *Probe*: the squared error of a ridge regression of each path\'s '
    "own, fitted on 500 training images, on 1,000 held-out ones. *Classifier*: the cross-entropy of the one that a "
    "supervised supernet learned, on as many.",
    "",
    "*Effects*: architectures ranked by the sums of what each edge's choice adds to the score on average over those "
    'that were scored (`explore.rank_by="effects"`), which predicts all of the space; no accuracy of the table goes '
    "in. *Scores*: ranked by the scores themselves, of those that were scored. Views, which score ranks, this way of "
    "ranking and regimes were chosen on the tuned half, by seed 0: Π-NAS's regime by consistency, SPOS's and FairNAS's "
    "by the probe after 4 minutes (by consistency, others are ahead there: the last table). How far a score counts "
    "before it is drawn in was chosen with Π-NAS on the larger spaces in sight. As sums of effects have few parameters "
    "that both halves share, the other half checks little more than all do; other seeds do. Intervals of effects take "
    "the fit as it is: they hold no chance of which architectures were scored, which a table shows where a run has "
    "enough scores, nor of the seed. Minutes of two machines are not the same: compare steps.",
    "",
)


def resampled(rows: Sequence[tuple[str, float, float, float]]) -> Ranking:
    return correlate(rows, resamples=RESAMPLES if len(rows) < MANY else RESAMPLES // 4)


def ranking(values: Mapping[str, float], table: Mapping[str, Row], archs: Container[str]) -> Ranking:
    """Of those of ``archs`` that have a value, beside FLOPs."""
    rows = [(a, v, table[a].flops, table[a].truth) for a, v in values.items() if a in archs]
    return resampled(rows)


def difference(ours: Mapping[str, float], theirs: Mapping[str, float], table: Mapping[str, Row]) -> Tau:
    """Of taus over the architectures that both have."""
    rows = [(a, ours[a], theirs[a], table[a].truth) for a in ours if a in theirs]
    return resampled(rows).difference


def ranks(found: Sequence[Found], table: Mapping[str, Row], size: int) -> list[str]:
    """Kendall's tau of every run on the spaces of ``size`` architectures, and the accuracy of the best one found."""
    archs = archs_of(table, size)
    held = set(archs) - tuned_half(archs) if size == 729 else set()
    lines = [
        f"## {size:,} architectures: {', '.join(SPACES[size])}",
        "",
        "| supernet | seed | minutes x threads | steps | images a core second of the budget | accuracy of probes "
        "| tau of effects, all | held-out half | less that of FLOPs | best one found | scored "
        "| tau of scores, of the scored | tau of their effects less that | tau of other effects | machine |",
        "|" + " --- |" * 15,
    ]
    for f in tqdm([f for f in found if f.facts["architectures"] == size], desc=f"{size} architectures", unit="run"):
        facts = f.facts
        sums = f.sums(CRITERION, archs)
        everything = ranking(sums, table, sums)
        half = ranking(sums, table, held).score if held else "–"
        others = [f"{LOSSES[o]} {plain_tau(f.sums(o, archs), table):+.3f}" for o in f.known if o != CRITERION]
        lines.append(
            f"| {f.title} | {facts['seed']} | {f.budget} | {facts['steps']:,} "
            f"| {facts['steps'] * facts['images_per_step'] / (60 * f.core_minutes):.0f} | {facts['accuracy']:.1%} "
            f"| {everything.score} | {half} | {everything.difference} "
            f"| {everything.best_truth:.2f}% | {len(f.scores):,} | {ranking(f.values(CRITERION), table, table).score} "
            f"| {difference(sums, f.values(CRITERION), table)} | {', '.join(others)} | {facts['machine']} |"
        )
    truth = np.array([table[a].truth for a in archs])
    for title, values in {
        "FLOPs alone": {a: table[a].flops for a in archs},
        "each trained for 12 epochs": {a: table[a].short for a in archs},
        "each trained for 200 epochs, validation images": {a: table[a].valid for a in archs},
        "each trained for 200 epochs, test images: the truth": {a: table[a].truth for a in archs},
    }.items():
        best = table[max(values, key=lambda a: values[a])].truth
        effects = effect_sums(values, archs)
        lines.append(
            f"| {title} | | | | | | {plain_tau(effects, table):+.3f} | | | {best:.2f}% | "
            f"| {plain_tau(values, table):+.3f} | {plain_tau(effects, table) - plain_tau(values, table):+.3f} | | |"
        )
    lines += ["", f"The best architecture of this space has {truth.max():.2f}%, the mean {truth.mean():.2f}%.", ""]
    return lines


def together(found: Sequence[Found], by: str, archs: Sequence[str]) -> dict[str, float]:
    """Mean of several supernets' sums of effects, each over its own standard deviation."""
    values = np.array([[sums[a] for a in archs] for sums in (f.sums(by, archs) for f in found)])
    spread = values.std(1, keepdims=True)
    return dict(zip(archs, (values / np.where(spread > 0, spread, 1)).mean(0), strict=True))


def seeds(found: Sequence[Found], table: Mapping[str, Row], size: int) -> list[str]:
    """Means over the seeds of each method and budget that has several, by each of its scores; and all of its supernets
    together, beside Π-NAS's."""
    archs = archs_of(table, size)
    lines = [
        "| over seeds | ranked by | minutes x threads | seeds | tau of effects | tau of scores "
        "| tau of all supernets' effects together | tau of Π-NAS's together less that |",
        "|" + " --- |" * 8,
    ]
    groups: dict[tuple[str, str], list[Found]] = {}
    for f in found:
        if f.facts["architectures"] == size:
            groups.setdefault((f.title, f.budget), []).append(f)
    groups = {key: some for key, some in groups.items() if len(some) > 1}
    ours = {
        (budget, len(some)): together(some, CRITERION, archs)
        for (_, budget), some in groups.items()
        if some[0].facts["run"] == "pinas" and not some[0].changes
    }

    def told(values: Sequence[float]) -> str:
        return f"{np.mean(values):+.3f} ({min(values):+.3f} to {max(values):+.3f})"

    for (title, budget), some in groups.items():
        for by in some[0].known:
            sums = [plain_tau(f.sums(by, archs), table) for f in some]
            scores = [plain_tau(f.values(by), table) for f in some]
            all_sums = together(some, by, archs)
            beside = ours.get((budget, len(some)))
            less = difference(beside, all_sums, table) if beside and beside != all_sums else ""
            lines.append(
                f"| {title} | {LOSSES[by]} | {budget} | {len(some)} | {told(sums)} | {told(scores)} "
                f"| {ranking(all_sums, table, all_sums).score} | {less} |"
            )
    return [*lines, ""] if len(lines) > 2 else []


def fits(found: Sequence[Found], table: Mapping[str, Row], size: int) -> list[str]:
    """How much a tau of effects depends on which architectures were scored: fits to random parts of a run's scores."""
    archs = archs_of(table, size)
    lines = [
        f"| tau of effects fitted to random {FITTED} of a run's scores | minutes x threads | seed | mean "
        f"| 95% of {FITS} fits |",
        "| --- | --- | --- | --- | --- |",
    ]
    for f in found:
        if f.facts["architectures"] != size or len(f.scores) < 2 * FITTED:
            continue
        rng, taus = np.random.default_rng(0), []
        for _ in range(FITS):
            some = set(rng.choice(sorted(f.scores), FITTED, replace=False))
            taus.append(plain_tau(f.sums(CRITERION, archs, some), table))
        low, high = np.quantile(taus, (0.025, 0.975))
        lines.append(
            f"| {f.title}, {len(f.scores):,} scored | {f.budget} | {f.facts['seed']} "
            f"| {np.mean(taus):+.3f} | {low:+.3f} to {high:+.3f} |"
        )
    return [*lines, ""] if len(lines) > 2 else []


def pairs(found: Sequence[Found], table: Mapping[str, Row], size: int) -> list[str]:
    """Π-NAS beside each other method, and trials, at the same seed, budget and architectures.

    Ablations stand beside Π-NAS of their own regime. Supernets learned with labels are ranked by each of their scores,
    others by consistency alone.
    """
    some = [f for f in found if f.facts["architectures"] == size]
    known = {(f.facts["run"], f.changes, f.budget, f.facts["seed"]): f for f in some}
    archs = archs_of(table, size)
    lines = [
        f"| tau of Π-NAS less that of ({size:,} architectures) | which is ranked by | minutes x threads | seed "
        "| by effects | by scores |",
        "|" + " --- |" * 6,
    ]
    for (name, changes, budget, seed), other in known.items():
        ours = known.get(("pinas", changes if name.startswith("pinas_") else (), budget, seed))
        if ours is None or ours is other:
            continue
        both = ours.scores.keys() & other.scores.keys()
        for by in other.known if SUPERVISED in other.known else [CRITERION]:
            effects = difference(ours.sums(CRITERION, archs, both), other.sums(by, archs, both), table)
            scores = difference(ours.values(CRITERION), other.values(by), table)
            lines.append(f"| {other.title} | {LOSSES[by]} | {budget} | {seed} | {effects} | {scores} |")
    return [*lines, ""] if len(lines) > 2 else []


def ablations(found: Sequence[Found], table: Mapping[str, Row]) -> list[str]:
    """Table 7 and Figure 5's mean, and parameter drift, on the 729."""
    lines = [
        "## Ablations (Table 7, Figure 5), 729 architectures",
        "",
        "| supernet | seed | minutes x threads | steps | tau of effects | similarity of paths | teacher's drift "
        "| spread of outputs |",
        "|" + " --- |" * 8,
    ]

    def setting(f: Found) -> tuple[Any, ...]:
        return f.changes, f.budget, f.facts["seed"]

    some = [f for f in found if f.facts["architectures"] == 729]
    ablated = {setting(f) for f in some if f.facts["run"].startswith("pinas_")}
    if not ablated:
        return []
    archs = archs_of(table, 729)
    for f in some:
        if f.facts["run"].startswith("pinas") and setting(f) in ablated:
            values = " | ".join(f"{f.facts[k]:.3f}" if k in f.facts else "–" for k in ("similarity", "drift", "spread"))
            value = ranking(f.sums(CRITERION, archs), table, table).score
            lines.append(f"| {f.title} | {f.facts['seed']} | {f.budget} | {f.facts['steps']:,} | {value} | {values} |")
    return [*lines, ""]


def tried(found: Sequence[Found]) -> list[Found]:
    """Runs of the methods on the 729 at budgets at which several regimes were tried."""
    some = [f for f in found if f.facts["architectures"] == 729 and not f.facts["run"].startswith("pinas_")]
    budgets = {(f.facts["run"], f.budget) for f in some if f.changes}
    return [f for f in some if (f.facts["run"], f.budget) in budgets]


def trials(found: Sequence[Found], table: Mapping[str, Row]) -> list[str]:
    """Regimes that were tried, by the half that they are chosen on."""
    some = tried(found)
    if not some:
        return []
    half = sorted(tuned_half(archs_of(table, 729)))
    lines = [
        "## Trials, 729 architectures, by the tuned half",
        "",
        "| supernet | changed by `--set` | seed | minutes x threads | steps | accuracy of probes | tau of effects |",
        "|" + " --- |" * 7,
    ]
    for f in some:
        taus = [f"{LOSSES[by]} {plain_tau(f.sums(by, half), table):+.3f}" for by in f.known]
        changes = " ".join(f"`{text}`" for text in f.changes) or "nothing"
        lines.append(
            f"| {f.facts['title']} | {changes} | {f.facts['seed']} | {f.budget} | {f.facts['steps']:,} "
            f"| {f.facts['accuracy']:.1%} | {', '.join(taus)} |"
        )
    return [*lines, ""]


def skip_counts(ranked: Sequence[str]) -> list[int]:
    """How many of the best have 0, 1, … 6 skip connections."""
    digit = str(OPERATIONS.index("skip_connect"))
    values = [arch.count(digit) for arch in ranked[:SKIPS_OF]]
    return [values.count(k) for k in range(7)]


def skips(found: Sequence[Found], table: Mapping[str, Row]) -> list[str]:
    """Figure 7: how many edges of the best architectures are skip connections, by truth and by score."""
    some = [f for f in found if f.facts["architectures"] == 15625]
    if not some:
        return []

    def row(title: str, seed: str, ranked: Sequence[str]) -> str:
        counts = skip_counts(ranked)
        mean = sum(k * count for k, count in enumerate(counts)) / sum(counts)
        return f"| {title} | {seed} | {mean:.2f} | {' / '.join(map(str, counts))} |"

    lines = [
        f"## Skip connections (Figure 7) among the {SKIPS_OF} best of 15,625, supernets' by effects",
        "",
        "| ranked by | seed | mean number | architectures with 0 / 1 / … / 6 |",
        "| --- | --- | --- | --- |",
        row("accuracy alone", "", sorted(table, key=lambda a: -table[a].truth)),
    ]
    for f in some:
        sums = f.sums(CRITERION, list(table))
        lines.append(row(f.title, f"{f.facts['seed']}", sorted(sums, key=lambda a: -sums[a])))
    return [*lines, ""]


def report(table: Mapping[str, Row]) -> list[Found]:
    """results/nb201.md; returns what it tells in full: all but trials of few scores, which the last table has."""
    everything = read_found(RESULTS)
    told_there = {f.name for f in tried(everything) if len(f.scores) < FITTED}
    found = [f for f in everything if f.name not in told_there]
    lines = ["# Ranking on NAS-Bench-201", "", *HEAD]
    for size in SPACES:
        if any(f.facts["architectures"] == size for f in found):
            lines += ranks(found, table, size) + seeds(found, table, size)
            lines += fits(found, table, size) + pairs(found, table, size)
    lines += ablations(found, table) + skips(found, table) + trials(everything, table)
    text = "\n".join(lines).rstrip() + "\n"
    write_text(RESULTS.with_suffix(".md"), text)
    print(text)
    return found
