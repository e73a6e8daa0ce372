"""Action Space as an Optuna sampler, the paper's reference [53]: Wang et al., "Sample-Efficient Neural Architecture
Search by Learning Action Space" (LaNAS).

A tree of linear models of the score splits the space into good and bad regions. UCB selects a leaf of the tree, from
which the next candidate is drawn. LaNAS draws it uniformly (``ranked=False``). By default, this sampler ranks many
candidates of the leaf by a local model and takes the best, as in LA-MCTS (Wang et al., NeurIPS 2020). The arguments of
the released Pi-NAS code are the preset ``authors`` of :class:`pinas_zoo.search.config.ActionSpace`.

A proposal depends only on the seed and the trials of the study, apart from caches. A study that is loaded again
therefore continues with the same proposals. Architectures of running trials are not proposed again, so batches and
parallel workers do not collide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution

from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.samplers.action_tree import ActionTree, LocalModel, Split
from pinas_zoo.search.samplers.encoding import Encoding, Floats
from pinas_zoo.search.samplers.study_sampler import WHOLE, History, Plan, StudySampler

POOL = 2048  # candidates that are drawn and ranked for a leaf


class ActionSpaceSampler(StudySampler):
    """Sampler that learns an action space over categorical, integer and float parameters, for one objective.

    Conditional parameters, which not all trials have, and parameters whose range changes are drawn uniformly. Pruned
    trials rank below completed ones, and trials that violate a constraint below those that do not. In a finite space,
    no candidate is proposed twice while others remain; failed candidates count as proposed.

    Args:
        seed: Seed of all draws. None: a random seed.
        n_startup_trials: Number of uniform draws before the first tree. The released Pi-NAS code uses 80; 20 is better
            for small numbers of evaluations (benchmarks/samplers.py).
        rebuild_every: Number of finished trials after which the tree is rebuilt.
        height: Number of splits from the root to a leaf. It increases by one at 400, 800, 1600 and 3200 finished
            trials.
        exploration: Exploration constant of UCB, in units of ranks (0: worst trial, 1: best trial).
        ranked: Whether to take the best candidate of a leaf by a local model, instead of a uniform draw.
        split: Kind of the tree's splits: ``linear`` models of the score, as in LaNAS, or ``median``, classifiers of
            whether a trial is above its node's median, as in the released Pi-NAS code.
        search_space: The search space, if it is known in advance. The startup trials are then distinct, too.
        feasible: Function from parameters to whether they may be proposed. It is called for one candidate at a time.

    Raises:
        ValueError: ``n_startup_trials``, ``rebuild_every`` or ``height`` is out of range.

    Example:
        >>> import optuna
        >>> from pinas_zoo.search import ActionSpaceSampler
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> study = optuna.create_study(sampler=ActionSpaceSampler(seed=0))
        >>> study.optimize(lambda trial: sum(trial.suggest_int(f"x{k}", 0, 9) ** 2 for k in range(4)), n_trials=100)
        >>> study.best_value
        0.0
    """

    def __init__(
        self,
        seed: int | None = None,
        n_startup_trials: int = 20,
        rebuild_every: int = 8,
        height: int = 3,
        exploration: float = 0.2,
        ranked: bool = True,
        split: Split = "linear",
        search_space: dict[str, BaseDistribution] | None = None,
        feasible: Callable[[dict[str, Any]], bool] | None = None,
    ):
        if n_startup_trials < 0 or rebuild_every < 1 or height < 1:
            raise ValueError(
                "expected n_startup_trials >= 0, rebuild_every >= 1 and height >= 1, "
                f"got {n_startup_trials}, {rebuild_every} and {height}"
            )
        super().__init__(seed, n_startup_trials, rebuild_every, search_space, feasible)
        self.height, self.exploration, self.ranked, self.split = height, exploration, ranked, split

    def _plan(self, encoding: Encoding, rows: Floats, merits: Floats) -> TreePlan:
        features, fitted = encoding.features(rows), len(rows)
        height = self.height + sum(fitted >= grown for grown in (400, 800, 1600, 3200))
        tree = ActionTree(features, merits, height, self.split)
        model = LocalModel(features, merits) if self.ranked else None
        return TreePlan(self.seed, rows, tree, model, self.exploration)


class TreePlan(Plan):
    """A tree and the trials from which it was built. The order of a leaf is computed when it is first selected.

    Args:
        seed: Seed of the candidates that are drawn.
        rows: The trials' parameters, trials x parameters.
        tree: The tree.
        model: Ranks the candidates of a leaf; None: their order is random.
        exploration: Exploration constant of UCB.
    """

    def __init__(self, seed: int, rows: Floats, tree: ActionTree, model: LocalModel | None, exploration: float):
        super().__init__(len(rows), {row.tobytes() for row in rows})
        self.seed, self.rows, self.tree, self.model, self.exploration = seed, rows, tree, model, exploration
        self.order: dict[int, Floats] = {}
        self.leaf_of_all: NDArray[np.int64] | None = None  # leaf of each candidate, if the space is ranked completely

    def proposals(self, history: History) -> Iterator[Floats]:
        """Candidates of the leaf that UCB selects, then of the next leaf."""
        later = [row for key, row in history.held.items() if key not in self.keys]
        self.tree.visit(history.encoding.features(np.array(later)) if later else None)
        for leaf in self.tree.leaves(self.exploration):
            if leaf not in self.order:
                self.order[leaf] = self._ordered(history.encoding, leaf)
            yield from self.order[leaf]

    def _ordered(self, encoding: Encoding, leaf: int) -> Floats:
        """Candidates of a leaf in the order in which they are proposed: n x parameters."""
        rng = step_rng(self.seed, self.fitted, Stream.LEAF_CANDIDATES, leaf)
        if encoding.size <= WHOLE:
            pool, features = encoding.all()
            if self.leaf_of_all is None:
                self.leaf_of_all = self.tree.apply(features)
            inside = self.leaf_of_all == leaf
        else:
            members = self.rows[self.tree.members(leaf)]
            pool = np.concatenate([encoding.uniform(rng, POOL // 4), encoding.offspring(rng, members, 3 * POOL // 4)])
            features = encoding.features(pool)
            inside = self.tree.apply(features) == leaf
        pool, features = pool[inside], features[inside]
        if self.model is None:
            return rng.permutation(pool)
        return pool[np.argsort(-self.model.mean(features), kind="stable")]
