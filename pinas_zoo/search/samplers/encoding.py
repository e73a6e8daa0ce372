"""Parameters of an Optuna study as rows of numbers, and as features of linear models."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

Floats = NDArray[np.float64]


class Encoding:
    """Encodes parameters as rows of numbers.

    An entry is the index of a categorical choice or of a grid step, or a number in 0..1 for a continuous parameter.
    """

    def __init__(self, space: dict[str, BaseDistribution]):
        self.space = space
        self.counts = [_count(distribution) for distribution in space.values()]
        self.size = math.prod(self.counts)  # inf for a continuous parameter
        self._all: tuple[Floats, Floats] | None = None

    def uniform(self, rng: np.random.Generator, n: int) -> Floats:
        """Draw n rows, uniform over choices and over (logarithmic) ranges: n x parameters."""
        unit = rng.random((n, len(self.space)))
        columns = [_from_unit(d, unit[:, k]) for k, d in enumerate(self.space.values())]
        return np.ascontiguousarray(np.stack(columns, 1))

    def offspring(self, rng: np.random.Generator, parents: Floats, n: int) -> Floats:
        """Uniform crossover of random pairs of parents, then mutation of each parameter with probability 1/parameters.

        Returns:
            n x parameters.
        """
        pairs = parents[rng.integers(len(parents), size=(2, n))]  # 2 x n x parameters
        children = np.where(rng.random(pairs.shape[1:]) < 0.5, pairs[0], pairs[1])
        fresh = self.uniform(rng, n)
        children = np.where(rng.random(children.shape) < 1 / len(self.space), fresh, children)
        return np.ascontiguousarray(children)

    def all(self) -> tuple[Floats, Floats]:
        """All candidates of a finite space as rows, size x parameters, and as features, size x features."""
        if self._all is None:
            rows = self.decode(np.arange(int(self.size)))
            self._all = rows, self.features(rows)
        return self._all

    def decode(self, codes: NDArray[np.int64]) -> Floats:
        """Rows of a finite space by index: n to n x parameters."""
        columns = []
        for count in reversed(self.counts):
            codes, column = np.divmod(codes, int(count))
            columns.append(column)
        return np.ascontiguousarray(np.stack(columns[::-1], 1), dtype=np.float64)

    def features(self, rows: Floats) -> Floats:
        """One-hot choices and numbers scaled to 0..1: n x parameters to n x features."""
        parts = []
        for k, (distribution, count) in enumerate(zip(self.space.values(), self.counts, strict=True)):
            column = rows[:, k]
            if isinstance(distribution, CategoricalDistribution):
                parts.append(np.eye(int(count))[column.astype(int)])
            else:
                parts.append(_to_unit(distribution, column)[:, None])
        return np.concatenate(parts, 1)

    def row(self, trial: FrozenTrial) -> Floats | None:
        """Encode the parameters of a trial; None if one is missing or outside the space."""
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
        """Decode a row to parameters."""
        return {name: _value(d, float(row[k])) for k, (name, d) in enumerate(self.space.items())}


def _count(distribution: BaseDistribution) -> float:
    """Number of values of a parameter; infinite for a continuous one."""
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if distribution.step is None:
        return math.inf
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _bounds(distribution: IntDistribution | FloatDistribution) -> tuple[float, float]:
    """Range from which values are drawn: half a step beyond the grid's ends, as logarithms for a logarithmic range."""
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
    """Convert Optuna's internal value to an entry of a row."""
    if isinstance(distribution, CategoricalDistribution):
        return value
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if distribution.step is not None:
        return round((value - distribution.low) / distribution.step)
    low, high = _bounds(distribution)
    return ((math.log(value) if distribution.log else value) - low) / (high - low)


def _value(distribution: BaseDistribution, index: float) -> Any:
    """Convert an entry of a row to the value of the parameter."""
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
