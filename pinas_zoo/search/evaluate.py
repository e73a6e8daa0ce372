"""Scores of paths: accuracy on held-out images with batch-norm statistics recalibrated for each path.

Candidates are scored together. Those whose first pieces are the same (``Supernet.pieces``) also share the statistics up
to there, because each recalibration batch is normalised by its own. So the candidates form a tree: each batch walks it
depth first, every edge is computed once, and no more than one activation per level is held. The first walk, over the
recalibration images, averages each edge's batch statistics; the second, over the held-out images, uses them.

What an edge computes does not depend on which candidates are scored with it: a score is the same, to the bit, alone, in
any group and in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.batchnorm import Statistics, batch_norms, recalibrated, restored
from pinas_zoo.search.data import Images
from pinas_zoo.search.space import Piece, Supernet, step_rng

SUBSET = 5  # random stream
TOGETHER = 128  # candidates in one tree; each holds statistics of its own, at most 0.4 MB in the paper's space


@dataclass(frozen=True)
class Score:
    """Of one path on the held-out images: top-1 accuracy in 0..1, and mean cross-entropy in nats."""

    accuracy: float
    loss: float


class Batches(Protocol):
    """Images in order, the same ones each time: in memory (:class:`Images`), or read anew by a loader."""

    def batches(self, size: int) -> Iterable[dict[str, torch.Tensor]]:
        """``pixels``, uint8 N x 3 x H x W, and ``labels``, N; N is at most ``size``."""


class Evaluator:
    """Scores paths of a frozen supernet; neither order nor grouping changes a score.

    Args:
        supernet: Learned; left as it was after every call.
        classifier: Shared by all paths, from the linear stage.
        recalibration: Training images that statistics are taken from.
        held_out: Images that scores are taken from.
        normalise: uint8 N x 3 x H x W to the network's input.
        batch_size: Of recalibration and of scoring.
    """

    def __init__(
        self,
        supernet: Supernet,
        classifier: nn.Linear,
        recalibration: Batches,
        held_out: Batches,
        normalise: Callable[[torch.Tensor], torch.Tensor],
        batch_size: int,
    ):
        self.device = torch.device(get_device())
        self.supernet = supernet.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        self.classifier = classifier.to(self.device)
        self.recalibration, self.held_out = recalibration, held_out
        self.normalise, self.batch_size = normalise, batch_size

    def recalibrate(self, path: Arch) -> AbstractContextManager[None]:
        """Inside, the path's batch norms hold statistics of the recalibration images."""
        modules = [module for _, module in self.supernet.path_modules(path)]
        return recalibrated(modules, (self.supernet(x, path) for x, _ in self._inputs(self.recalibration)))

    def score(self, path: Arch) -> Score:
        return self.scores([path])[0]

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Of each path, in the order given."""
        order = sorted(set(paths))  # neighbours share the most
        found: dict[Arch, Score] = {}
        for start in range(0, len(order), TOGETHER):
            found |= self._scores(order[start : start + TOGETHER])
        return [found[path] for path in paths]

    @torch.no_grad()
    def _scores(self, paths: Sequence[Arch]) -> dict[Arch, Score]:
        tree = PathTree(self.supernet, paths)
        correct, loss, count = dict.fromkeys(paths, 0), dict.fromkeys(paths, 0.0), 0
        with restored(self.supernet):
            for x, _ in self._inputs(self.recalibration):
                for _ in tree.walk(x, calibrate=True):
                    pass
            for x, labels in self._inputs(self.held_out):
                count += len(labels)
                for path, features in tree.walk(x, calibrate=False):
                    logits = self.classifier(features)  # N x num_classes
                    correct[path] += int((logits.argmax(1) == labels).sum())
                    loss[path] += float(F.cross_entropy(logits, labels, reduction="sum"))
        return {path: Score(correct[path] / count, loss[path] / count) for path in paths}

    def _inputs(self, images: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in images.batches(self.batch_size):
            pixels, labels = batch["pixels"].to(self.device), batch["labels"].to(self.device)
            yield self.normalise(pixels).contiguous(memory_format=torch.channels_last), labels


class PathTree:
    """Paths that share what they have in common; each edge, a piece at its place, has batch-norm statistics."""

    def __init__(self, supernet: Supernet, paths: Iterable[Arch]):
        self.root = _Node(None)
        for path in paths:
            node = self.root
            for piece in supernet.pieces(path):
                node = node.children.setdefault(piece.name, _Node(piece))
            node.path = path

    def walk(self, x: torch.Tensor, calibrate: bool) -> Iterator[tuple[Arch, torch.Tensor]]:
        """Each path and its features of one batch, depth first.

        Args:
            x: Normalised images.
            calibrate: Normalise by the batch and take its statistics into the average, or use the average.
        """
        return self.root.walk(x, calibrate)

    def __len__(self) -> int:
        """Number of edges: what one batch computes."""
        return sum(1 for _ in self.root.below())


@dataclass
class _Node:
    piece: Piece | None  # None at the root
    children: dict[str, _Node] = field(default_factory=dict)
    path: Arch | None = None  # that ends here

    def __post_init__(self) -> None:
        norms = [norm for module in self.piece.modules for norm in batch_norms(module)] if self.piece else []
        self.statistics = [Statistics(norm) for norm in dict.fromkeys(norms)]

    def walk(self, x: torch.Tensor, calibrate: bool) -> Iterator[tuple[Arch, torch.Tensor]]:
        if self.piece is not None:
            for statistics in self.statistics:
                statistics.install(calibrate)
            x = self.piece.run(x)
        if self.path is not None:
            yield self.path, x
        for child in self.children.values():
            yield from child.walk(x, calibrate)

    def below(self) -> Iterator[_Node]:
        for child in self.children.values():
            yield child
            yield from child.below()


def recalibration_subset(train: Images, count: int, seed: int) -> Images:
    """A fixed random subset of the training images."""
    return train.subset(step_rng(seed, 0, SUBSET).permutation(len(train))[:count])
