"""Scatter plots of a study: accuracy after training over each score (Figures 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any

from pinas_zoo.search.report.figures import BLUE, GREY
from pinas_zoo.search.trained_study.architectures import RANDOM
from pinas_zoo.search.trained_study.correlations import (
    ACCURACY,
    FLOPS,
    MEAN,
    Predictor,
    StudyResults,
    StudyRow,
    TrainedArch,
)
from pinas_zoo.search.trained_study.jobs import Study

PANEL = (2.5, 2.3)  # inches of one plot
COLUMNS = 4  # plots side by side
TITLE = 34  # letters of a line above a plot


def scatters(study: Study, results: StudyResults) -> tuple[Callable[[Any], None], tuple[float, float]]:
    """A function that draws a panel for each predictor of the test accuracy, and the size of the figure in inches."""
    several = len(study.config.supernet_seeds) > 1
    shown = [
        row
        for row in results.rows
        if row.outcome == ACCURACY and (row.predictor.seed == MEAN or not several or not row.predictor.kind)
    ]
    columns = min(COLUMNS, max(1, len(shown)))
    lines = max(1, -(-len(shown) // columns))
    known = {one.arch: one for one in results.architectures}

    def draw(axes: Any) -> None:
        figure = axes.figure
        axes.remove()
        panel = None
        for place, row in enumerate(shown):
            panel = figure.add_subplot(lines, columns, place + 1, sharey=panel)
            _draw_panel(panel, study, row, [known[arch] for arch in row.predictor.values if arch in known])
            if place % columns:
                panel.tick_params(labelleft=False)
            else:
                panel.set_ylabel("accuracy alone, %", fontsize=8)

    return draw, (PANEL[0] * columns, PANEL[1] * lines)


def _draw_panel(axes: Any, study: Study, row: StudyRow, archs: Sequence[TrainedArch]) -> None:
    trained = [one for one in archs if len(one.accuracies) == len(study.config.seeds)]
    for colour, group in (
        (GREY, [one for one in trained if one.origin == RANDOM]),
        (BLUE, [one for one in trained if one.origin != RANDOM]),
    ):
        axes.errorbar(
            [row.predictor.values[one.arch] for one in group],
            [100 * one.accuracy for one in group],
            [100 * (one.deviation or 0.0) for one in group],
            fmt="o", markersize=3, linewidth=0.8, color=colour,
        )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.locator_params(axis="x", nbins=4)
    name = _words(study, row.predictor)
    tau = "" if row.ranking is None else f"\ntau {row.ranking.score.value:+.2f}, n = {row.count}"
    axes.set_title(f"{fill(name, TITLE)}{tau}", fontsize=8)
    axes.tick_params(labelsize=7)


def _words(study: Study, predictor: Predictor) -> str:
    if predictor.kind:
        return f"{study.titles[predictor.method]}, {predictor.kind}"
    return f"{predictor.method}, {'G' if predictor.method == FLOPS else 'M'}"
