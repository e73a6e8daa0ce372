"""The report's section on whether the search was worth it: its chart, its table and its sentences."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pinas_zoo.analysis.cost import flops_unit
from pinas_zoo.search.config import Train, comparison_epochs
from pinas_zoo.search.ranking.trained_rows import RANDOM, REFERENCE, WINNER, TrainedRow
from pinas_zoo.search.ranking.worth import TrainedArch, by_architecture, sentence, verdicts
from pinas_zoo.search.report import figures
from pinas_zoo.search.report.contents import Figure, Table, Worth
from pinas_zoo.search.report.figures import Draw

SIZE = (7.6, 3.2)  # inches
STEP = 0.014  # between networks of equal cost, as a share of the range of costs
MARKS = {  # marker, its size, colour
    RANDOM: ("o", 5, figures.GREY),
    REFERENCE: ("s", 6, figures.BLUE),
    WINNER: ("*", 12, figures.ORANGE),
}


def worth_section(rows: Sequence[TrainedRow], options: Train, stored: str | None = None) -> Worth | None:
    """The section of a comparison; None without anything that was compared.

    Args:
        rows: All trainings.
        options: The run's ``train`` table.
        stored: The sentence that the run printed, which an earlier version may have worded by other intervals; None:
            the sentence of these rows.
    """
    found = verdicts(rows)
    if not found:
        return None
    networks = by_architecture(rows)
    unit, factor = flops_unit(max(network.flops_g for network in networks))
    table = Table(
        ("network", "architecture", f"multiply-adds, {unit}", "test accuracy", "standard deviation over seeds"),
        tuple(_cells(network, factor) for network in networks),
        numeric=frozenset((2, 3, 4)),
        code=frozenset((1,)),
    )
    notes = [
        f"The winner's mean accuracy is above that of {verdict.below} of {verdict.networks} random networks."
        for verdict in found
        if verdict.role == RANDOM
    ]
    epochs, inherited = comparison_epochs(options), "their weights in the supernet"
    start = inherited if options.compare.start == "supernet" else "scratch"
    caption = (
        f"Test accuracy over multiply-adds of networks that were trained alike, {epochs} "
        f"{'epoch' if epochs == 1 else 'epochs'} from {start}. Bars: mean and standard deviation over seeds. Networks "
        "of equal cost stand side by side."
    )
    return Worth(
        sentence=stored or sentence(found),
        figure=Figure(figures.inline_svg(chart(networks), caption, SIZE), caption),
        table=table,
        start=start,
        epochs=epochs,
        seeds=max(len(network.accuracies) for network in networks),
        images=rows[0].test_images,
        notes=tuple(notes),
    )


def _cells(network: TrainedArch, factor: float) -> tuple[str, ...]:
    spread = f"{100 * network.deviation:.2f}" if len(network.accuracies) > 1 else ""
    return network.role, network.arch, f"{network.flops_g * factor:.4f}", f"{network.mean:.2%}", spread


def chart(networks: Sequence[TrainedArch]) -> Draw:
    """Mean test accuracy over multiply-adds, with bars of one standard deviation and a dot for each training.

    The axis of costs is logarithmic where they differ much, so that a reference that is far away does not press the
    others together.
    """
    unit, factor = flops_unit(max(network.flops_g for network in networks))
    costs = [network.flops_g * factor for network in networks]
    if figures.is_logarithmic(costs):
        places = [math.exp(place) for place in side_by_side([math.log(cost) for cost in costs])]
    else:
        places = side_by_side(costs)
    placed = list(zip(networks, places, strict=True))

    def draw(axes: Any) -> None:
        for role, (marker, size, colour) in MARKS.items():
            some = [(network, place) for network, place in placed if network.role == role]
            if not some:
                continue
            bars = dict(fmt=marker, color=colour, markersize=size, capsize=2, linewidth=1, label=role)
            bars["yerr"] = [100 * network.deviation for network, _ in some]
            axes.errorbar([place for _, place in some], [100 * network.mean for network, _ in some], **bars)
            for network, place in some:
                dots = [100 * accuracy for accuracy in network.accuracies]
                axes.plot([place] * len(dots), dots, ".", color=colour, markersize=3, alpha=0.6)
        figures.legend(axes)
        axes.margins(x=0.1, y=0.15)
        figures.cost_axis(axes, costs, unit)
        figures.grid(axes)
        axes.set(ylabel="test accuracy, %")

    return draw


def side_by_side(costs: Sequence[float]) -> list[float]:
    """Places on the axis of costs, at which networks of equal cost stand around it and do not hide each other."""
    groups, placed = Counter(costs), Counter[float]()
    known = sorted(groups)
    gap = min((after - before for before, after in pairwise(known)), default=known[-1])
    step = min(STEP * (known[-1] - known[0] or known[-1]), 0.8 * gap / max(groups.values()))
    places = []
    for cost in costs:
        places.append(cost + step * (placed[cost] - (groups[cost] - 1) / 2))
        placed[cost] += 1
    return places
