"""Figures of benchmarks/nb201.py: all runs at a glance, and for each its scores beside what they are to rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from nb201_found import CRITERION, LOSSES, Found, Row, archs_of, plain_tau
from nb201_report import SKIPS_OF, skip_counts

LEFT = 0.5  # of the taus that are drawn; what is below stands there, the one that ranks as a number
COLORS = dict(zip(LOSSES, ("C0", "C1", "C2"), strict=True))
PRINTED = {"paper, Π-NAS": 0.70, "paper, SPOS": 0.57}


def draw(found: Sequence[Found], table: Mapping[str, Row], results: Path) -> None:
    """An overview beside the table; and, not kept in the repository, scores beside accuracies of each run."""
    overview(found, table, results.with_suffix(".svg"))
    for f in found:
        scatter(f, table, results / f"{f.name}.svg")


def overview(found: Sequence[Found], table: Mapping[str, Row], path: Path) -> None:
    """Taus of effects and similarity of paths on the 729, a mark a seed; and how many skip connections the best of the
    15,625 have. On the 729, regimes that were tried and not taken are left out."""
    archs = archs_of(table, 729)
    some = [f for f in found if f.facts["architectures"] == 729 and not f.changes]
    names = list(dict.fromkeys(_name(f) for f in some))
    rows = [names.index(_name(f)) for f in some]
    figure, panels = plt.subplots(1, 3, figsize=(13, 4.5), width_ratios=(4, 3, 3), layout="constrained")
    for row, f in zip(rows, some, strict=True):
        for by in f.known:
            value = plain_tau(f.sums(by, archs), table)
            color, mark = COLORS[by], "o" if value >= LEFT else "<"
            panels[0].plot(max(value, LEFT), row, mark, color=color, alpha=0.7)
            if value < LEFT and by == CRITERION:
                panels[0].text(LEFT, row, f"   {value:.2f}", va="center")
    for by, color in COLORS.items():
        panels[0].plot([], [], "o", color=color, label=LOSSES[by])
    marks = {"FLOPs alone": plain_tau({a: table[a].flops for a in archs}, table), **PRINTED}
    for style, (name, value) in zip((":", "--", "-."), marks.items(), strict=True):
        panels[0].axvline(value, color="grey", linestyle=style, label=f"{name}: {value:.2f}")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    panels[0].set_title("Kendall's tau of main effects,\n729 architectures", fontsize="medium")
    panels[1].plot([f.facts["similarity"] for f in some], rows, "o", color="black", alpha=0.7)
    panels[1].set_yticks(range(len(names)), [""] * len(names))
    panels[1].set_ylim(panels[0].get_ylim())
    panels[1].set_title("Similarity of paths\n(Figure 5's mean)", fontsize="medium")
    numbers = range(7)
    panels[2].plot(numbers, skip_counts(sorted(table, key=lambda a: -table[a].truth)), "k-", label="accuracy alone")
    for f in found:
        if f.facts["architectures"] == 15625:
            sums = f.sums(CRITERION, list(table))
            counts = skip_counts(sorted(sums, key=lambda a: -sums[a]))
            panels[2].plot(
                numbers, counts, "o--", label=f"{f.facts['title']}{'*' * bool(f.changes)}, seed {f.facts['seed']}"
            )
    panels[2].set_title(f"Skips in the {SKIPS_OF} best of 15,625\n(Figure 7; *: another regime)", fontsize="medium")
    figure.legend(*panels[0].get_legend_handles_labels(), fontsize="small", loc="outside lower left", ncols=6)
    panels[2].legend(fontsize="small")
    _save(figure, path)


def scatter(found: Found, table: Mapping[str, Row], path: Path) -> None:
    """Figures 3 and 8."""
    by = CRITERION
    figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
    values = found.values(by)
    axes.plot(list(values.values()), [table[a].truth for a in values], ".", markersize=4, alpha=0.6)
    axes.set(ylabel="accuracy alone, %", title=f"tau {plain_tau(values, table):+.3f}")
    axes.set_xlabel(f"score in the supernet, by {LOSSES[by]} ({found.title}, seed {found.facts['seed']})")
    _save(figure, path)


def _name(found: Found) -> str:
    return f"{found.title}, {found.budget} min"


def _save(figure: Any, path: Path) -> None:
    with matplotlib.rc_context({"svg.hashsalt": "pinas", "svg.fonttype": "none"}):  # the same each time, text as text
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
