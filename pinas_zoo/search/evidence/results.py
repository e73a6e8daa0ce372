"""Kept runs, read back. A run leaves two files: ``NAME.csv`` with the scores of paths, ``NAME.json`` with facts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.bounded_reading import MIB, read_json, read_text
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.search.evidence.replacements import read_estimates
from pinas_zoo.search.ranking.main_effects import main_effects

# columns of a file; an unknown score is empty: files of earlier versions lack the LATER columns, and cross_entropy if
# their method learns without labels
SCORES = ("accuracy", "squared_error", "consistency", "cross_entropy", "classifier_accuracy", "identification")
LATER = ("classifier_accuracy", "identification")
RANKING_SCORES = {  # in words
    "consistency": "consistency",
    "identification": "identification",
    "squared_error": "probe",
    "cross_entropy": "classifier",
    "classifier_accuracy": "classifier's accuracy",
}
BY_CLASSIFIER = ("cross_entropy", "classifier_accuracy")
CLASSIFIER = "cross_entropy"  # the score that shows whether a run has a classifier
NEEDS_NO_CLASSIFIER = ("consistency", "squared_error")  # so that runs of earlier versions have them, too
TABLE_LIMIT, FACTS_LIMIT = 16 * MIB, MIB  # bytes; all scores of the 15,625 networks take one MiB
HIGHER_IS_BETTER = ("accuracy", "classifier_accuracy")


@dataclass(frozen=True)
class MeasuredRun:
    """A complete run: its facts, and scores by architecture in the benchmark's digits."""

    name: str  # of its files
    facts: Mapping[str, Any]
    scores: Mapping[str, tuple[float, ...]]  # in the order of SCORES
    estimates: Mapping[str, float]  # accuracies by the shared classifier, of architectures and replacements in them

    @property
    def method(self) -> str:
        """Its key among the planned runs."""
        return self.facts["run"]

    @property
    def size(self) -> int:
        """Number of architectures of the supernet's space."""
        return self.facts["architectures"]

    @property
    def scored(self) -> int:
        """Number of architectures of the space from which the scored ones are: its own, or a smaller one."""
        return self.facts.get("subspace", self.size)

    @property
    def seed(self) -> int:
        return self.facts["seed"]

    @property
    def core_minutes(self) -> float:
        return self.facts["minutes"] * self.facts["threads"]

    @property
    def budget(self) -> str:
        """Minutes x threads."""
        return f"{self.facts['minutes']:g} x {self.facts['threads']}"

    @property
    def changes(self) -> tuple[str, ...]:
        """What a trial changes in its method's regime."""
        return tuple(self.facts.get("changes", ()))

    @property
    def supernet(self) -> tuple[Any, ...]:
        """What makes its supernet, which may be scored on several spaces."""
        return self.method, self.changes, self.size, self.budget, self.seed

    @property
    def title(self) -> str:
        """The method's title, and what a trial changes."""
        return ", ".join([self.facts["title"], *self.changes])

    @property
    def known_scores(self) -> list[str]:
        """Which of RANKING_SCORES it has."""
        first = next(iter(self.scores.values()))
        return [name for name in RANKING_SCORES if not math.isnan(first[SCORES.index(name)])]

    def values(self, score: str) -> dict[str, float]:
        """One score of all scored architectures, negated if it is a loss: higher is better."""
        sign = 1 if score in HIGHER_IS_BETTER else -1
        return {arch: sign * values[SCORES.index(score)] for arch, values in self.scores.items()}

    def effect_sums(self, score: str, archs: Sequence[str], among: Container[str] | None = None) -> dict[str, float]:
        """Sums of main effects for any architectures, fitted to all scored ones, or only to those in ``among``."""
        return effect_sums({a: v for a, v in self.values(score).items() if among is None or a in among}, archs)


def effect_sums(values: Mapping[str, float], archs: Sequence[str]) -> dict[str, float]:
    """Sums of the main effects of ``values`` for any architectures, all in the benchmark's digits."""
    effects = main_effects({Arch.parse(arch): value for arch, value in values.items()}, len(OPERATIONS))
    return {arch: effects.score(Arch.parse(arch)) for arch in archs}


def read_run(path: Path) -> MeasuredRun:
    """The run whose facts are in the file ``path``.

    Raises:
        UserError: One of its two files is missing or damaged.
    """
    try:
        facts = read_json(path, "the facts of a measured run", FACTS_LIMIT)
        if not isinstance(facts, dict):
            raise ValueError("the facts are no JSON object")
        table = read_text(path.with_suffix(".csv"), "the scores of a measured run", TABLE_LIMIT)
        scores = {
            row["arch"]: tuple(float(_cell(row, k) or math.nan) for k in SCORES)
            for row in csv.DictReader(io.StringIO(table, newline=""))
        }
        if not scores:
            raise ValueError("no scores")
    except UserError as error:  # missing, too large, no text
        raise UserError(f"{error}; delete {path} and the .csv beside it to measure it again") from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"expected {path} and the .csv beside it as a measured run keeps them, got {type(error).__name__}: "
            f"{error}; delete both to measure it again"
        ) from error
    return MeasuredRun(path.stem, facts, scores, read_estimates(path.with_suffix(".csv")))


def _cell(row: Mapping[str, str], column: str) -> str:
    """The text of a column; empty if the file is of an earlier version, which did not have it."""
    return row.get(column, "") if column in LATER else row[column]


def read_runs(folder: Path, reference: str) -> list[MeasuredRun]:
    """The runs in a folder; of the same supernet scored several times, the one with the most scores.

    Runs whose name starts with that of the ``reference`` come first: the reference and its ablations.

    Raises:
        UserError: A file is damaged.
    """
    most: dict[tuple[Any, ...], MeasuredRun] = {}
    for run in sorted(map(read_run, sorted(folder.glob("*.json"))), key=lambda run: len(run.scores)):
        most[(*run.supernet, run.scored)] = run

    def order(run: MeasuredRun) -> tuple[Any, ...]:
        return not run.name.startswith(reference), run.method, run.core_minutes, run.seed, run.changes

    return sorted(most.values(), key=order)
