"""Figure of the action space: the choices that separate good from bad candidates, and the numbers of candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution
from scipy.stats import rankdata

from pinas_zoo.arch import Arch
from pinas_zoo.search.report.choice_names import ChoiceNames
from pinas_zoo.search.report.figures import GREY
from pinas_zoo.search.samplers.action_tree import ActionTree
from pinas_zoo.search.samplers.encoding import Encoding
from pinas_zoo.search.scorers.protocol import Score

NUMBERS = ChoiceNames()  # layers and candidates by number
HEIGHT = 3  # splits from root to leaf, the sampler's default below 400 trials
NAMED = 2  # number of choices that a box shows
LEAST = 8  # number of candidates below which the tree has no split


def action_tree(scores: Mapping[Arch, Score], num_candidates: int) -> ActionTree:
    """Fit the sampler's tree to the ranks of all scored candidates, with one-hot choices as features."""
    rows = np.array([list(arch) for arch in scores], dtype=np.float64)
    choices = CategoricalDistribution(tuple(range(num_candidates)))
    encoding = Encoding({f"layer{k:02d}": choices for k in range(rows.shape[1])})
    rank = (rankdata([score.accuracy for score in scores.values()]) - 0.5) / len(rows)
    return ActionTree(encoding.features(rows), rank, HEIGHT)


def tree_figure(
    scores: Mapping[Arch, Score], num_candidates: int, names: ChoiceNames = NUMBERS
) -> Callable[[Any], None]:
    """A function that draws the tree on matplotlib axes, with the good side of each split on the left."""
    tree = action_tree(scores, num_candidates)
    accuracy = np.array([100 * score.accuracy for score in scores.values()])
    places: dict[int, tuple[float, float]] = {}
    leaves = 0

    def place(index: int, depth: int) -> float:
        nonlocal leaves
        node = tree.nodes[index]
        if node.children is None:
            x, leaves = float(leaves), leaves + 1
        else:
            x = sum(place(child, depth + 1) for child in node.children) / 2
        places[index] = (x, -depth)
        return x

    place(0, 0)
    mean = {index: float(accuracy[tree.members(index)].mean()) for index in places}
    low, high = min(mean.values()), max(mean.values())

    def draw(axes: Any) -> None:
        for index, (x, y) in places.items():
            node = tree.nodes[index]
            lines = [f"{len(tree.members(index))}: {mean[index]:.1f}%"]
            if node.children is not None and node.weights is not None:
                lines += preferences(node.weights, num_candidates, names)
                for child in node.children:
                    axes.plot(*zip((x, y), places[child], strict=True), color=GREY, linewidth=1, zorder=0)
            shade = 0.15 + 0.6 * (mean[index] - low) / (high - low) if high > low else 0.4
            box = {"boxstyle": "round", "facecolor": (1 - shade, 1 - shade / 3, 1 - shade), "edgecolor": "#777"}
            axes.text(
                x, y, "\n".join(lines), ha="center", va="center", fontsize=8, color="black", bbox=box, parse_math=False
            )
        depth = -min(y for _, y in places.values())
        axes.set(xlim=(-0.7, max(leaves, 1) - 0.3), ylim=(-depth - 0.5, 0.5))
        axes.axis("off")

    return draw


def preferences(weights: np.ndarray, num_candidates: int, names: ChoiceNames = NUMBERS) -> list[str]:
    """The choices with the largest weights for a split's good side, by name or as ``layer=candidate``."""
    best = np.argsort(-weights, kind="stable")[:NAMED]
    return [names.choice(int(k) // num_candidates, int(k) % num_candidates) for k in best]
