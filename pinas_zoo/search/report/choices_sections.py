"""The report's sections on single choices: what each adds to the score, and the tree that they split candidates by."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pinas_zoo.arch import Arch
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.report import figures
from pinas_zoo.search.report.choice_names import ChoiceNames
from pinas_zoo.search.report.contents import EffectsSection, Figure, Table, TreeSection
from pinas_zoo.search.report.tree_figure import tree_figure
from pinas_zoo.search.score_kinds import ScoreKind
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace

TREE_SIZE = (7.8, 3.6)  # inches


def effects_section(space: SearchSpace, scores: Mapping[Arch, Score], kind: ScoreKind) -> EffectsSection:
    """Table of the main effects of all choices, in percentage points or in units of the score."""
    values = {arch: score.accuracy for arch, score in scores.items()}
    fit = main_effects(values, space.num_candidates, space.reachable)
    names = ChoiceNames.of(space)
    unit = 100 if kind.percent else 1
    largest = unit * float(abs(fit.table).max())
    decimals = min(6, max(2, 1 - math.floor(math.log10(largest)))) if largest else 2
    rows = tuple(
        (names.layer(k), *(f"{unit * value:+.{decimals}f}" for value in row)) for k, row in enumerate(fit.table)
    )
    shades = tuple((0.0, *(round(unit * float(v) / (largest or 1), 2) for v in row)) for row in fit.table)
    head = ("layer", *map(names.candidate, range(space.num_candidates)))
    numeric = range(1 if names.layers else 0, space.num_candidates + 1)
    return EffectsSection(fit, Table(head, rows, frozenset(numeric), shades=shades))


def tree_section(space: SearchSpace, scores: Mapping[Arch, Score]) -> TreeSection:
    """The action space that the scored candidates give, whichever sampler proposed them."""
    names = ChoiceNames.of(space)
    caption = f"Action space over all {len(scores)} scored candidates"
    draw = tree_figure(scores, space.num_candidates, names)
    layer, candidate = min(4, space.num_layers - 1), min(2, space.num_candidates - 1)  # of the example
    return TreeSection(
        Figure(figures.inline_svg(draw, caption, TREE_SIZE), caption),
        names.choice(layer, candidate),
        names.explained(layer, candidate),
    )
