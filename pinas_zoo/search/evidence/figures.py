"""Figures of an evidence: all runs in one overview, and the scores of each run over the accuracies they rank."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import Any

from pinas_zoo.analysis.paper_tables import TAUS
from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search.evidence.regime_tables import (
    changes_of,
    ranked_by_run,
    ranked_by_truth,
    runs_on_whole_space,
    skip_counts,
)
from pinas_zoo.search.evidence.results import RANKING_SCORES, MeasuredRun
from pinas_zoo.search.evidence.scores_table import ranked_by_sum, sum_in_words, ways_to_rank
from pinas_zoo.search.evidence.tables import Evidence, Ranking
from pinas_zoo.weights.atomic import replacing

PAPERS_TRUTH = "cifar10_test_acc"  # the column of the accuracies that Figures 3 and 6 rank
SHORTEST = 1e-3  # minutes at the left edge of the figure of times
LOWEST = 0.5  # tau at the left edge; a lower one is drawn there as a triangle, with its value if it ranks the run
COLORS = dict(zip(RANKING_SCORES, ("C0", "C4", "C1", "C2", "C3", "C5"), strict=True))
LINES = (":", "--", "-.", (0, (1, 4)), (0, (5, 5)), (0, (3, 5, 1, 5)))  # styles of the taus that are drawn as lines


def printed_taus(evidence: Evidence, ranking: Ranking) -> dict[str, float]:
    """Taus of the paper for the same protocol, by words: a supernet of all operations, and the same architectures."""
    spaces = evidence.config.spaces
    if set(spaces[ranking.size]) != set(OPERATIONS) or evidence.config.truth.column != PAPERS_TRUTH:
        return {}
    left_out = set(OPERATIONS) - set(spaces[ranking.scored])
    titles = {name: plan.title for name, plan in evidence.config.runs.items()}
    return {
        f"paper, {titles.get(one.method, one.method)}": float(one.tau) for one in TAUS if set(one.left_out) == left_out
    }


def draw_overview(evidence: Evidence, path: Path) -> None:
    """Five panels, which leave out regimes that were tried and not taken.

    Above: taus by the protocol of the headline and of supernets of the tuned space, and the similarity of the latter's
    paths, one mark a seed. Below: how many skip connections the best of all architectures have, and Figure 7.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 8.5), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(5, 4))
    upper, lower = halves
    panels = upper.subplots(1, 3, width_ratios=(4, 4, 2.5))
    protocol, size = evidence.config.protocols[0], evidence.config.tuned.size
    first, second = Ranking(protocol.supernet, protocol.scored), Ranking(size, size)
    _draw_taus(panels[0], evidence, first, f"supernets of {first.size:,}")
    rows = _draw_taus(panels[1], evidence, second, f"supernets of {size:,}")
    for run, row in rows:
        panels[2].plot(run.facts.get("similarity", math.nan), row, "o", color="black", alpha=0.7)
    panels[2].set_yticks(panels[1].get_yticks(), [""] * len(panels[1].get_yticks()))
    panels[2].set_ylim(panels[1].get_ylim())
    panels[2].set_title("Similarity of paths\n(Figure 5's mean)", fontsize="medium")
    handles = {
        text: handle for panel in panels[:2] for handle, text in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    upper.legend(handles.values(), handles.keys(), fontsize="small", loc="outside lower left", ncols=6)
    skips, changes = lower.subplots(1, 2, width_ratios=(4, 7))
    _draw_skips(skips, evidence)
    skips.legend(fontsize="small")
    _draw_changes(changes, evidence)
    _save(figure, path)


def _draw_taus(axes: Any, evidence: Evidence, ranking: Ranking, supernets: str) -> list[tuple[MeasuredRun, int]]:
    """Taus by every score, beside FLOPs and what the paper prints for the same protocol.

    Filled marks are of main effects, open ones of the scores themselves.

    Returns:
        The runs that are shown, and their rows.
    """
    truth, archs = evidence.truth, evidence.archs(ranking.scored)
    runs = [run for run in evidence.of(ranking) if not run.changes]
    names = list(dict.fromkeys(_label(run) for run in runs))
    rows = [(run, names.index(_label(run))) for run in runs]
    for run, row in rows:
        for name in run.known_scores:
            value = truth.tau(run.effect_sums(name, archs))
            axes.plot(max(value, LOWEST), row, "o" if value >= LOWEST else "<", color=COLORS[name], alpha=0.7)
            if value < LOWEST and name == run.ranked_by(evidence.config.rank_by):
                axes.text(LOWEST, row, f"   {value:.2f}", va="center")
            single = evidence.values(run, name, ranking)
            if single and (value := truth.tau(single)) >= LOWEST:
                axes.plot(value, row, "o", color=COLORS[name], fillstyle="none", alpha=0.7)
    for name, color in COLORS.items():
        axes.plot([], [], "o", color=color, label=RANKING_SCORES[name])
    flops = truth.tau({arch: truth.networks[arch].flops for arch in archs})
    marks = {"FLOPs alone": flops, **printed_taus(evidence, ranking)}
    for k, (name, value) in enumerate(marks.items()):
        axes.axvline(value, color="grey", linestyle=LINES[k % len(LINES)], label=f"{name}: {value:.2f}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    title = f"Kendall's tau, {ranking.scored:,} architectures, {supernets}\n(filled: main effects; open: single scores)"
    axes.set_title(title, fontsize="medium")
    return rows


def _draw_skips(axes: Any, evidence: Evidence) -> None:
    best, runs = evidence.config.report.best, runs_on_whole_space(evidence)
    counts = skip_counts(ranked_by_truth(evidence), best)
    axes.plot(range(len(counts)), counts, "k-", label="accuracy alone")
    for run in runs:
        counts = skip_counts(ranked_by_run(evidence, run), best)
        axes.plot(range(len(counts)), counts, "o--", label=_seed_label(run))
    total = f"{len(evidence.truth.networks):,}"
    axes.set_title(f"Skip connections in the {best} best of {total}\n(*: another regime)", fontsize="medium")


def _draw_changes(axes: Any, evidence: Evidence) -> None:
    """Figure 7: a box for each run and replaced operation."""
    runs = [run for run in runs_on_whole_space(evidence) if run.estimates]
    width = 0.8 / max(1, len(runs))
    for k, run in enumerate(runs):
        changes = changes_of(evidence, run)
        places = [place - 0.4 + (k + 0.5) * width for place in range(len(changes))]
        boxes = axes.boxplot(
            list(changes.values()), positions=places, widths=0.8 * width, patch_artist=True, showfliers=False,
            manage_ticks=False, medianprops={"color": "black"},
        )  # fmt: skip
        for box in boxes["boxes"]:
            box.set_facecolor(f"C{k}")
        axes.set_xticks(range(len(changes)), changes)
        axes.plot([], [], "s", color=f"C{k}", label=_seed_label(run))
    axes.set_ylabel("change of the actual accuracy, %")
    axes.set_title(
        "One operation replaced by a skip connection, where the estimated accuracy\n"
        f"changes by less than {evidence.config.report.unchanged:g} (Figure 7; boxes: quartiles)",
        fontsize="medium",
    )
    if runs:
        axes.legend(fontsize="small")


def draw_times(evidence: Evidence, path: Path) -> None:
    """Tau on the largest space over the minutes of one core that it took: every method, sum and training-free score.

    Filled marks rank by the configuration's score, open ones by its recommended sum. A seed is a mark; trials are left
    out, and training-free scores whose tau is below 0. Minutes are those of the learning budget, a linear stage, a
    teacher and scoring, of all threads together. Scoring is that of as many architectures for all.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes: Any = figure.subplots()
    config, truth = evidence.config, evidence.truth
    scored = config.report.fitted
    size = max(config.spaces)
    whole = Ranking(size, size)
    runs = [run for run in evidence.of_size(size) if not run.changes]
    titles = dict.fromkeys(run.title for run in runs)
    marks = {title: dict(color=f"C{k % 10}", marker="osD"[k // 10 % 3]) for k, title in enumerate(titles)}
    for run in runs:
        threads, scoring = run.facts["threads"], run.facts.get("scoring_seconds", 0.0)
        learning = run.core_minutes + threads * run.extra_seconds / 60
        values = evidence.values(run, run.ranked_by(config.rank_by), whole)
        if values:
            minutes = learning + threads * scoring / 60 * scored / len(values)
            axes.plot(minutes, truth.tau(values), **marks[run.title])
        sum_ = ranked_by_sum(evidence, whole, run, config.recommended) if config.recommended else None
        if sum_ is not None:
            minutes = learning + threads * (sum_.seconds or scoring) / 60 * scored / len(sum_.values)
            tau = truth.tau(sum_.values)
            axes.plot(minutes, tau, fillstyle="none", **marks[run.title])
    for title, mark in marks.items():
        axes.plot([], [], linestyle="none", label=title, **mark)
    names: dict[tuple[float, float], list[str]] = {}  # scores that count the same lie on one point
    for way in ways_to_rank(evidence, whole, None):
        value = truth.tau(way.values)
        if way.seconds is not None and value > 0:
            minutes = way.seconds / 60 * scored / len(way.values)
            names.setdefault((max(minutes, SHORTEST), round(value, 3)), []).append(way.words)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for place, words in sorted(names.items()):
        label, is_sum = ", ".join(words), " + " in words[0]
        letter = next(letters, "") if is_sum else ""
        axes.plot(*place, "k+" if is_sum else "kx", **({"label": f"{letter}: {label}"} if is_sum else {}))
        away: dict[str, Any] = dict(xytext=(5, -3), textcoords="offset points", fontsize="x-small")
        axes.annotate(letter or label, place, **away)
    axes.set_xscale("log")
    axes.set_xlim(SHORTEST / 2, 200)
    axes.set(
        xlabel=f"minutes of one core, learning and scoring {scored} architectures",
        ylabel=f"Kendall's tau, {size:,} architectures",
    )
    summed = sum_in_words(config.recommended)
    opened = f" Open: {summed}." if summed else ""
    title = f"Filled: {RANKING_SCORES[config.rank_by]}.{opened} Crosses: scores without training"
    figure.suptitle("\n".join(textwrap.wrap(title, 100)), fontsize="medium")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", fontsize="small", ncols=3)
    _save(figure, path)


def draw_scatter(evidence: Evidence, run: MeasuredRun, path: Path) -> None:
    """Accuracy after training over the score in the supernet (Figures 3 and 8)."""
    from matplotlib.figure import Figure

    by, truth = run.ranked_by(evidence.config.rank_by), evidence.truth
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    values = run.values(by)
    accuracies = [truth.networks[arch].accuracy for arch in values]
    axes.plot(list(values.values()), accuracies, ".", markersize=4, alpha=0.6)
    axes.set(ylabel="accuracy alone, %", title=f"tau {truth.tau(values):+.3f}")
    axes.set_xlabel(f"score in the supernet, by {RANKING_SCORES[by]} ({run.title}, seed {run.seed})")
    _save(figure, path)


def _label(run: MeasuredRun) -> str:
    return f"{run.title}, {run.budget}{'' if 'budget_steps' in run.facts else ' min'}"


def _seed_label(run: MeasuredRun) -> str:
    return f"{run.facts['title']}{'*' * bool(run.changes)}, seed {run.seed}"


def _save(figure: Any, path: Path) -> None:
    """The same bytes each time, text as text."""
    import matplotlib

    with replacing(path) as temporary, matplotlib.rc_context({"svg.hashsalt": "pinas", "svg.fonttype": "none"}):
        figure.savefig(temporary, format="svg", metadata={"Date": None})
