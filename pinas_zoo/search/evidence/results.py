"""Kept runs, read back. A run leaves two files: ``NAME.csv`` with the scores of paths, ``NAME.json`` with facts."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pinas_zoo.arch import Arch
from pinas_zoo.bounded_reading import MIB, read_json
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS, prune
from pinas_zoo.search.evidence.kept_facts import KeptFacts, first_problem
from pinas_zoo.search.evidence.replacements import read_estimates
from pinas_zoo.search.ranking.benchmark_table import arch_of_row
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.ranking.truth_csv import read_csv
from pinas_zoo.weights.size_limits import shortened

# columns of a file; an unknown score is empty: files of earlier versions lack the LATER columns, and cross_entropy if
# their method learns without labels; a method that scores paths itself has its own score alone
SCORES = ("accuracy", "squared_error", "consistency", "cross_entropy", "classifier_accuracy", "identification", "own")
LATER = ("classifier_accuracy", "identification", "own")
RANKING_SCORES = {  # in words
    "consistency": "consistency",
    "identification": "identification",
    "squared_error": "probe",
    "cross_entropy": "classifier",
    "classifier_accuracy": "classifier's accuracy",
    "own": "the method's own score",
}
OWN = "own"  # of a method that scores paths itself, such as DNA
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
        return self.facts.get("subspace") or self.size

    @property
    def seed(self) -> int:
        return self.facts["seed"]

    @property
    def core_minutes(self) -> float:
        return self.facts["minutes"] * self.facts["threads"]

    @property
    def extra_seconds(self) -> float:
        """Of the clock, on top of the budget: of a linear stage and of a teacher."""
        return sum(self.facts.get(key, 0.0) for key in ("linear_seconds", "teacher_seconds"))

    @property
    def budget(self) -> str:
        """Minutes x threads, or steps."""
        if steps := self.facts.get("budget_steps"):
            return f"{steps:,} steps"
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
    def chosen(self) -> str | None:
        """The architecture that the method itself ends with; None for most methods."""
        return self.facts.get("chosen")

    @property
    def known_scores(self) -> list[str]:
        """Which of RANKING_SCORES it has."""
        first = next(iter(self.scores.values()))
        return [name for name in RANKING_SCORES if not math.isnan(first[SCORES.index(name)])]

    def ranked_by(self, score: str) -> str:
        """What ranks this run where runs are ranked by ``score``: its method's own score if it has no other."""
        return OWN if self.known_scores == [OWN] else score

    def values(self, score: str) -> dict[str, float]:
        """One score of all scored architectures, negated if it is a loss: higher is better."""
        sign = 1 if score in HIGHER_IS_BETTER else -1
        return {arch: sign * values[SCORES.index(score)] for arch, values in self.scores.items()}

    def effect_sums(self, score: str, archs: Sequence[str], among: Container[str] | None = None) -> dict[str, float]:
        """Sums of main effects for any architectures, fitted to all scored ones, or only to those in ``among``."""
        return effect_sums({a: v for a, v in self.values(score).items() if among is None or a in among}, archs)


def effect_sums(values: Mapping[str, float], archs: Sequence[str]) -> dict[str, float]:
    """Sums of the main effects of ``values`` for any architectures, all in the benchmark's digits."""
    scores = {Arch.parse(arch): value for arch, value in values.items()}
    effects = main_effects(scores, len(OPERATIONS), lambda arch: Arch(prune(arch.choices)))
    return {arch: effects.score(Arch.parse(arch)) for arch in archs}


def read_run(path: Path) -> MeasuredRun:
    """The run whose facts are in the file ``path``.

    Raises:
        UserError: One of its two files is missing or damaged.
    """
    try:
        facts = read_json(path, "the facts of a measured run", FACTS_LIMIT)
        KeptFacts.model_validate(facts)
        facts = {key: value for key, value in facts.items() if value is not None}  # null is as if it were not there
        scores = _read_scores(path.with_suffix(".csv"))
    except UserError as error:  # missing, too large, no text
        raise UserError(f"{error}; delete {path} and the .csv beside it to measure it again") from None
    except ValidationError as error:
        raise UserError(
            f"expected {path} and the .csv beside it as a measured run keeps them, got {first_problem(error)}; delete "
            "both to measure it again"
        ) from None
    return MeasuredRun(path.stem, facts, scores, read_estimates(path.with_suffix(".csv")))


def _read_scores(path: Path) -> dict[str, tuple[float, ...]]:
    """Scores by architecture in the order of :data:`SCORES`; NaN throughout a column that is empty or missing.

    Raises:
        UserError: The file is not as a run keeps it.
    """
    table = read_csv(path, "the scores of a measured run", TABLE_LIMIT)
    if missing := [name for name in ("arch", *SCORES) if name not in (*table.columns, *LATER)]:
        raise UserError(f"expected a column {missing[0]!r} in {path}, got {shortened(', '.join(table.columns))}")
    if not table.rows:
        raise UserError(f"expected scores in {path}, got none")
    known = [name for name in SCORES if name in table.columns and table.rows[0].text(name)]
    scores: dict[str, tuple[float, ...]] = {}
    for row in table.rows:
        arch = arch_of_row(row)
        if arch in scores or [name for name in SCORES if name in table.columns and row.text(name)] != known:
            raise UserError(
                f"{path}, line {row.line}: expected each architecture once, with a score in the columns "
                f"{', '.join(known) or 'none'} alone"
            )
        scores[arch] = tuple(row.number(name) if name in known else math.nan for name in SCORES)
    return scores


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
