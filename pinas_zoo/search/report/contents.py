"""The contents of a report, as plain data for its template."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from pinas_zoo.search.ranking.main_effects import MainEffects
from pinas_zoo.search.score_kinds import ScoreKind


@dataclass(frozen=True)
class Figure:
    """An ``<svg>`` element that this process has drawn, and the text below it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Table:
    """Cells as text; ``numeric`` columns are aligned to the right, ``code`` columns are set in a fixed width.

    ``shades`` has a number in -1..1 for each cell that the template turns into a colour.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    code: frozenset[int] = frozenset()
    shades: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Tile:
    """A number of the page's head."""

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Winner:
    """The architecture that the search chose.

    Attributes:
        description: What the space calls it.
        picture: Drawn by the space, if it draws any.
        registered: Its name in timm; None before its weights are written, or if the search learned nothing.
        accuracy: On the test images, in 0..1; None when it was not tested.
        classes: Names of the classes that it tells apart; empty when unknown.
        model_folder: Its model folder in the run's folder; None before its weights are written.
        noise: How many candidates lie within noise of it; None when an earlier version explored.
    """

    description: str
    picture: Markup | None
    registered: str | None
    accuracy: float | None
    classes: tuple[str, ...]
    model_folder: str | None = None
    noise: str | None = None


@dataclass(frozen=True)
class Worth:
    """The winner beside the reference and random networks, all trained alike.

    Attributes:
        sentence: Whether the winner is better.
        figure: Test accuracy over multiply-adds.
        table: A row for each architecture.
        start: First weights of each training, in words.
        epochs: Length of each training.
        seeds: Trainings of each architecture.
        images: Test images.
        notes: Further sentences.
    """

    sentence: str
    figure: Figure
    table: Table
    start: str
    epochs: int
    seeds: int
    images: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class EffectsSection:
    """The additive model of the scores, and its table of contributions."""

    fit: MainEffects
    table: Table


@dataclass(frozen=True)
class TreeSection:
    """The tree of choices, and how to read one of its lines: as the figure shows it, and in words."""

    figure: Figure
    example: str
    explained: str


@dataclass(frozen=True)
class TrueRanking:
    """The results of ``pinas-zoo rank``. There is no figure if an older version wrote them.

    ``paper`` says what the paper prints for these architectures; empty where it has no experiment on the space.
    """

    count: int
    column: str
    truth: str
    paper: str
    table: Table
    figure: Figure | None


@dataclass(frozen=True)
class Page:
    """All that the template shows. The sections have the names of their anchors and are left out when empty."""

    name: str
    method: str
    version: str
    image_size: int
    kind: ScoreKind
    rank_by: str
    scored: int
    chosen: bool  # by the method, in learning: the winner is the only one scored
    complete: tuple[str, ...]
    warnings: tuple[str, ...]
    tiles: tuple[Tile, ...]
    worth: Worth | None
    winner: Winner | None
    learning: tuple[Figure, ...]
    exploration: tuple[Figure, ...]
    candidates: Table | None
    references: Table | None
    digits: str  # what the digits of an architecture mean; empty where the space has no names
    effects: EffectsSection | None
    tree: TreeSection | None
    truth: TrueRanking | None
    stages: Table | None
    configuration: str
