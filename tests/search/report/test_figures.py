"""Figures of a report: the tree of the action space, draws of random search, and legends beside what they name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from pinas_zoo.arch import Arch
from pinas_zoo.search.config import Explore
from pinas_zoo.search.ranking.worth import TrainedArch
from pinas_zoo.search.report.figures import FEW, SIZE, best_so_far, cost_front, curve, random_draws
from pinas_zoo.search.report.tree_figure import action_tree, preferences, tree_figure
from pinas_zoo.search.report.worth_section import chart, side_by_side
from pinas_zoo.search.scorers.protocol import Score


def scored(count: int, seed: int, layer: int, candidate: int) -> dict[Arch, Score]:
    """Random candidates of which those with one choice are better by far."""
    rng = np.random.default_rng(seed)
    paths = [Arch(tuple(rng.integers(4, size=5))) for _ in range(count)]
    return {p: Score(0.5 + 0.3 * (p[layer] == candidate) + 0.01 * rng.random(), 1.0) for p in paths}


def test_the_first_split_names_the_choice_that_matters_and_parts_by_it():
    for seed in range(5):
        layer, candidate = seed % 5, seed % 4
        scores = scored(80, seed, layer, candidate)
        tree = action_tree(scores, 4)
        root = tree.nodes[0]
        assert preferences(root.weights, 4)[0] == f"{layer + 1}={candidate}"
        has = np.array([arch[layer] == candidate for arch in scores])
        good, bad = (tree.members(child) for child in root.children)
        assert has[good].mean() > 0.5  # a quarter of all have it
        assert has[bad].mean() < 0.05


def test_the_picture_has_a_box_for_every_region():
    scores = scored(60, 0, 2, 1)
    axes = Figure().add_subplot()
    tree_figure(scores, 4)(axes)
    tree = action_tree(scores, 4)
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == len(tree.nodes)
    mean = 100 * np.mean([score.accuracy for score in scores.values()])
    assert any(text.startswith(f"{len(scores)}: {mean:.1f}%\n") for text in texts)
    leaves = [int(t.split(":")[0]) for t in texts if "\n" not in t]
    assert sum(leaves) == len(scores)


def test_equal_scores_draw_one_colour_and_do_not_fail():
    scores = {Arch((k // 4, k % 4)): Score(0.5, 1.0) for k in range(16)}
    tree_figure(scores, 4)(Figure().add_subplot())


def test_random_search_is_told_by_what_was_drawn_at_random():
    assert random_draws(Explore(sampler="action_space", random_first=7)) == 7
    assert random_draws(Explore(sampler="arch2vec", arch2vec={"random_first": 5})) == 5
    assert random_draws(Explore(sampler="tpe", random_first=7)) == 7
    assert random_draws(Explore(sampler="nsga2", population=9)) == 9
    assert random_draws(Explore(sampler="random", evaluations=30)) == 30


def test_the_points_of_a_short_curve_can_be_seen():
    def markers(count: int, **more: Any) -> list[object]:
        axes = Figure().add_subplot()
        steps = list(range(1, count + 1))
        curve(steps, {"loss": [1.0] * count}, "loss", **more)(axes)
        return [line.get_marker() for line in axes.lines]

    assert markers(1, chance=[2.0]) == [".", "."]
    assert markers(FEW + 1) == ["None"]
    axes = Figure().add_subplot()
    late = [float("nan")] * FEW + [1.0]  # a phase that starts late
    curve(list(range(FEW + 1)), {"weights.loss": [1.0] * (FEW + 1), "gates.loss": late}, "loss")(axes)
    assert [line.get_marker() for line in axes.lines] == ["None", "."]


@pytest.mark.parametrize(
    "draw",
    [
        chart([TrainedArch(role, "0", 1.0, (0.5, 0.9)) for role in ("winner", "reference", "random")]),
        curve([1, 2], {"loss": [1.0, 2.0], "bound": [2.0, 1.0]}, "loss", chance=[3.0, 3.0]),
        best_so_far([Score(0.5, 1.0)] * 30, 20, "held-out accuracy"),
        cost_front([(1.0, 50.0)], "held-out accuracy", (1.0, 50.0)),
    ],
)
def test_no_point_lies_under_a_legend(draw):
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    figure.draw_without_rendering()
    words, whole = axes.get_legend().get_window_extent(), figure.bbox
    assert words.y0 >= axes.get_window_extent().y1
    assert whole.x0 <= words.x0 < words.x1 <= whole.x1
    assert words.y1 <= whole.y1


def test_small_costs_are_shown_in_millions():
    for flops_g, label, place in ((0.004, "multiply-adds, G", 0.004), (0.000119, "multiply-adds, M", 0.119)):
        for draw in (
            cost_front([(flops_g, 50.0)], "held-out accuracy", (flops_g, 50.0)),
            chart([TrainedArch("winner", "0", flops_g, (0.5, 0.9))]),
        ):
            axes = Figure().add_subplot()
            draw(axes)
            assert axes.get_xlabel() == label
            assert all(x == pytest.approx(place) for line in axes.lines for x in line.get_xdata())


@pytest.mark.parametrize("factor", [1.5, 2.5, 40.0])
@pytest.mark.parametrize("kind", ["chart", "front"])
def test_a_network_far_away_in_cost_does_not_press_the_others_together(kind, factor):
    """The random networks of like cost take as much of the axis as their costs differ, in logarithms."""
    costs = [0.036, 0.036, 0.0387, 0.042, 0.0387 * factor]
    draw = (
        chart([TrainedArch("random", str(k), cost, (0.5, 0.9)) for k, cost in enumerate(costs)])
        if kind == "chart"
        else cost_front([(cost, 50.0 + k) for k, cost in enumerate(costs)], "held-out accuracy")
    )
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    draw(axes)
    figure.draw_without_rendering()
    assert (axes.get_xscale(), "logarithmic" in axes.get_xlabel()) == (
        ("log", True) if factor > 2 else ("linear", False)
    )
    low, high = axes.get_xlim()
    shown = [tick.label1.get_text() for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert 3 <= len(shown) <= 8
    assert all(float(text.replace("\N{MINUS SIGN}", "-")) > 0 for text in shown)  # 0.04, not a power of ten
    places = sorted({x for line in axes.lines for x in line.get_xdata()})
    assert places == pytest.approx(sorted(costs)[-len(places) :], rel=0.05)
    if kind == "chart":
        assert len(places) == 5  # networks of equal cost stand side by side there, too


def test_networks_of_equal_cost_stand_side_by_side():
    costs = [0.3, 0.1, 0.3, 0.2, 0.3]
    places = side_by_side(costs)
    assert len(set(places)) == 5
    assert np.mean([places[k] for k in (0, 2, 4)]) == pytest.approx(0.3)
    assert (places[1], places[3]) == (0.1, 0.2)
    assert sorted(places) == [places[k] for k in (1, 3, 0, 2, 4)]
    assert len(set(side_by_side([0.5] * 4))) == 4
