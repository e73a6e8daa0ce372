"""Exact traversal: the paths of the smallest sums of losses within limits on sums of costs, best first.

The parts of a path, such as the stages of DNA, are chosen independently, and losses and costs add up over parts. A
best-first search extends beginnings of paths. It ranks a beginning by its loss plus a lower bound of the rest: the
smallest loss that the remaining parts can have within the remaining budget of each cost. Since the bound is never too
high, complete paths appear in the order of their losses, and none is missed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SLACK = 1e-9  # relative; for rounding of sums of costs


def best_first(
    losses: Sequence[Floats], costs: Sequence[Floats], limits: Sequence[float]
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Yield all selections within the limits, in the order of their losses.

    Args:
        losses: Losses of each part's options; one array of options per part.
        costs: Costs of each part's options, options x kinds of costs.
        limits: Largest sum of each kind of costs; infinity for none. Rounding is tolerated, so compare exactly after.

    Yields:
        The sum of the losses, and the option of each part.
    """
    slack = [limit * (1 + SLACK) if limit > 0 else limit for limit in limits]
    bounds = [_Rest(losses[part:], costs[part:], len(limits)) for part in range(1, len(losses) + 1)]
    queue: list[tuple[float, int, float, tuple[int, ...], tuple[float, ...]]] = []
    siblings: list[tuple[Floats, NDArray[np.int64], float, tuple[float, ...], tuple[int, ...]]] = []

    def push_next(group: int, rank: int) -> None:
        """Put the option of the given rank into the queue; those after it follow when it is taken."""
        estimates, order, _, spent, chosen = siblings[group]
        if rank < len(order) and math.isfinite(estimates[rank]):
            heapq.heappush(queue, (float(estimates[rank]), group, rank, chosen, spent))

    def extend(loss: float, spent: tuple[float, ...], chosen: tuple[int, ...]) -> None:
        """Rank the options of the next part."""
        part = len(chosen)
        left = np.array(slack) - np.array(spent) - costs[part]  # options x kinds
        estimates = loss + losses[part] + bounds[part].smallest(left)
        order = np.argsort(estimates, kind="stable")
        siblings.append((estimates[order], order, loss, spent, chosen))
        push_next(len(siblings) - 1, 0)

    extend(0.0, (0.0,) * len(limits), ())
    while queue:
        _, group, rank, chosen, spent = heapq.heappop(queue)
        _, order, loss, *_ = siblings[group]
        push_next(group, int(rank) + 1)
        option = int(order[int(rank)])
        part = len(chosen)
        total = loss + float(losses[part][option])
        if part + 1 == len(losses):
            yield total, (*chosen, option)
        else:
            extend(
                total, tuple(s + float(c) for s, c in zip(spent, costs[part][option], strict=True)), (*chosen, option)
            )


class _Rest:
    """Lower bounds of the loss of some parts within a budget, for each kind of costs alone."""

    def __init__(self, losses: Sequence[Floats], costs: Sequence[Floats], kinds: int):
        self.fronts = []
        for kind in range(kinds):
            cost, loss = np.zeros(1), np.zeros(1)
            for more_loss, more_cost in zip(losses, costs, strict=True):
                option_cost, option_loss = _front(more_cost[:, kind], more_loss)
                cost, loss = _front(np.add.outer(cost, option_cost).ravel(), np.add.outer(loss, option_loss).ravel())
            self.fronts.append((cost, loss))

    def smallest(self, budgets: Floats) -> Floats:
        """Smallest loss within each budget, options x kinds; infinite where nothing fits."""
        found = np.full(len(budgets), -np.inf)
        for kind, (cost, loss) in enumerate(self.fronts):
            place = np.searchsorted(cost, budgets[:, kind], side="right") - 1
            found = np.maximum(found, np.where(place >= 0, loss[np.maximum(place, 0)], np.inf))
        return found


def _front(cost: Floats, loss: Floats) -> tuple[Floats, Floats]:
    """The pairs that no other pair undercuts in both, by rising cost and falling loss."""
    order = np.lexsort((loss, cost))
    cost, loss = cost[order], loss[order]
    best = np.minimum.accumulate(loss)
    keep = np.concatenate([[True], loss[1:] < best[:-1]])
    return cost[keep], loss[keep]
