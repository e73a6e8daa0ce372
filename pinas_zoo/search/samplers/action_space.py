"""Action Space (the paper's reference [53]) as an Optuna sampler: learn where good candidates are, propose from there.

Wang et al., "Sample-Efficient Neural Architecture Search by Learning Action Space" (LaNAS): a tree splits the space
into good and bad regions by linear models of the score; a walk by UCB picks a leaf, which the next candidate is drawn
from. Here many of the leaf are ranked by a local model, an idea of LA-MCTS (Wang et al., NeurIPS 2020), and the best is
taken; ``ranked=False`` is the uniform draw of the former.

A proposal is a function of the seed and the study's trials: nothing else is kept but caches, so a study that is loaded
again goes on as it would have. Trials that run count as taken, so batches and many workers do not collide.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from pinas_zoo.search.samplers.action_tree import ActionTree, LocalModel

Floats = NDArray[np.float64]
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
POOL = 2048  # candidates that are ranked in a leaf
WHOLE = 16384  # spaces up to this size are ranked whole
DRAWS, DRAWS_BOUNDED = 64, 4096  # uniform draws before a systematic scan; where not all may be proposed
SCAN = 4096  # codes a step of that scan


class ActionSpaceSampler(BaseSampler):
    """Learned action space over categorical, integer and float parameters; one objective.

    Parameters that not all trials have (conditional ones), or whose range changes, are drawn uniformly. Pruned trials
    rank below completed ones, trials that violate a constraint below those that do not. In a finite space no candidate
    comes twice while there are others; failed ones count as seen.

    Args:
        seed: Of all draws; None for a random one.
        n_startup_trials: Uniform draws first. The released Pi-NAS code has 80; 20 do better where few can be evaluated
            (benchmarks/samplers.py).
        rebuild_every: Finished trials between two trees.
        height: Splits from root to leaf; one more at 400, 800, 1600 and 3200 finished trials.
        exploration: Constant of UCB, in units of ranks (0 the worst trial, 1 the best).
        ranked: Take the best of the leaf by a local model; or else a uniform draw from it.
        search_space: Known beforehand, so that the first trials do not repeat each other either.
        feasible: Parameters to whether they may be proposed at all; asked of one candidate at a time.
    """

    def __init__(
        self,
        seed: int | None = None,
        n_startup_trials: int = 20,
        rebuild_every: int = 8,
        height: int = 3,
        exploration: float = 0.2,
        ranked: bool = True,
        search_space: dict[str, BaseDistribution] | None = None,
        feasible: Callable[[dict[str, Any]], bool] | None = None,
    ):
        if n_startup_trials < 0 or rebuild_every < 1 or height < 1:
            raise ValueError(
                "expected n_startup_trials >= 0, rebuild_every >= 1 and height >= 1, "
                f"got {n_startup_trials}, {rebuild_every} and {height}"
            )
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self.n_startup_trials, self.rebuild_every = n_startup_trials, rebuild_every
        self.height, self.exploration, self.ranked = height, exploration, ranked
        self.search_space, self.feasible = search_space, feasible
        self._intersection = IntersectionSearchSpace(include_pruned=True)
        self._history: _History | None = None

    def reseed_rng(self) -> None:
        """Nothing to do: draws differ by trial number."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._raise_error_if_multi_objective(study)
        space = self.search_space or self._intersection.calculate(study)
        if not space:  # nothing has finished: what others run tells as much
            running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            space = _common([t.distributions for t in running if t.number != trial.number and t.distributions])
        return {name: distribution for name, distribution in space.items() if not distribution.single()}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        self._raise_error_if_multi_objective(study)
        rng = np.random.default_rng([self.seed, trial.number, zlib.crc32(param_name.encode())])
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
            history = self._history = _History(study._study_id, Encoding(search_space))
        history.update(study.get_trials(deepcopy=False), trial.number)
        sign = -1.0 if study.direction == StudyDirection.MINIMIZE else 1.0
        before = history.before(trial.number)
        rng = np.random.default_rng([self.seed, before])
        row = None
        if before >= self.n_startup_trials and len(history.finished) >= 2:
            row = self._from_tree(history, sign)
        if row is None:
            row = self._unseen(history, rng)
        return history.encoding.params(row)

    # how a candidate is drawn ----------------------------------------------------------------------------------------

    def _from_tree(self, history: _History, sign: float) -> Floats | None:
        """The best untaken candidate of the leaf that UCB picks, or of the next leaf where none is left."""
        count = len(history.finished)
        since = count - self.n_startup_trials
        fitted = count - (since if since >= 0 else count) % self.rebuild_every
        if fitted < 2:
            return None
        if history.plan is None or history.plan.fitted != fitted:
            history.plan = self._plan(history, fitted, sign)
        plan = history.plan
        later = [row for key, row in history.held.items() if key not in plan.keys]
        plan.tree.visit(history.encoding.features(np.array(later)) if later else None)
        for leaf in plan.tree.leaves(self.exploration):
            if leaf not in plan.order:
                plan.order[leaf] = self._order(history, plan, leaf)
            for row in plan.order[leaf]:
                if row.tobytes() not in history.taken and self._may(history, row):
                    return row
        return None

    def _plan(self, history: _History, fitted: int, sign: float) -> _Plan:
        rows = np.array([row for _, _, row, _ in history.finished[:fitted]])
        rank = _ranks([_merit(trial, sign) for *_, trial in history.finished[:fitted]])
        features = history.encoding.features(rows)
        height = self.height + sum(fitted >= grown for grown in (400, 800, 1600, 3200))
        plan = _Plan(fitted, {row.tobytes() for row in rows}, rows, ActionTree(features, rank, height))
        plan.model = LocalModel(features, rank) if self.ranked else None
        return plan

    def _order(self, history: _History, plan: _Plan, leaf: int) -> Floats:
        """Candidates of a leaf, those to take first at the front."""
        rng = np.random.default_rng([self.seed, plan.fitted, leaf, 1])
        encoding = history.encoding
        if encoding.size <= WHOLE:
            pool, features = encoding.all()
            if plan.leaf_of_all is None:
                plan.leaf_of_all = plan.tree.apply(features)
            inside = plan.leaf_of_all == leaf
        else:
            members = plan.rows[plan.tree.members(leaf)]
            pool = np.concatenate([encoding.uniform(rng, POOL // 4), encoding.offspring(rng, members, 3 * POOL // 4)])
            features = encoding.features(pool)
            inside = plan.tree.apply(features) == leaf
        pool, features = pool[inside], features[inside]
        if plan.model is None:
            return rng.permutation(pool)
        return pool[np.argsort(-plan.model.mean(features), kind="stable")]

    def _unseen(self, history: _History, rng: np.random.Generator) -> Floats:
        """A uniform draw that has not been taken; exact for finite spaces, and the last draw where all are taken."""
        encoding, row = history.encoding, None
        for row in encoding.uniform(rng, DRAWS if self.feasible is None else DRAWS_BOUNDED):
            if row.tobytes() not in history.taken and self._may(history, row):
                return row
        if math.isfinite(encoding.size) and encoding.size < 2**62:
            size, start = int(encoding.size), int(rng.integers(int(encoding.size)))
            # of any len(taken) + 1 codes one at least is free; a constraint may shut out more
            stop = min(size, len(history.taken) + 1 if self.feasible is None else max(WHOLE, 2 * len(history.taken)))
            for first in range(0, stop, SCAN):
                codes = (start + np.arange(first, min(first + SCAN, stop))) % size
                for free in encoding.decode(codes):
                    if free.tobytes() not in history.taken and self._may(history, free):
                        return free
        assert row is not None
        return row

    def _may(self, history: _History, row: Floats) -> bool:
        return self.feasible is None or self.feasible(history.encoding.params(row))


@dataclass
class _Plan:
    """A tree and what it was built from; the order of each leaf is filled in when it is first picked."""

    fitted: int
    keys: set[bytes]
    rows: Floats
    tree: ActionTree
    model: LocalModel | None = None
    order: dict[int, Floats] = field(default_factory=dict)
    leaf_of_all: NDArray[np.int64] | None = None  # where the space is ranked whole


class _History:
    """A study's trials as rows; a finished one is read once."""

    def __init__(self, study_id: int, encoding: Encoding):
        self.study_id, self.encoding = study_id, encoding
        self.plan: _Plan | None = None
        self.finished: list[tuple[float, int, Floats, FrozenTrial]] = []  # in the order in which they finished
        self.taken: set[bytes] = set()
        self.held: dict[bytes, Floats] = {}  # taken by trials that did not fail
        self._failed: list[int] = []  # their numbers, ascending
        self._open: list[int] = []  # numbers of trials that had not finished
        self._read = 0

    def before(self, number: int) -> int:
        """Trials with a lower number that did not fail."""
        return number - bisect_left(self._failed, number)

    def update(self, trials: Sequence[FrozenTrial], number: int) -> None:
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


class Encoding:
    """Parameters as rows of numbers: the index of a choice or of a step of the grid, 0..1 for what is continuous."""

    def __init__(self, space: dict[str, BaseDistribution]):
        self.space = space
        self.counts = [_count(distribution) for distribution in space.values()]
        self.size = math.prod(self.counts)  # inf for a continuous parameter
        self._all: tuple[Floats, Floats] | None = None

    def uniform(self, rng: np.random.Generator, n: int) -> Floats:
        """n x parameters, uniform over choices and over the (logarithmic) range."""
        unit = rng.random((n, len(self.space)))
        columns = [_from_unit(d, unit[:, k]) for k, d in enumerate(self.space.values())]
        return np.ascontiguousarray(np.stack(columns, 1))

    def offspring(self, rng: np.random.Generator, parents: Floats, n: int) -> Floats:
        """Two parents mixed, then each parameter drawn anew with probability 1/parameters: n x parameters."""
        pairs = parents[rng.integers(len(parents), size=(2, n))]  # 2 x n x parameters
        children = np.where(rng.random(pairs.shape[1:]) < 0.5, pairs[0], pairs[1])
        fresh = self.uniform(rng, n)
        children = np.where(rng.random(children.shape) < 1 / len(self.space), fresh, children)
        return np.ascontiguousarray(children)

    def all(self) -> tuple[Floats, Floats]:
        """The whole finite space: size x parameters, size x features."""
        if self._all is None:
            rows = self.decode(np.arange(int(self.size)))
            self._all = rows, self.features(rows)
        return self._all

    def decode(self, codes: NDArray[np.int64]) -> Floats:
        """Rows of a finite space by number."""
        columns = []
        for count in reversed(self.counts):
            codes, column = np.divmod(codes, int(count))
            columns.append(column)
        return np.ascontiguousarray(np.stack(columns[::-1], 1), dtype=np.float64)

    def features(self, rows: Floats) -> Floats:
        """Choices one-hot, numbers scaled to 0..1; n x features."""
        parts = []
        for k, (distribution, count) in enumerate(zip(self.space.values(), self.counts, strict=True)):
            column = rows[:, k]
            if isinstance(distribution, CategoricalDistribution):
                parts.append(np.eye(int(count))[column.astype(int)])
            else:
                parts.append(_to_unit(distribution, column)[:, None])
        return np.concatenate(parts, 1)

    def row(self, trial: FrozenTrial) -> Floats | None:
        """Of a trial that has all parameters within the space, or else None."""
        values = []
        for name, distribution in self.space.items():
            if name not in trial.params:
                return None
            value = trial.distributions[name].to_internal_repr(trial.params[name])
            if not distribution._contains(value):
                return None
            values.append(_index(distribution, value))
        return np.array(values, dtype=np.float64)

    def params(self, row: Floats) -> dict[str, Any]:
        return {name: _value(d, float(row[k])) for k, (name, d) in enumerate(self.space.items())}


def _count(distribution: BaseDistribution) -> float:
    """Number of values."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if distribution.step is None:
        return math.inf
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _bounds(distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Of the range that is drawn from: half a step beyond the grid's ends, in logarithms where the range has them."""
    half = (distribution.step or 0) / 2
    low, high = distribution.low - half, distribution.high + half
    return (math.log(low), math.log(high)) if distribution.log else (low, high)


def _from_unit(distribution: BaseDistribution, unit: Floats) -> Floats:
    if isinstance(distribution, CategoricalDistribution):
        return np.floor(unit * len(distribution.choices))
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if distribution.step is None:
        return unit
    low, high = _bounds(distribution)
    value = low + unit * (high - low)
    value = np.exp(value) if distribution.log else value
    return np.clip(np.rint((value - distribution.low) / distribution.step), 0, _count(distribution) - 1)


def _to_unit(distribution: BaseDistribution, column: Floats) -> Floats:
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if distribution.step is None:
        return column
    low, high = _bounds(distribution)
    value = distribution.low + column * distribution.step
    return ((np.log(value) if distribution.log else value) - low) / (high - low)


def _index(distribution: BaseDistribution, value: float) -> float:
    """Optuna's internal value to that of a row."""
    if isinstance(distribution, CategoricalDistribution):
        return value
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if distribution.step is not None:
        return round((value - distribution.low) / distribution.step)
    low, high = _bounds(distribution)
    return ((math.log(value) if distribution.log else value) - low) / (high - low)


def _value(distribution: BaseDistribution, index: float) -> Any:
    """That of a row to a parameter's."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(index)]
    if isinstance(distribution, IntDistribution):
        return distribution.low + int(index) * distribution.step
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is not None:
        return min(distribution.low + index * distribution.step, distribution.high)
    low, high = _bounds(distribution)
    value = low + index * (high - low)
    return min(max(math.exp(value) if distribution.log else value, distribution.low), distribution.high)


def _merit(trial: FrozenTrial, sign: float) -> tuple[float, float, float]:
    """What trials are ranked by: first completed or pruned, then the violation of constraints, then the value."""
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return 0.0, 0.0, 0.0
    constraints = getattr(trial, "constraints", None)  # of Optuna 5; before, a list in the system attributes
    values = constraints.values() if constraints else trial.system_attrs.get("constraints") or ()
    return 1.0, -sum(max(0.0, value) for value in values), sign * trial.value


def _ranks(merits: Sequence[tuple[float, float, float]]) -> Floats:
    """0 for the worst to 1 for the best, the same for equals."""
    order = np.unique(np.array(merits), axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(order)
    below = np.cumsum(counts) - counts
    return (below + (counts - 1) / 2 + 0.5)[order] / len(order)


def _common(spaces: Sequence[dict[str, BaseDistribution]]) -> dict[str, BaseDistribution]:
    """Parameters that all have, with the same distribution."""
    first = spaces[0] if spaces else {}
    return {name: first[name] for name in sorted(first) if all(space.get(name) == first[name] for space in spaces)}
