"""The models of the Action Space sampler: a tree of splits into good and bad, a Gaussian process that ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtri

Floats = NDArray[np.float64]
Split = Literal["linear", "median"]
MIN_LEAF = 4  # smallest number of trials in a leaf
BOOSTS = 50  # number of boosted trees of a median split
RIDGE = 1.0  # penalty of the splits' weights
LENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0)  # candidate length scales of the local model's kernel, in changed choices
NOISES = (0.01, 0.03, 0.1, 0.3)  # candidate noise variances, relative to the kernel's
FEW = 200  # number of trials on which length and noise are selected
MANY = 512  # largest number of trials in the local model: the best, and an even selection of the others


@dataclass
class _Node:
    members: NDArray[np.int64]
    value: float  # mean rank of the members
    visits: float
    weights: Floats | None = None  # of a linear split
    offset: float = 0.0
    classifier: Any = None  # of a median split
    children: tuple[int, int] | None = None  # good, bad; None for a leaf

    def good(self, features: Floats) -> NDArray[np.bool_]:
        """Whether each row goes to the good child: n x features to n."""
        if self.classifier is not None:
            return self.classifier.predict(features)
        assert self.weights is not None  # every node that is asked has learned a split
        return features @ self.weights > self.offset


class ActionTree:
    """A tree whose nodes learn to split their trials into good and bad ones.

    A linear split fits a ridge regression to the ranks; predictions above the mean go to the good child. A median split
    fits gradient-boosted trees to whether a trial is above the median of the node.

    Args:
        features: trials x features.
        rank: Ranks of the trials in 0..1; higher is better.
        height: Largest number of splits from the root to a leaf.
        split: Kind of the splits.
    """

    def __init__(self, features: Floats, rank: Floats, height: int, split: Split = "linear"):
        self.nodes: list[_Node] = []
        self._fit = _fit_linear if split == "linear" else _fit_median
        self._build(features, rank, np.arange(len(rank)), height)
        self._counts = [node.visits for node in self.nodes]

    def _build(self, features: Floats, rank: Floats, members: NDArray[np.int64], height: int) -> int:
        index, node = len(self.nodes), _Node(members, float(rank[members].mean()), len(members))
        self.nodes.append(node)
        if height and len(members) >= 2 * MIN_LEAF:
            self._fit(node, features[members], rank[members])
            good = node.good(features[members])
            if MIN_LEAF <= good.sum() <= len(good) - MIN_LEAF:
                node.children = (
                    self._build(features, rank, members[good], height - 1),
                    self._build(features, rank, members[~good], height - 1),
                )
        return index

    def apply(self, features: Floats) -> NDArray[np.int64]:
        """Index of the leaf of each row: n x features to n."""
        leaf = np.zeros(len(features), dtype=np.int64)
        for index, node in enumerate(self.nodes):  # parents come before their children
            if node.children is not None:
                here = np.flatnonzero(leaf == index)
                if len(here):
                    leaf[here] = np.where(node.good(features[here]), *node.children)
        return leaf

    def members(self, leaf: int) -> NDArray[np.int64]:
        """Indices of the trials in a leaf."""
        return self.nodes[leaf].members

    def visit(self, features: Floats | None) -> None:
        """Add candidates that were proposed after the tree was built to the visits of their nodes.

        Args:
            features: All such candidates, n x features; None if there are none.
        """
        for node, count in zip(self.nodes, self._counts, strict=True):
            node.visits = count
        if features is None:
            return
        leaf = self.apply(features)
        for index in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[index]
            if node.children is None:
                node.visits += int((leaf == index).sum())
            else:
                node.visits = sum(self.nodes[child].visits for child in node.children)

    def leaves(self, exploration: float, index: int = 0) -> Iterator[int]:
        """Iterate over all leaves depth first, the child with the greater UCB first.

        Args:
            exploration: Exploration constant of UCB.
            index: Node at which to start.
        """
        node = self.nodes[index]
        if node.children is None:
            yield index
            return

        def bound(child: int) -> float:
            visits = self.nodes[child].visits
            return self.nodes[child].value + exploration * float(np.sqrt(2 * np.log(node.visits) / visits))

        for child in sorted(node.children, key=bound, reverse=True):
            yield from self.leaves(exploration, child)


def _fit_linear(node: _Node, x: Floats, rank: Floats) -> None:
    """Fit a ridge regression to the ranks."""
    mean = x.mean(0)
    x, y = x - mean, rank - rank.mean()
    node.weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    node.offset = float(mean @ node.weights)


def _fit_median(node: _Node, x: Floats, rank: Floats) -> None:
    """Fit gradient-boosted trees to whether a rank is above the median, or is the median if none is above."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes a second to import

    middle = np.median(rank)
    above = rank > middle if (rank > middle).any() else rank >= middle
    if above.all():  # nothing to learn: no row is good, so the node stays a leaf
        node.weights = np.zeros(x.shape[1])
        return
    node.classifier = HistGradientBoostingClassifier(max_iter=BOOSTS, min_samples_leaf=MIN_LEAF, random_state=0)
    node.classifier.fit(x, above)


class LocalModel:
    """Gaussian process on the normal scores of ranks. Its kernel depends on the number of choices that differ.

    The length scale and the noise maximise the marginal likelihood on at most ``FEW`` trials.

    Args:
        features: trials x features.
        rank: Ranks of the trials, strictly between 0 and 1; higher is better.
    """

    def __init__(self, features: Floats, rank: Floats):
        order = np.argsort(-rank, kind="stable")
        self.features = features[_spread(order, MANY)]
        target = ndtri(rank[_spread(order, MANY)])
        few = _spread(np.arange(len(target)), FEW)
        length, noise = _fit(_distances(self.features[few], self.features[few]), target[few])
        kernel = np.exp(-_distances(self.features, self.features) / length)
        self.length, self.centre = length, float(target.mean())
        self.alpha = cho_solve(cho_factor(kernel + noise * np.eye(len(target))), target - self.centre)
        # fp32 is sufficient for ranking
        self.features, self.alpha = self.features.astype(np.float32), self.alpha.astype(np.float32)

    def mean(self, features: Floats) -> NDArray[np.float32]:
        """Expected normal score of each row: n x features to n."""
        distances = _distances(features.astype(np.float32), self.features)
        return self.centre + np.exp(distances * np.float32(-1 / self.length)) @ self.alpha


def _spread(order: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Select ``most`` entries: the first ``most // 2``, and an even selection of the rest. A shorter order is kept."""
    if len(order) <= most:
        return order
    rest = order[most // 2 :]
    return np.concatenate([order[: most // 2], rest[np.linspace(0, len(rest) - 1, most - most // 2).astype(int)]])


def _distances(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Half the squared distances of rows, n x m. With one-hot choices this is the number of choices that differ."""
    square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.maximum(square, 0) / 2


def _fit(distances: Floats, target: Floats) -> tuple[float, float]:
    """Select the length scale and the noise of the largest marginal likelihood."""
    target, best = target - target.mean(), (-np.inf, LENGTHS[0], NOISES[-1])
    for length in LENGTHS:
        values, vectors = np.linalg.eigh(np.exp(-distances / length))
        squares = (vectors.T @ target) ** 2
        for noise in NOISES:
            spectrum = np.maximum(values, 0) + noise
            scale = np.mean(squares / spectrum) + 1e-12
            likelihood = -len(target) * np.log(scale) - np.log(spectrum).sum()
            best = max(best, (likelihood, length, noise))
    return best[1], best[2]
