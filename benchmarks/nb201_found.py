"""What the runs of benchmarks/nb201.py have left, and NAS-Bench-201's table that it is held against."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS, arch_string
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.ranking.kendall import tau
from pinas_zoo.search.ranking.main_effects import main_effects

TEST, SHORT, VALID = "cifar10_test_acc", "cifar10_test_acc_12ep", "cifar10_valid_acc"
CONVS = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SPACES = {  # by number of architectures
    729: CONVS,
    4096: ("none", *CONVS),
    15625: ("none", "skip_connect", *CONVS),
}
SCORES = ("accuracy", "squared_error", "consistency", "cross_entropy")  # a file's columns; what is not known is empty
LOSSES = {"consistency": "consistency", "squared_error": "probe", "cross_entropy": "classifier"}  # what can rank
SUPERVISED = "cross_entropy"  # the score that a method with labels has, and no other
CRITERION = "consistency"  # what does: what the tuned half prefers for each method, in its regime, after 30 minutes


@dataclass(frozen=True)
class Row:
    """An architecture of the table."""

    truth: float
    flops: float
    short: float  # accuracy after 12 epochs
    valid: float  # after 200, on held-out images


@dataclass(frozen=True)
class Found:
    """A run that is complete: its facts, and scores by architecture in the benchmark's digits."""

    name: str  # of its files
    facts: dict[str, Any]
    scores: dict[str, tuple[float, ...]]  # SCORES

    @property
    def core_minutes(self) -> float:
        return self.facts["minutes"] * self.facts["threads"]

    @property
    def budget(self) -> str:
        """Minutes x threads."""
        return f"{self.facts['minutes']:g} x {self.facts['threads']}"

    @property
    def changes(self) -> tuple[str, ...]:
        """Of a trial, to the method's regime."""
        return tuple(self.facts.get("changes", ()))

    @property
    def title(self) -> str:
        """Of its method, and what a trial changes."""
        return ", ".join([self.facts["title"], *self.changes])

    @property
    def known(self) -> list[str]:
        """Which of LOSSES it has."""
        first = next(iter(self.scores.values()))
        return [by for by in LOSSES if not math.isnan(first[SCORES.index(by)])]

    def values(self, by: str) -> dict[str, float]:
        """Scores of the architectures that have one, the higher the better."""
        return {arch: -score[SCORES.index(by)] for arch, score in self.scores.items()}

    def sums(self, by: str, archs: Sequence[str], among: Container[str] | None = None) -> dict[str, float]:
        """Sums of main effects of any architectures, by the scores of all that have one, or of ``among`` alone."""
        return effect_sums({a: v for a, v in self.values(by).items() if among is None or a in among}, archs)


def effect_sums(values: Mapping[str, float], archs: Sequence[str]) -> dict[str, float]:
    effects = main_effects({Arch.parse(arch): value for arch, value in values.items()}, len(OPERATIONS))
    return {arch: effects.score(Arch.parse(arch)) for arch in archs}


def read_rows(path: Path) -> dict[str, Row]:
    """By the benchmark's digits.

    Raises:
        UserError: Not such a table.
    """
    rows = {}
    for arch, trained in read_table(path).items():
        missing = [name for name in (TEST, SHORT, VALID) if name not in trained.accuracies]
        if missing or trained.flops is None:
            raise UserError(f"expected {', '.join(missing or ['flops_computed'])} of {arch_string(arch)} in {path}")
        truth, short, valid = (trained.accuracies[name] for name in (TEST, SHORT, VALID))
        rows[str(arch)] = Row(truth, trained.flops, short, valid)
    return rows


def read_found(folder: Path) -> list[Found]:
    found = []
    for path in sorted(folder.glob("*.json")):
        with path.with_suffix(".csv").open(newline="") as file:
            scores = {row["arch"]: tuple(float(row.get(k) or math.nan) for k in SCORES) for row in csv.DictReader(file)}
        found.append(Found(path.stem, json.loads(path.read_text()), scores))
    most: dict[tuple[Any, ...], Found] = {}  # of the same supernet, the one with most scores
    for f in sorted(found, key=lambda f: len(f.scores)):
        most[f.facts["run"], f.changes, f.facts["architectures"], f.budget, f.facts["seed"]] = f

    def order(f: Found) -> tuple[Any, ...]:
        return not f.name.startswith("pinas"), f.facts["run"], f.core_minutes, f.facts["seed"], f.changes

    return sorted(most.values(), key=order)


def archs_of(table: Mapping[str, Row], size: int) -> list[str]:
    """The architectures of the table that the space of ``size`` has."""
    digits = {str(OPERATIONS.index(o)) for o in SPACES[size]}
    return [a for a in table if set(a) <= digits]


def tuned_half(archs: Sequence[str]) -> set[str]:
    """Half of the architectures, by seed: what regimes were chosen on."""
    ordered = sorted(archs)
    return {ordered[k] for k in np.random.default_rng(123).permutation(len(ordered))[: len(ordered) // 2]}


def plain_tau(values: Mapping[str, float], table: Mapping[str, Row]) -> float:
    known = [arch for arch in values if arch in table]
    return tau(np.array([values[arch] for arch in known]), np.array([table[arch].truth for arch in known]))
