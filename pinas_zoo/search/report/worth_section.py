"""The report's section on whether the search was worth it: its chart, its table and its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pinas_zoo.analysis.cost import flops_unit
from pinas_zoo.search.config import Train, comparison_epochs
from pinas_zoo.search.ranking.trained_rows import RANDOM, REFERENCE, WINNER, TrainedRow
from pinas_zoo.search.ranking.worth import TrainedArch, by_architecture, sentence, verdicts
from pinas_zoo.search.report import figures
from pinas_zoo.search.report.contents import Figure, Table, Worth
from pinas_zoo.search.report.figures import Draw

CAPTION = "Test accuracy over multiply-adds of networks trained alike. Bars: mean and standard deviation over seeds."
SIZE = (6.4, 3.4)  # inches
MARKS = {  # marker, its size, colour
    RANDOM: ("o", 5, figures.GREY),
    REFERENCE: ("s", 6, figures.BLUE),
    WINNER: ("*", 12, figures.ORANGE),
}


def worth_section(rows: Sequence[TrainedRow], options: Train) -> Worth | None:
    """The section of a comparison; None without anything that was compared."""
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
    return Worth(
        sentence=sentence(found),
        figure=Figure(figures.inline_svg(chart(networks), CAPTION, SIZE), CAPTION),
        table=table,
        start="new weights" if options.compare.start == "scratch" else "their weights in the supernet",
        epochs=comparison_epochs(options),
        seeds=max(len(network.accuracies) for network in networks),
        images=rows[0].test_images,
        notes=tuple(notes),
    )


def _cells(network: TrainedArch, factor: float) -> tuple[str, ...]:
    spread = f"{100 * network.deviation:.2f}" if len(network.accuracies) > 1 else ""
    return network.role, network.arch, f"{network.flops_g * factor:.4f}", f"{network.mean:.2%}", spread


def chart(networks: Sequence[TrainedArch]) -> Draw:
    """Mean test accuracy over multiply-adds, with bars of one standard deviation and a dot for each training."""
    unit, factor = flops_unit(max(network.flops_g for network in networks))

    def draw(axes: Any) -> None:
        for role, (marker, size, colour) in MARKS.items():
            some = [network for network in networks if network.role == role]
            if not some:
                continue
            costs = [network.flops_g * factor for network in some]
            bars = dict(fmt=marker, color=colour, markersize=size, capsize=3, linewidth=1.2, label=role)
            bars["yerr"] = [100 * network.deviation for network in some]
            axes.errorbar(costs, [100 * network.mean for network in some], **bars)
            for network in some:
                dots = [100 * accuracy for accuracy in network.accuracies]
                axes.plot([network.flops_g * factor] * len(dots), dots, ".", color=colour, markersize=3, alpha=0.6)
        figures.legend(axes)
        axes.margins(x=0.1, y=0.15)
        axes.locator_params(axis="x", nbins=6)
        figures.grid(axes)
        axes.set(xlabel=f"multiply-adds, {unit}", ylabel="test accuracy, %")

    return draw
