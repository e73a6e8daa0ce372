"""The base of this package's samplers: proposals depend on the seed and the trials of the study, and never repeat.

A study that is loaded again therefore continues with the same proposals. Architectures of running trials are not
proposed again, so batches and parallel workers do not collide.
"""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.samplers.encoding import Encoding, Floats

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
WHOLE = 16384  # spaces of at most this size are ranked completely
DRAWS, DRAWS_BOUNDED = 64, 4096  # uniform draws before a systematic scan, without and with ``feasible``
SCAN = 4096  # candidates per step of the scan


class Plan(ABC):
    """What a sampler has learned from the finished trials, and the proposals that follow from it.

    Args:
        fitted: Number of finished trials from which it was made.
        keys: Rows of these trials, as bytes.
    """

    def __init__(self, fitted: int, keys: set[bytes]):
        self.fitted, self.keys = fitted, keys

    @abstractmethod
    def proposals(self, history: History) -> Iterator[Floats]:
        """Rows of candidates, the best first. Those that are taken or not allowed may be among them."""


class StudySampler(BaseSampler, ABC):
    """A sampler for one objective that draws uniformly at first, and later takes the first free candidate of a plan.

    The plan is made anew after a number of finished trials. In a finite space, no candidate is proposed twice while
    others remain; failed candidates count as proposed.

    Args:
        seed: Seed of all draws. None: a random seed.
        n_startup_trials: Number of uniform draws before the first plan.
        rebuild_every: Number of finished trials after which the plan is made anew.
        search_space: The search space, if it is known in advance. The startup trials are then distinct, too.
        feasible: Function from parameters to whether they may be proposed. It is called for one candidate at a time.

    Raises:
        ValueError: ``n_startup_trials`` or ``rebuild_every`` is out of range.
    """

    def __init__(
        self,
        seed: int | None,
        n_startup_trials: int,
        rebuild_every: int,
        search_space: dict[str, BaseDistribution] | None = None,
        feasible: Callable[[dict[str, Any]], bool] | None = None,
    ):
        if n_startup_trials < 0 or rebuild_every < 1:
            raise ValueError(
                f"expected n_startup_trials >= 0 and rebuild_every >= 1, got {n_startup_trials} and {rebuild_every}"
            )
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self.n_startup_trials, self.rebuild_every = n_startup_trials, rebuild_every
        self.search_space, self.feasible = search_space, feasible
        self._intersection = IntersectionSearchSpace(include_pruned=True)
        self._history: History | None = None

    @abstractmethod
    def _plan(self, encoding: Encoding, rows: Floats, merits: Floats) -> Plan:
        """Learn from finished trials.

        Args:
            encoding: Of the space.
            rows: The trials' parameters, at least two rows; trials x parameters.
            merits: Their ranks, from 0 (worst) to 1 (best), both excluded.
        """

    def reseed_rng(self) -> None:
        """Do nothing: draws depend on the trial number, so workers with the same seed do not repeat each other."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._raise_error_if_multi_objective(study)
        space = self.search_space or self._intersection.calculate(study)
        if not space:  # no trial has finished: take the space from running trials
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            space = _common([t.distributions for t in running if t.number != trial.number and t.distributions])
        return {name: distribution for name, distribution in space.items() if not distribution.single()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        self._raise_error_if_multi_objective(study)
        rng = step_rng(self.seed, trial.number, Stream.SINGLE_PARAMETERS, zlib.crc32(param_name.encode()))
        encoding = Encoding({param_name: param_distribution})
        return encoding.params(encoding.uniform(rng, 1)[0])[param_name]

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        history = self._history
        if history is None or history.study_id != study._study_id or history.encoding.space != search_space:
            history = self._history = History(study._study_id, Encoding(search_space))
        history.update(study.get_trials(deepcopy=False), trial.number)
        sign = -1.0 if study.direction == StudyDirection.MINIMIZE else 1.0
        before = history.before(trial.number)
        rng = step_rng(self.seed, before, Stream.SAMPLER)
        row = None
        if before >= self.n_startup_trials and len(history.finished) >= 2:
            row = self._planned(history, sign)
        if row is None:
            row = self._unseen(history, rng)
        return history.encoding.params(row)

    def _planned(self, history: History, sign: float) -> Floats | None:
        """The plan's best candidate that is free; None if there are none, or fewer than two trials to learn from."""
        count = len(history.finished)
        since = count - self.n_startup_trials
        fitted = count - (since if since >= 0 else count) % self.rebuild_every
        if fitted < 2:
            return None
        if history.plan is None or history.plan.fitted != fitted:
            rows = np.array([row for _, _, row, _ in history.finished[:fitted]])
            merits = _ranks([_merit(trial, sign) for *_, trial in history.finished[:fitted]])
            history.plan = self._plan(history.encoding, rows, merits)
        for row in history.plan.proposals(history):
            if row.tobytes() not in history.taken and self._may(history, row):
                return row
        return None

    def _unseen(self, history: History, rng: np.random.Generator) -> Floats:
        """A uniform draw that has not been taken.

        In a finite space, a scan finds one if it exists. Otherwise, and if all are taken, the last draw is returned.
        """
        encoding, row = history.encoding, None
        for row in encoding.uniform(rng, DRAWS if self.feasible is None else DRAWS_BOUNDED):
            if row.tobytes() not in history.taken and self._may(history, row):
                return row
        if math.isfinite(encoding.size) and encoding.size < 2**62:
            size, start = int(encoding.size), int(rng.integers(int(encoding.size)))
            # among any len(taken) + 1 candidates at least one is free, but it may not be feasible
            stop = min(size, len(history.taken) + 1 if self.feasible is None else max(WHOLE, 2 * len(history.taken)))
            for first in range(0, stop, SCAN):
                codes = (start + np.arange(first, min(first + SCAN, stop))) % size
                for free in encoding.decode(codes):
                    if free.tobytes() not in history.taken and self._may(history, free):
                        return free
        assert row is not None
        return row

    def _may(self, history: History, row: Floats) -> bool:
        return self.feasible is None or self.feasible(history.encoding.params(row))


class History:
    """The trials of a study, encoded as rows of numbers. A finished trial is read once."""

    def __init__(self, study_id: int, encoding: Encoding):
        self.study_id, self.encoding = study_id, encoding
        self.plan: Plan | None = None
        self.finished: list[tuple[float, int, Floats, FrozenTrial]] = []  # in the order in which they finished
        self.taken: set[bytes] = set()
        self.held: dict[bytes, Floats] = {}  # taken by trials that did not fail
        self._failed: list[int] = []  # numbers of failed trials, ascending
        self._open: list[int] = []  # numbers of trials that had not finished
        self._read = 0

    def before(self, number: int) -> int:
        """Number of trials with a lower number that did not fail."""
        return number - bisect_left(self._failed, number)

    def update(self, trials: Sequence[FrozenTrial], number: int) -> None:
        """Read trials that are new or were running, except for trial ``number``, which is being proposed."""
        news = [*self._open, *range(self._read, len(trials))]
        self._open, self._read = [], len(trials)
        for trial in (trials[k] for k in news):
            if not trial.state.is_finished():
                self._open.append(trial.number)
            if trial.number == number:
                continue
            if trial.state == TrialState.FAIL:
                insort(self._failed, trial.number)
            row = self.encoding.row(trial)
            if row is None:
                continue
            self.taken.add(row.tobytes())
            if trial.state != TrialState.FAIL:
                self.held[row.tobytes()] = row
            if trial.state in FINISHED and trial.datetime_complete:
                insort(self.finished, (trial.datetime_complete.timestamp(), trial.number, row, trial))


def _merit(trial: FrozenTrial, sign: float) -> tuple[float, float, float]:
    """Sort key of trials: completed before pruned, then less violation of constraints, then the better value."""
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return 0.0, 0.0, 0.0
    constraints = getattr(trial, "constraints", None)  # Optuna 5; earlier versions use a list in system_attrs
    values = constraints.values() if constraints else trial.system_attrs.get("constraints") or ()
    return 1.0, -sum(max(0.0, value) for value in values), sign * trial.value


def _ranks(merits: Sequence[tuple[float, float, float]]) -> Floats:
    """Ranks between 0 (worst) and 1 (best), both excluded; equal trials have equal ranks."""
    order = np.unique(np.array(merits), axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(order)
    below = np.cumsum(counts) - counts
    return (below + (counts - 1) / 2 + 0.5)[order] / len(order)


def _common(spaces: Sequence[dict[str, BaseDistribution]]) -> dict[str, BaseDistribution]:
    """Parameters that all spaces contain with the same distribution."""
    first = spaces[0] if spaces else {}
    return {name: first[name] for name in sorted(first) if all(space.get(name) == first[name] for space in spaces)}
