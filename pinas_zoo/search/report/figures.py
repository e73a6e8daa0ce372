"""The figures of a report, drawn by matplotlib as SVG.

A function that returns ``Callable[[Any], None]`` returns what draws one figure on matplotlib axes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from pinas_zoo.analysis.cost import flops_unit
from pinas_zoo.search.config import Explore
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.weights.atomic import write_text

Draw = Callable[[Any], None]

INK = "#1b1f24"  # text and axes; in the page, the colour of the text around the figure
BLUE, ORANGE, GREY = "#3d85c6", "#d9730d", "#8b929a"  # readable on white and on black
SIZE = (4.6, 2.9)  # inches
FAR = 2.0  # the largest cost over the smallest, above which an axis of costs is logarithmic
FEW = 20  # logged steps up to which a curve has a marker at each; a line through one of them cannot be seen
MANY = 2000  # points above which an image within the SVG is smaller than the points themselves
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
}


def save_figure(path: Path, draw: Draw, caption: str) -> None:
    """Write a figure to an SVG file of its own, atomically."""
    write_text(path, figure_svg(draw, caption))


def figure_svg(draw: Draw, caption: str, inches: tuple[float, float] = SIZE) -> str:
    """An SVG document on white. It needs no display and leaves matplotlib's global state as it is."""
    return _document(draw, caption, inches, transparent=False)


def inline_svg(draw: Draw, caption: str, inches: tuple[float, float] = SIZE) -> Markup:
    """An ``<svg>`` element for a page: transparent, in the colour of the text around it, without repeated ids."""
    svg = _document(draw, caption, inches, transparent=True)
    svg = re.sub(r'<g id="[\w.]+"', "<g", svg[svg.index("<svg") :])  # "figure_1", "axes_1": the same in each figure
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # the title stands in an element of its own
    return Markup(svg.replace(INK, "currentColor").replace("<svg ", '<svg role="img" ', 1))


def _document(draw: Draw, caption: str, inches: tuple[float, float], transparent: bool) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": caption}):  # ids that other elements refer to follow from it
        figure = Figure(figsize=inches, layout="constrained", dpi=144)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        for line in axes.lines:
            if line.get_linestyle() == "None" and np.size(line.get_xdata()) > MANY:
                line.set_rasterized(True)
        buffer = io.StringIO()
        metadata = {"Title": caption, **dict.fromkeys(("Date", "Creator", "Format", "Type"))}
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=transparent)
    return buffer.getvalue()


def curve(
    steps: Sequence[float],
    columns: Mapping[str, Sequence[float]],
    label: str,
    percent: bool = False,
    chance: Sequence[float] | None = None,
) -> Draw:
    """Columns of a stage's curve over its steps.

    Args:
        steps: Steps of the rows.
        columns: Values by name; the names are shown if there are several.
        label: Label of the y axis.
        percent: Whether values in 0..1 are shown as percentages.
        chance: Chance-level value at each step.
    """

    def draw(axes: Any) -> None:
        for (name, values), colour in zip(columns.items(), cycle((BLUE, ORANGE, GREY)), strict=False):
            marker = "." if np.isfinite(values).sum() <= FEW else None
            label_of = name if len(columns) > 1 or chance else None
            axes.plot(steps, values, color=colour, linewidth=1.2, marker=marker, label=label_of)
        if chance is not None:
            marker = "." if len(steps) <= FEW else None
            guess = dict(color=GREY, linewidth=1.2, marker=marker, label="guessing: 2 ln(1 + negatives)")
            axes.plot(steps, chance, "--", **guess)
        if percent:
            axes.yaxis.set_major_formatter(lambda value, position: f"{round(100 * value, 6):g}%")
        if len(columns) > 1 or chance is not None:
            legend(axes)
        grid(axes)
        axes.set(xlabel="step", ylabel=label)

    return draw


def histogram(scores: Sequence[Score], name: str, percent: bool = True) -> Draw:
    """Histogram of the candidates' scores, which are shown in percent if they are shares."""

    def draw(axes: Any) -> None:
        bins = min(20, max(5, len(scores) // 5))
        axes.hist([(100 if percent else 1) * score.accuracy for score in scores], bins=bins, color=BLUE)
        axes.locator_params(axis="x", nbins=6)
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set(xlabel=f"{name}, %" if percent else name, ylabel="architectures")

    return draw


def random_draws(options: Explore) -> int:
    """Number of first candidates that the sampler draws uniformly."""
    tree = options.action_space.settings(options.random_first)
    first = {"nsga2": options.population, "random": options.evaluations, "action_space": tree.random_first}
    first |= {"arch2vec": options.arch2vec.random_first, "traversal": 0}  # the last draws none
    return first.get(options.sampler, options.random_first)


def best_so_far(scores: Sequence[Score], first: int, name: str, percent: bool = True) -> Draw:
    """Scores in the order of evaluation, the best of them so far, and what random search is expected to reach.

    Args:
        scores: At least one score.
        first: Number of first scores whose candidates were drawn at random; the expectation is computed from them. 0:
            none is drawn.
        name: Name of the score.
        percent: Whether scores are shares, which are shown in percent.
    """
    values = np.array([(100 if percent else 1) * score.accuracy for score in scores])
    random_search = expected_best(values[:first], len(values)) if first else None

    def draw(axes: Any) -> None:
        evaluations = np.arange(1, len(values) + 1)
        axes.plot(evaluations, values, ".", color=GREY, markersize=3)
        axes.plot(evaluations, np.maximum.accumulate(values), color=BLUE, linewidth=1.5, label="this search")
        if random_search is not None:
            label = f"random search, expected from the first {min(first, len(values))}"
            axes.plot(evaluations, random_search, "--", color=ORANGE, linewidth=1.2, label=label)
        legend(axes)
        grid(axes)
        axes.set(xlabel="evaluation", ylabel=f"{name}, %" if percent else name)

    return draw


def expected_best(sample: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Expected best of 1, 2, … ``count`` independent draws from a sample; it cannot exceed the sample's best."""
    order = np.sort(sample)
    below = np.arange(len(order) + 1) / len(order)  # share of the sample below the k-th
    draws = np.arange(1, count + 1)[:, None]  # count x 1
    return (order * (below[1:] ** draws - below[:-1] ** draws)).sum(1)


def cost_front(
    points: Sequence[tuple[float, float]],
    name: str,
    winner: tuple[float, float] | None = None,
    percent: bool = True,
) -> Draw:
    """Scores over cost, and the Pareto front.

    Args:
        points: At least one point (multiply-adds in billions, score).
        name: Name of the score.
        winner: Point of the winner, which is marked.
        percent: Whether the scores are in percent.
    """
    unit, factor = flops_unit(max(flops_g for flops_g, _ in points))
    front: list[tuple[float, float]] = []
    for flops_g, score in sorted(points):
        if not front or score > front[-1][1]:
            front.append((flops_g, score))

    def scaled(some: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
        return [flops_g * factor for flops_g, _ in some], [score for _, score in some]

    def draw(axes: Any) -> None:
        axes.plot(*scaled(points), ".", color=GREY, markersize=4)
        line = dict(color=BLUE, drawstyle="steps-post", linewidth=1.5, marker=".", markersize=6)
        axes.plot(*scaled(front), **line, label="Pareto front")
        if winner is not None:
            axes.plot(*scaled([winner]), "*", color=ORANGE, markersize=11, label="winner")
        legend(axes)
        cost_axis(axes, scaled(points)[0], unit)
        grid(axes)
        axes.set(ylabel=f"{name}, %" if percent else name)

    return draw


def is_logarithmic(costs: Sequence[float]) -> bool:
    """Whether costs differ so much that a linear axis would press most of them together."""
    return min(costs) > 0 and max(costs) > FAR * min(costs)


def cost_axis(axes: Any, costs: Sequence[float], unit: str) -> None:
    """The x axis of multiply-adds, logarithmic where they differ much: labelled, with few ticks."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if is_logarithmic(costs):
        axes.set_xscale("log")
        wide = max(costs) > 10 * min(costs)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(6, steps=(1, 2, 5, 10)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(f"multiply-adds, {unit}" + (", logarithmic" if is_logarithmic(costs) else ""))


def legend(axes: Any) -> None:
    """Name what is drawn, above the axes, where no point or curve can lie under the words."""
    where = dict(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2, borderpad=0)
    axes.legend(frameon=False, fontsize=8, ncols=3, **where)


def grid(axes: Any) -> None:
    """Draw a faint grid behind everything else."""
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    axes.set_axisbelow(True)
