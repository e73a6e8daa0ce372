"""Tables of what kept runs say about one space: every run, means over seeds, spread of fits, pairs of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search.evidence.plan import EvidenceConfig
from pinas_zoo.search.evidence.results import CLASSIFIER, RANKING_SCORES, MeasuredRun, effect_sums, read_runs
from pinas_zoo.search.evidence.training_free import FOLDER, TrainingFree, network_of, read_training_free
from pinas_zoo.search.evidence.truth import Truth, tuned_half
from pinas_zoo.search.scorers.log_ranks import log_rank_sums, shares

Lines = list[str]  # of Markdown
PAPERS_SCORE = "classifier_accuracy"  # sec. 3.3
LEAST = 30  # scores for a tau that says anything


@dataclass(frozen=True)
class Ranking:
    """What one table ranks: architectures of a space by supernets of the same space or of a larger one.

    Attributes:
        size: Number of architectures of the supernets' space.
        scored: Number of architectures of the space that is ranked.
    """

    size: int
    scored: int


@dataclass(frozen=True)
class Evidence:
    """Kept runs, what they are compared with, and the configuration that says how."""

    config: EvidenceConfig
    truth: Truth
    runs: Sequence[MeasuredRun]
    training_free: Sequence[TrainingFree] = ()
    left_out: Sequence[TrainingFree] = ()  # of networks of another size than the configuration's

    @classmethod
    def load(cls, config: EvidenceConfig, truth: Truth, results: Path) -> Evidence:
        """With the kept runs of a folder that are on one of the configuration's spaces.

        Raises:
            UserError: A file is damaged, or has architectures that the truth or the run's space lacks.
        """
        runs = [run for run in read_runs(results, config.reference) if {run.size, run.scored} <= set(config.spaces)]
        network = network_of(*config.networks(min(config.spaces)))
        of_kinds = [one for one in read_training_free(results) if one.kind in config.training_free]
        free = [one for one in of_kinds if one.network in ({}, network)]
        left_out = [one for one in of_kinds if one.network not in ({}, network)]
        for run in runs:
            chosen = [] if run.chosen is None else [run.chosen]
            _check_known(run.name, [*run.scores, *chosen], truth)
            _check_inside(run.name, run.scores, config.spaces[run.scored])
            _check_inside(run.name, chosen, config.spaces[run.size])
            if run.ranked_by(config.rank_by) not in run.known_scores:
                raise UserError(
                    f"expected scores by {config.rank_by}, by which the configuration ranks, of run {run.name} in "
                    f"{results}, got none; take its two files out, or measure it again"
                )
        for one in free:
            _check_known(f"{FOLDER}/{one.kind}_{one.size}", one.values, truth)
            if one.size in config.spaces:
                _check_inside(f"{FOLDER}/{one.kind}_{one.size}", one.values, config.spaces[one.size])
        return cls(config, truth, runs, free, left_out)

    def of_size(self, size: int) -> list[MeasuredRun]:
        """Runs that score the whole space of so many architectures."""
        return [run for run in self.runs if run.size == run.scored == size]

    def of(self, ranking: Ranking) -> list[MeasuredRun]:
        """Runs that rank these architectures; none if the truth has none of them.

        A supernet of a larger space that was scored only there has main effects for the smaller space, too.
        """
        if not self.archs(ranking.scored):
            return []
        if ranking.size == ranking.scored:
            return self.of_size(ranking.size)
        inside = [run for run in self.runs if (run.size, run.scored) == (ranking.size, ranking.scored)]
        known = {run.supernet for run in inside}
        whole = [run for run in self.of_size(ranking.size) if run.supernet not in known]
        return [run for run in self.runs if run in inside or run in whole]

    def shown_scores(self, run: MeasuredRun) -> list[str]:
        """Scores by which the tables of effects and pairs rank a run.

        They have all scores of ablations and of methods that are measured by default. Of others they have the score
        that ranks runs and the paper's; the tables of scores have the rest.
        """
        if run.method in self.config.measured or self.config.is_ablation(run.method):
            return run.known_scores
        wanted = (run.ranked_by(self.config.rank_by), PAPERS_SCORE)
        return [name for name in run.known_scores if name in wanted]

    def values(self, run: MeasuredRun, score: str, ranking: Ranking) -> dict[str, float]:
        """The scores of a run that are of these architectures; none if there are too few for a tau."""
        archs = set(self.archs(ranking.scored))
        values = {arch: value for arch, value in run.values(score).items() if arch in archs}
        return values if len(values) >= LEAST else {}

    def log_rank_sums(
        self, columns: Mapping[str, Mapping[str, float]], weights: Mapping[str, float]
    ) -> dict[str, float]:
        """Sums of log ranks, as shares of which higher is better, of the architectures that all columns have.

        Args:
            columns: Values by architecture, higher is better, of each part.
            weights: Weight of each part.
        """
        first, *rest = columns.values()
        archs = [arch for arch in first if arch in self.truth.networks and all(arch in column for column in rest)]
        if not archs:
            return {}
        ranks = {name: rankdata([-column[arch] for arch in archs]) for name, column in columns.items()}
        return dict(zip(archs, shares(log_rank_sums(ranks, weights), weights).tolist(), strict=True))

    def archs(self, size: int) -> list[str]:
        """Architectures of the truth that the space of that size has."""
        return self.truth.archs(self.config.spaces[size])

    def tuned_half(self) -> set[str]:
        """The half of the tuned space on which regimes were chosen."""
        return tuned_half(self.archs(self.config.tuned.size), self.config.tuned.seed)


def _check_known(name: str, scored: Iterable[str], truth: Truth) -> None:
    if unknown := [arch for arch in scored if arch not in truth.networks]:
        raise UserError(
            f"expected the accuracy of every architecture that {name} scores or chooses in the truth, got none of "
            f"{', '.join(unknown[:3])} ({len(unknown)} in all); give the whole table as --truth"
        )


def _check_inside(name: str, archs: Iterable[str], operations: Sequence[str]) -> None:
    digits = {str(OPERATIONS.index(operation)) for operation in operations}
    if outside := [arch for arch in archs if not set(arch) <= digits]:
        raise UserError(
            f"expected only architectures of {', '.join(operations)} in {name}, whose space has no others, got "
            f"{', '.join(outside[:3])} ({len(outside)} in all); take its two files out, or measure it again"
        )


def accuracy_of_probes(run: MeasuredRun) -> str:
    """Mean accuracy of a run's probes; a run that was not scored by them has none."""
    return "–" if run.facts.get("accuracy") is None else f"{run.facts['accuracy']:.1%}"


def header(text: str) -> Lines:
    """A table's first two lines."""
    return [text, "|" + " --- |" * (text.count("|") - 1)]


def protocol_table(evidence: Evidence, ranking: Ranking) -> Lines:
    """Kendall's tau by each score, of supernets of a larger space than the one that is ranked (sec. 4.3)."""
    config, truth = evidence.config, evidence.truth
    archs, runs = evidence.archs(ranking.scored), evidence.of(ranking)
    if not runs:
        return []
    lines = [
        f"## {ranking.scored:,} architectures ranked by supernets of {ranking.size:,}",
        "",
        f"Trained: {', '.join(config.spaces[ranking.size])}. Ranked: {', '.join(config.spaces[ranking.scored])}.",
        "",
        *header(
            "| supernet | seed | minutes x threads | steps | ranked by | scored | tau of scores, of the scored "
            f"| tau of effects, all {ranking.scored:,} | less that of FLOPs | best one found by effects | machine |"
        ),
    ]
    for run in runs:
        for name in evidence.shown_scores(run):
            values, sums = evidence.values(run, name, ranking), run.effect_sums(name, archs)
            effects = truth.correlation(sums)
            scored = f"{len(values):,}" if values else f"{len(run.scores):,} of all {ranking.size:,}"
            cells = [run.title, f"{run.seed}", run.budget, f"{run.facts['steps']:,}", RANKING_SCORES[name], scored]
            cells += [f"{truth.correlation(values).score}" if values else "–", f"{effects.score}"]
            cells += [f"{effects.difference}", f"{effects.best_truth:.2f}%", run.facts["machine"]]
            lines.append(f"| {' | '.join(cells)} |")
    flops = truth.tau({arch: truth.networks[arch].flops for arch in archs})
    return [*lines, f"| FLOPs alone | | | | | | {flops:+.3f} | | | | |", ""]


def ranking_table(evidence: Evidence, size: int) -> Lines:
    """Kendall's tau of every run on one space, beside FLOPs and other accuracies, and the best architecture found."""
    config, truth, archs = evidence.config, evidence.truth, evidence.archs(size)
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
        facts, by = run.facts, run.ranked_by(config.rank_by)
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
            f"| {rate:.0f} | {accuracy_of_probes(run)} "
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


def seeds_table(evidence: Evidence, ranking: Ranking) -> Lines:
    """Means over the seeds of each method and budget that has several, and all of its supernets averaged, compared with
    the reference's; by each score."""
    config, truth, archs = evidence.config, evidence.truth, evidence.archs(ranking.scored)
    reference = config.runs[config.reference].title
    lines = header(
        "| over seeds | ranked by | minutes x threads | seeds | tau of effects | tau of scores "
        f"| tau of all supernets' effects together | tau of {reference}'s together less that |"
    )
    groups: dict[tuple[str, str], list[MeasuredRun]] = {}
    for run in evidence.of(ranking):
        groups.setdefault((run.title, run.budget), []).append(run)
    groups = {key: runs for key, runs in groups.items() if len(runs) > 1}
    ours = {
        (budget, len(runs)): _average(runs, runs[0].ranked_by(config.rank_by), archs)
        for (_, budget), runs in groups.items()
        if runs[0].method == config.reference and not runs[0].changes
    }
    for (title, budget), runs in groups.items():
        for name in evidence.shown_scores(runs[0]):
            if any(name not in run.known_scores for run in runs):
                continue  # runs of earlier versions lack some scores
            effects = [truth.tau(run.effect_sums(name, archs)) for run in runs]
            scores = [truth.tau(values) for run in runs if (values := evidence.values(run, name, ranking))]
            together = _average(runs, name, archs)
            beside = ours.get((budget, len(runs)))
            less = truth.difference(beside, together) if beside and beside != together else ""
            lines.append(
                f"| {title} | {RANKING_SCORES[name]} | {budget} | {len(runs)} | {_mean_and_range(effects)} "
                f"| {_mean_and_range(scores) if scores else '–'} | {truth.correlation(together).score} | {less} |"
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
            taus.append(truth.tau(run.effect_sums(run.ranked_by(evidence.config.rank_by), archs, some)))
        low, high = np.quantile(taus, (0.025, 0.975))
        lines.append(
            f"| {run.title}, {len(run.scores):,} scored | {run.budget} | {run.seed} "
            f"| {np.mean(taus):+.3f} | {low:+.3f} to {high:+.3f} |"
        )
    return _unless_empty(lines)


def pairs_table(evidence: Evidence, ranking: Ranking) -> Lines:
    """The reference compared with each other method, and with trials, at the same seed, budget and architectures.

    An ablation is compared with the reference in the ablation's own regime. Both are ranked by the score of the
    configuration. If the other has a classifier and all its scores are shown, both are also ranked by each score that
    both have, and the reference by the score of the configuration is compared with each score of the other.
    """
    config, truth, archs = evidence.config, evidence.truth, evidence.archs(ranking.scored)
    known = {(run.method, run.changes, run.budget, run.seed): run for run in evidence.of(ranking)}
    lines = header(
        f"| tau of {config.runs[config.reference].title} less that of ({ranking.scored:,} architectures) | ranked by "
        "| which is ranked by | minutes x threads | seed | by effects | by scores |"
    )
    for (method, changes, budget, seed), other in known.items():
        ours = known.get((config.reference, changes if config.is_ablation(method) else (), budget, seed))
        if ours is None or ours is other:
            continue
        both = ours.scores.keys() & other.scores.keys()
        if len(both) < LEAST:  # one was scored on the smaller space, the other on the whole
            continue
        own = ours.ranked_by(config.rank_by)
        pairs = [(own, other.ranked_by(config.rank_by))]
        if CLASSIFIER in evidence.shown_scores(other):
            rest = [name for name in other.known_scores if name != config.rank_by]
            pairs += [(name, name) for name in rest if name in ours.known_scores]
            pairs += [(own, name) for name in rest]
        for by, name in pairs:
            effects = truth.difference(ours.effect_sums(by, archs, both), other.effect_sums(name, archs, both))
            mine, theirs = evidence.values(ours, by, ranking), evidence.values(other, name, ranking)
            scores = truth.difference(mine, theirs) if mine and theirs else "–"
            words = f"{RANKING_SCORES[by]} | {RANKING_SCORES[name]}"
            lines.append(f"| {other.title} | {words} | {budget} | {seed} | {effects} | {scores} |")
    return _unless_empty(lines)


def _unless_empty(lines: Lines) -> Lines:
    """A table and the blank line after it; nothing if it has no rows."""
    return [*lines, ""] if len(lines) > 2 else []
