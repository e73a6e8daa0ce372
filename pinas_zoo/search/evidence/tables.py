"""Tables of what kept runs say about one space: every run, means over seeds, spread of fits, pairs of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pinas_zoo.search.evidence.plan import EvidenceConfig
from pinas_zoo.search.evidence.results import RANKING_SCORES, SUPERVISED, MeasuredRun, effect_sums, read_runs
from pinas_zoo.search.evidence.truth import Truth, tuned_half

Lines = list[str]  # of Markdown


@dataclass(frozen=True)
class Evidence:
    """Kept runs, what they are compared with, and the configuration that says how."""

    config: EvidenceConfig
    truth: Truth
    runs: Sequence[MeasuredRun]

    @classmethod
    def load(cls, config: EvidenceConfig, truth: Truth, results: Path) -> Evidence:
        """With the kept runs of a folder that are on one of the configuration's spaces.

        Raises:
            UserError: A file is damaged.
        """
        return cls(config, truth, [run for run in read_runs(results, config.reference) if run.size in config.spaces])

    def of_size(self, size: int) -> list[MeasuredRun]:
        """Runs on the space of so many architectures."""
        return [run for run in self.runs if run.size == size]

    def archs(self, size: int) -> list[str]:
        """Architectures of the truth that the space of that size has."""
        return self.truth.archs(self.config.spaces[size])

    def tuned_half(self) -> set[str]:
        """The half of the tuned space on which regimes were chosen."""
        return tuned_half(self.archs(self.config.tuned.size), self.config.tuned.seed)


def header(text: str) -> Lines:
    """A table's first two lines."""
    return [text, "|" + " --- |" * (text.count("|") - 1)]


def ranking_table(evidence: Evidence, size: int) -> Lines:
    """Kendall's tau of every run on one space, beside FLOPs and other accuracies, and the best architecture found."""
    config, truth, archs = evidence.config, evidence.truth, evidence.archs(size)
    by = config.rank_by
    held_out = set(archs) - evidence.tuned_half() if size == config.tuned.size else set()
    lines = [
        f"## {size:,} architectures: {', '.join(config.spaces[size])}",
        "",
        *header(
            "| supernet | seed | minutes x threads | steps | images a core second of the budget | accuracy of probes "
            "| tau of effects, all | held-out half | less that of FLOPs | best one found | scored "
            "| tau of scores, of the scored | tau of their effects less that | tau of other effects | machine |"
        ),
    ]
    for run in evidence.of_size(size):
        facts = run.facts
        sums, values = run.effect_sums(by, archs), run.values(by)
        everything = truth.correlation(sums)
        half = truth.correlation(sums, held_out).score if held_out else "–"
        others = [
            f"{RANKING_SCORES[name]} {truth.tau(run.effect_sums(name, archs)):+.3f}"
            for name in run.known_scores
            if name != by
        ]
        rate = facts["steps"] * facts["images_per_step"] / (60 * run.core_minutes)
        lines.append(
            f"| {run.title} | {run.seed} | {run.budget} | {facts['steps']:,} "
            f"| {rate:.0f} | {facts['accuracy']:.1%} "
            f"| {everything.score} | {half} | {everything.difference} "
            f"| {everything.best_truth:.2f}% | {len(run.scores):,} | {truth.correlation(values).score} "
            f"| {truth.difference(sums, values)} | {', '.join(others)} | {facts['machine']} |"
        )
    for title, values in _beside(evidence, archs).items():
        best = truth.networks[max(values, key=lambda a: values[a])].accuracy
        by_effects, by_values = truth.tau(effect_sums(values, archs)), truth.tau(values)
        lines.append(
            f"| {title} | | | | | | {by_effects:+.3f} | | | {best:.2f}% | "
            f"| {by_values:+.3f} | {by_effects - by_values:+.3f} | | |"
        )
    accuracies = np.array([truth.networks[arch].accuracy for arch in archs])
    best_of_all = f"The best architecture of this space has {accuracies.max():.2f}%, the mean {accuracies.mean():.2f}%."
    return [*lines, "", best_of_all, ""]


def _beside(evidence: Evidence, archs: Sequence[str]) -> dict[str, dict[str, float]]:
    """What needs no supernet, by its words: FLOPs, other accuracies, the truth itself."""
    networks, columns = evidence.truth.networks, evidence.config.truth
    values = {"FLOPs alone": {arch: networks[arch].flops for arch in archs}}
    for label in columns.others:
        values[label] = {arch: networks[arch].others[label] for arch in archs}
    return {**values, columns.label: {arch: networks[arch].accuracy for arch in archs}}


def seeds_table(evidence: Evidence, size: int) -> Lines:
    """Means over the seeds of each method and budget that has several, and all of its supernets averaged, compared with
    the reference's; by each score."""
    config, truth, archs = evidence.config, evidence.truth, evidence.archs(size)
    reference = config.runs[config.reference].title
    lines = header(
        "| over seeds | ranked by | minutes x threads | seeds | tau of effects | tau of scores "
        f"| tau of all supernets' effects together | tau of {reference}'s together less that |"
    )
    groups: dict[tuple[str, str], list[MeasuredRun]] = {}
    for run in evidence.of_size(size):
        groups.setdefault((run.title, run.budget), []).append(run)
    groups = {key: runs for key, runs in groups.items() if len(runs) > 1}
    ours = {
        (budget, len(runs)): _average(runs, config.rank_by, archs)
        for (_, budget), runs in groups.items()
        if runs[0].method == config.reference and not runs[0].changes
    }
    for (title, budget), runs in groups.items():
        for name in runs[0].known_scores:
            effects = [truth.tau(run.effect_sums(name, archs)) for run in runs]
            scores = [truth.tau(run.values(name)) for run in runs]
            together = _average(runs, name, archs)
            beside = ours.get((budget, len(runs)))
            less = truth.difference(beside, together) if beside and beside != together else ""
            lines.append(
                f"| {title} | {RANKING_SCORES[name]} | {budget} | {len(runs)} | {_mean_and_range(effects)} "
                f"| {_mean_and_range(scores)} | {truth.correlation(together).score} | {less} |"
            )
    return _unless_empty(lines)


def _average(runs: Sequence[MeasuredRun], score: str, archs: Sequence[str]) -> dict[str, float]:
    """Mean of several supernets' sums of effects, each divided by its own standard deviation."""
    values = np.array([[sums[a] for a in archs] for sums in (run.effect_sums(score, archs) for run in runs)])
    spread = values.std(1, keepdims=True)  # supernets x 1
    return dict(zip(archs, (values / np.where(spread > 0, spread, 1)).mean(0), strict=True))


def _mean_and_range(values: Sequence[float]) -> str:
    return f"{np.mean(values):+.3f} ({min(values):+.3f} to {max(values):+.3f})"


def fits_table(evidence: Evidence, size: int) -> Lines:
    """How much a tau of effects depends on which architectures were scored: fits to random parts of a run's scores."""
    truth, archs, options = evidence.truth, evidence.archs(size), evidence.config.report
    lines = header(
        f"| tau of effects fitted to random {options.fitted} of a run's scores | minutes x threads | seed | mean "
        f"| 95% of {options.fits} fits |"
    )
    for run in evidence.of_size(size):
        if len(run.scores) < 2 * options.fitted:
            continue
        rng, taus = np.random.default_rng(0), []
        for _ in range(options.fits):
            some = set(rng.choice(sorted(run.scores), options.fitted, replace=False))
            taus.append(truth.tau(run.effect_sums(evidence.config.rank_by, archs, some)))
        low, high = np.quantile(taus, (0.025, 0.975))
        lines.append(
            f"| {run.title}, {len(run.scores):,} scored | {run.budget} | {run.seed} "
            f"| {np.mean(taus):+.3f} | {low:+.3f} to {high:+.3f} |"
        )
    return _unless_empty(lines)


def pairs_table(evidence: Evidence, size: int) -> Lines:
    """The reference compared with each other method, and with trials, at the same seed, budget and architectures.

    An ablation is compared with the reference in the ablation's own regime. A supernet learned with labels is ranked by
    each of its scores, any other by the one score alone.
    """
    config, truth, archs = evidence.config, evidence.truth, evidence.archs(size)
    known = {(run.method, run.changes, run.budget, run.seed): run for run in evidence.of_size(size)}
    lines = header(
        f"| tau of {config.runs[config.reference].title} less that of ({size:,} architectures) | which is ranked by "
        "| minutes x threads | seed | by effects | by scores |"
    )
    for (method, changes, budget, seed), other in known.items():
        ours = known.get((config.reference, changes if config.is_ablation(method) else (), budget, seed))
        if ours is None or ours is other:
            continue
        both = ours.scores.keys() & other.scores.keys()
        for name in other.known_scores if SUPERVISED in other.known_scores else [config.rank_by]:
            effects = truth.difference(
                ours.effect_sums(config.rank_by, archs, both), other.effect_sums(name, archs, both)
            )
            scores = truth.difference(ours.values(config.rank_by), other.values(name))
            lines.append(f"| {other.title} | {RANKING_SCORES[name]} | {budget} | {seed} | {effects} | {scores} |")
    return _unless_empty(lines)


def _unless_empty(lines: Lines) -> Lines:
    """A table and the blank line after it; nothing if it has no rows."""
    return [*lines, ""] if len(lines) > 2 else []
