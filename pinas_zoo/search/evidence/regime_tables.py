"""Tables across spaces: ablations (Table 7, Figure 5), skip connections (Figure 7), regimes that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pinas_zoo.models.nasbench201 import EDGES, OPERATIONS
from pinas_zoo.search.evidence.replacements import SKIP, actual_changes
from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun
from pinas_zoo.search.evidence.tables import Evidence, Lines, accuracy_of_probes, header


def ablations_table(evidence: Evidence) -> Lines:
    """The reference beside its ablations, on the tuned space: tau, similarity of paths, drift of the teacher."""
    config, truth, size = evidence.config, evidence.truth, evidence.config.tuned.size

    def setting(run: MeasuredRun) -> tuple[Any, ...]:
        return run.changes, run.budget, run.seed

    runs = evidence.of_size(size)
    ablated = {setting(run) for run in runs if config.is_ablation(run.method)}
    if not ablated:
        return []
    lines = [
        f"## Ablations (Table 7, Figure 5), {size:,} architectures",
        "",
        *header(
            "| supernet | seed | minutes x threads | steps | tau of effects | similarity of paths | teacher's drift "
            "| spread of outputs |"
        ),
    ]
    archs = evidence.archs(size)
    for run in runs:
        if (run.method == config.reference or config.is_ablation(run.method)) and setting(run) in ablated:
            measured = [
                "–" if run.facts.get(k) is None else f"{run.facts[k]:.3f}" for k in ("similarity", "drift", "spread")
            ]
            value = truth.correlation(run.effect_sums(run.ranked_by(config.rank_by), archs)).score
            cells = [run.title, f"{run.seed}", run.budget, f"{run.facts['steps']:,}", f"{value}", *measured]
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def skip_counts(ranked: Sequence[str], best: int) -> list[int]:
    """How many of the ``best`` first architectures have 0, 1, … 6 skip connections."""
    values = [arch.count(SKIP) for arch in ranked[:best]]
    return [values.count(k) for k in range(len(EDGES) + 1)]


def ranked_by_truth(evidence: Evidence) -> list[str]:
    """All architectures of the truth, the most accurate first."""
    networks = evidence.truth.networks
    return sorted(networks, key=lambda a: -networks[a].accuracy)


def ranked_by_run(evidence: Evidence, run: MeasuredRun) -> list[str]:
    """All architectures of the truth, those with the highest sums of effects first."""
    sums = run.effect_sums(run.ranked_by(evidence.config.rank_by), list(evidence.truth.networks))
    return sorted(sums, key=lambda a: -sums[a])


def runs_on_whole_space(evidence: Evidence) -> list[MeasuredRun]:
    """Runs that score the space of all operations."""
    return [run for run in evidence.runs if len(evidence.config.spaces[run.scored]) == len(OPERATIONS)]


def skips_table(evidence: Evidence) -> Lines:
    """How many edges of the best architectures are skip connections, by accuracy and by score."""
    runs, best = runs_on_whole_space(evidence), evidence.config.report.best
    if not runs:
        return []

    def row(title: str, seed: str, ranked: Sequence[str]) -> str:
        counts = skip_counts(ranked, best)
        mean = sum(k * count for k, count in enumerate(counts)) / sum(counts)
        return f"| {title} | {seed} | {mean:.2f} | {' / '.join(map(str, counts))} |"

    lines = [
        f"## Skip connections among the {best} best of {runs[0].size:,}, supernets' by effects",
        "",
        *header("| ranked by | seed | mean number | architectures with 0 / 1 / … / 6 |"),
        row("accuracy alone", "", ranked_by_truth(evidence)),
    ]
    return [*lines, *(row(run.title, f"{run.seed}", ranked_by_run(evidence, run)) for run in runs), ""]


def changes_of(evidence: Evidence, run: MeasuredRun) -> dict[str, list[float]]:
    """Figure 7 of one run: changes of the actual accuracy in percent, by the replaced operation."""
    actual = {arch: network.accuracy for arch, network in evidence.truth.networks.items()}
    known = {arch: value for arch, value in run.estimates.items() if arch in actual}
    return actual_changes(known, actual, run.scores, evidence.config.report.unchanged)


def replacements_table(evidence: Evidence) -> Lines:
    """Figure 7: how the actual accuracy changes where a skip connection leaves the estimated one unchanged."""
    runs = [run for run in runs_on_whole_space(evidence) if run.estimates]
    if not runs:
        return []
    lines = [
        "## Replacing one operation by a skip connection (Figure 7)",
        "",
        f"Replacements in the scored architectures that change the accuracy by the shared classifier by less than "
        f"{evidence.config.report.unchanged:g} (a fraction), and by how much they change the accuracy of the network "
        "trained from scratch (percent, absolute).",
        "",
        *header("| supernet | seed | replaced | replacements | median change | quartiles | above 1% |"),
    ]
    for run in runs:
        for operation, changes in changes_of(evidence, run).items():
            cells = [run.title, f"{run.seed}", operation, f"{len(changes):,}"]
            if changes:
                low, middle, high = np.quantile(changes, (0.25, 0.5, 0.75))
                above = np.mean([change > 1 for change in changes])
                cells += [f"{middle:.2f}", f"{low:.2f} to {high:.2f}", f"{above:.0%}"]
            else:
                cells += ["–"] * 3
            lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def tried_runs(evidence: Evidence) -> list[MeasuredRun]:
    """Runs on the tuned space that are no ablations, at budgets at which several regimes of the method were tried."""
    config = evidence.config
    runs = [run for run in evidence.of_size(config.tuned.size) if not config.is_ablation(run.method)]
    budgets = {(run.method, run.budget) for run in runs if run.changes}
    return [run for run in runs if (run.method, run.budget) in budgets]


def trials_table(evidence: Evidence) -> Lines:
    """Regimes that were tried, by the half of the architectures on which they are chosen."""
    runs = tried_runs(evidence)
    if not runs:
        return []
    half = sorted(evidence.tuned_half())
    lines = [
        f"## Trials, {evidence.config.tuned.size:,} architectures, by the tuned half",
        "",
        *header(
            "| supernet | changed by `--set` | seed | minutes x threads | steps | accuracy of probes | tau of effects |"
        ),
    ]
    for run in runs:
        taus = [
            f"{RANKING_SCORES[name]} {evidence.truth.tau(run.effect_sums(name, half)):+.3f}"
            for name in run.known_scores
        ]
        changes = " ".join(f"`{text}`" for text in run.changes) or "nothing"
        lines.append(
            f"| {run.facts['title']} | {changes} | {run.seed} | {run.budget} | {run.facts['steps']:,} "
            f"| {accuracy_of_probes(run)} | {', '.join(taus)} |"
        )
    return [*lines, ""]
