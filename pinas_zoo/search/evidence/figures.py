"""Figures of an evidence: all runs in one overview, and the scores of each run over the accuracies they rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinas_zoo.search.evidence.regime_tables import (
    ranked_by_run,
    ranked_by_truth,
    runs_on_whole_space,
    skip_counts,
)
from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun
from pinas_zoo.search.evidence.tables import Evidence
from pinas_zoo.weights.atomic import replacing

LOWEST = 0.5  # tau at the left edge; a lower one is drawn there as a triangle, with its value if it ranks the run
COLORS = dict(zip(RANKING_SCORES, ("C0", "C1", "C2"), strict=True))
LINES = (":", "--", "-.", (0, (1, 4)), (0, (5, 5)), (0, (3, 5, 1, 5)))  # styles of the taus that are drawn as lines


def draw_overview(evidence: Evidence, path: Path) -> None:
    """Three panels: taus of effects and similarity of paths on the tuned space, one mark a seed; and how many skip
    connections the best of all architectures have. The first two leave out regimes that were tried and not taken."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.5), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(4, 3, 3))
    runs = [run for run in evidence.of_size(evidence.config.tuned.size) if not run.changes]
    names = list(dict.fromkeys(_label(run) for run in runs))
    rows = [names.index(_label(run)) for run in runs]
    _draw_taus(panels[0], evidence, runs, rows)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    panels[1].plot([run.facts["similarity"] for run in runs], rows, "o", color="black", alpha=0.7)
    panels[1].set_yticks(range(len(names)), [""] * len(names))
    panels[1].set_ylim(panels[0].get_ylim())
    panels[1].set_title("Similarity of paths\n(Figure 5's mean)", fontsize="medium")
    _draw_skips(panels[2], evidence)
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize="small", loc="outside lower left", ncols=6)
    panels[2].legend(fontsize="small")
    _save(figure, path)


def _draw_taus(axes: Any, evidence: Evidence, runs: list[MeasuredRun], rows: list[int]) -> None:
    truth, size = evidence.truth, evidence.config.tuned.size
    archs = evidence.archs(size)
    for row, run in zip(rows, runs, strict=True):
        for name in run.known_scores:
            value = truth.tau(run.effect_sums(name, archs))
            axes.plot(max(value, LOWEST), row, "o" if value >= LOWEST else "<", color=COLORS[name], alpha=0.7)
            if value < LOWEST and name == evidence.config.rank_by:
                axes.text(LOWEST, row, f"   {value:.2f}", va="center")
    for name, color in COLORS.items():
        axes.plot([], [], "o", color=color, label=RANKING_SCORES[name])
    flops = truth.tau({arch: truth.networks[arch].flops for arch in archs})
    marks = {"FLOPs alone": flops, **evidence.config.report.printed}
    for k, (name, value) in enumerate(marks.items()):
        axes.axvline(value, color="grey", linestyle=LINES[k % len(LINES)], label=f"{name}: {value:.2f}")
    axes.set_title(f"Kendall's tau of main effects,\n{size} architectures", fontsize="medium")


def _draw_skips(axes: Any, evidence: Evidence) -> None:
    best, runs = evidence.config.report.best, runs_on_whole_space(evidence)
    counts = skip_counts(ranked_by_truth(evidence), best)
    axes.plot(range(len(counts)), counts, "k-", label="accuracy alone")
    for run in runs:
        counts = skip_counts(ranked_by_run(evidence, run), best)
        label = f"{run.facts['title']}{'*' * bool(run.changes)}, seed {run.seed}"
        axes.plot(range(len(counts)), counts, "o--", label=label)
    total = f"{len(evidence.truth.networks):,}"
    axes.set_title(f"Skips in the {best} best of {total}\n(Figure 7; *: another regime)", fontsize="medium")


def draw_scatter(evidence: Evidence, run: MeasuredRun, path: Path) -> None:
    """Accuracy after training over the score in the supernet (Figures 3 and 8)."""
    from matplotlib.figure import Figure

    by, truth = evidence.config.rank_by, evidence.truth
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    values = run.values(by)
    accuracies = [truth.networks[arch].accuracy for arch in values]
    axes.plot(list(values.values()), accuracies, ".", markersize=4, alpha=0.6)
    axes.set(ylabel="accuracy alone, %", title=f"tau {truth.tau(values):+.3f}")
    axes.set_xlabel(f"score in the supernet, by {RANKING_SCORES[by]} ({run.title}, seed {run.seed})")
    _save(figure, path)


def _label(run: MeasuredRun) -> str:
    return f"{run.title}, {run.budget} min"


def _save(figure: Any, path: Path) -> None:
    """The same bytes each time, text as text."""
    import matplotlib

    with replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "pinas", "svg.fonttype": "none"}):
        figure.savefig(temporary, format="svg", metadata={"Date": None})
