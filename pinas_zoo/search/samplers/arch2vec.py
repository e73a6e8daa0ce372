"""arch2vec: a representation of architectures that is learned without scores, and a search in it.

Yan et al., "Does Unsupervised Architecture Representation Learning Help Neural Architecture Search?", NeurIPS 2020. An
autoencoder of graphs learns embeddings from architectures alone (:mod:`pinas_zoo.search.samplers.graph_autoencoder`).
The paper then searches in two ways: REINFORCE with an LSTM as policy, and Bayesian optimisation with DNGO. This is the
second. It needs no state besides the scores, so an interrupted search resumes from its study, and of the two it finds
the better networks in the paper's experiments on NAS-Bench-201 and DARTS. A round is::

    fit DNGO to the embeddings of scored architectures and their scores
    score the architectures of the pool with the largest expected improvement

The first 16 architectures are random (released code, as are the values of the autoencoder and of DNGO). What differs:

- Scores may have any scale, so DNGO learns their ranks between 0 and 1, and the improvement is that over rank 1. The
  paper regresses accuracies, and its improvement is over 0.95 (1 in the released code for NAS-Bench-201).
- A space of more than 16,384 architectures has a pool of random ones, of which the autoencoder learns. The paper draws
  600,000 for the space of DARTS. The default of 20,000 is our choice, for two cores.
- The architectures that are scored between two fits are those of ``explore.batch``; DNGO is fitted again after five
  more scores, the paper's number of a round. In the released code a round is one architecture on NAS-Bench-201.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from optuna.distributions import BaseDistribution

from pinas_zoo.arch import Arch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.samplers.dngo import DNGO, expected_improvement
from pinas_zoo.search.samplers.encoding import Encoding, Floats
from pinas_zoo.search.samplers.graph_autoencoder import AutoencoderOptions, GraphAutoencoder, pretrained
from pinas_zoo.search.samplers.study_sampler import WHOLE, History, Plan, StudySampler
from pinas_zoo.search.spaces.base import SearchSpace

BEST = 0.5  # rank 1, in ranks that are centred at 0
DRAWS = 64  # draws for each architecture of a pool whose architectures must be feasible, at most


@dataclass(frozen=True)
class _Trained:
    """The pool as rows of choices, its embeddings, and the autoencoder that embeds others."""

    rows: Floats
    embeddings: Floats
    autoencoder: GraphAutoencoder


class LatentSpace:
    """Embeddings of a space's architectures. The autoencoder is trained at the first use, or by :meth:`train`.

    Args:
        space: The search space. Its architectures that may be scored are embedded.
        seed: Seed of the pool and of the autoencoder.
        pool: Number of random architectures that represent a space of more than 16,384.
        options: Size and training of the autoencoder.
        feasible: Function from an architecture to whether it may be scored. Others are not drawn for the pool.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int = 0,
        pool: int = 20_000,
        options: AutoencoderOptions | None = None,
        feasible: Callable[[Arch], bool] | None = None,
    ):
        self.space, self.seed, self.pool, self.feasible = space, seed, pool, feasible
        self.options = options or AutoencoderOptions()
        self.free = [k for k, choices in enumerate(space.choices) if len(choices) > 1]  # layers that a row has
        self._trained: _Trained | None = None

    @property
    def rows(self) -> Floats:
        """The pool: places of the choices in ``space.choices``, for each layer with several; architectures x layers."""
        return self._learned().rows

    @property
    def embeddings(self) -> Floats:
        """Embeddings of the pool, architectures x latent."""
        return self._learned().embeddings

    def embed(self, rows: Floats) -> Floats:
        """Embeddings of any architectures, n x layers to n x latent."""
        found: Floats = self._learned().autoencoder.embed(self.labels(rows)).double().numpy()
        return found

    def labels(self, rows: Floats) -> torch.Tensor:
        """Labels of the nodes of architectures, n x layers to n x (layers + 2).

        Candidates are labelled by their number. Input and output have labels of their own.
        """
        count = self.space.num_candidates
        labels = np.empty((len(rows), self.space.num_layers + 2), dtype=np.int64)
        labels[:, 0], labels[:, -1] = count, count + 1
        for k, choices in enumerate(self.space.choices):
            labels[:, k + 1] = choices[0]
        for column, k in zip(rows.T, self.free, strict=True):
            labels[:, k + 1] = np.array(self.space.choices[k])[column.astype(int)]
        return torch.from_numpy(labels)

    def train(self, bar: bool = False) -> None:
        """Train the autoencoder, unless it is trained. It takes a minute or more on few cores.

        Args:
            bar: Whether to show progress on stderr.
        """
        self._learned(bar)

    def _learned(self, bar: bool = False) -> _Trained:
        if self._trained is None:
            rows = self._pool()
            labels = self.labels(rows)
            operations = self.space.num_candidates + 2
            model = pretrained(self.space.graph(), labels, operations, self.options, latent_seed(self.seed), bar)
            self._trained = _Trained(rows, model.embed(labels).double().numpy(), model)
        return self._trained

    def _pool(self) -> Floats:
        """All architectures of a small space, or different random ones: n x layers."""
        counts = [len(self.space.choices[k]) for k in self.free]
        if self.space.size <= WHOLE:
            return np.array(list(itertools.product(*map(range, counts))), dtype=np.float64)
        rng, found = step_rng(self.seed, 0, Stream.LATENT_POOL), dict[bytes, None]()  # without the rows of a draw
        for _ in range(1 if self.feasible is None else DRAWS):
            for row in rng.integers(counts, size=(self.pool, len(counts))).astype(np.float64):
                if self.feasible is None or self.feasible(self.arch(row)):
                    found[row.tobytes()] = None
            if len(found) >= self.pool:
                break
        if not found:  # learned from any: no draw is within the limits, and the sampler finds those that are
            return rng.integers(counts, size=(self.pool, len(counts))).astype(np.float64)
        return np.frombuffer(b"".join(list(found)[: self.pool])).reshape(-1, len(counts))

    def arch(self, row: Floats) -> Arch:
        """The architecture of a row."""
        return Arch(tuple(self.labels(row[None])[0, 1:-1].tolist()))


def latent_seed(seed: int) -> int:
    """The seed of torch's generator for the autoencoder."""
    return int(step_rng(seed, 0, Stream.LATENT_SPACE).integers(2**62))


class Arch2VecSampler(StudySampler):
    """arch2vec's Bayesian optimisation as an Optuna sampler, over one categorical parameter per layer.

    Args:
        latent: The embeddings of the space. Samplers may share them.
        seed: Seed of random architectures and of DNGO. None: a random seed.
        n_startup_trials: Number of random architectures before the first fit.
        rebuild_every: Number of finished trials after which DNGO is fitted again.
        search_space: The parameters, in the order of the layers. The choices are those of ``space.choices``, in their
            order.
        feasible: Function from parameters to whether they may be proposed.

    Raises:
        ValueError: ``n_startup_trials`` or ``rebuild_every`` is out of range.
    """

    def __init__(
        self,
        latent: LatentSpace,
        seed: int | None = None,
        n_startup_trials: int = 16,
        rebuild_every: int = 5,
        search_space: dict[str, BaseDistribution] | None = None,
        feasible: Callable[[dict[str, Any]], bool] | None = None,
    ):
        super().__init__(seed, n_startup_trials, rebuild_every, search_space, feasible)
        self.latent = latent

    def _plan(self, encoding: Encoding, rows: Floats, merits: Floats) -> Plan:
        rng = step_rng(self.seed, len(rows), Stream.LATENT_REGRESSION)
        model = DNGO(self.latent.embed(rows), merits - 0.5, rng)
        improvement = expected_improvement(*model.predict(self.latent.embeddings), BEST)
        order = np.argsort(-improvement, kind="stable")
        return _Round(len(rows), {row.tobytes() for row in rows}, self.latent.rows[order])


class _Round(Plan):
    """The architectures of the pool, those with the largest expected improvement first."""

    def __init__(self, fitted: int, keys: set[bytes], ordered: Floats):
        super().__init__(fitted, keys)
        self.ordered = ordered

    def proposals(self, history: History) -> Iterator[Floats]:
        return iter(self.ordered)
