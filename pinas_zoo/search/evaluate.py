"""Scores of paths: accuracy on held-out images with batch-norm statistics recalibrated for each path.

Several paths are scored together. What two of them begin with is computed once: the statistics of a layer depend on the
choices up to it alone, since recalibration normalises each batch by its own. So the paths form a tree of pieces, and
every batch walks it depth first: the recalibration batches first, each leaving its statistics at the tree's nodes, then
the held-out ones with the statistics that are there. Activations of one batch along one path are all that is held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.batchnorm import Statistics, recalibrated
from pinas_zoo.search.data import ImageSet
from pinas_zoo.search.space import Piece, Supernet, step_rng

SUBSET = 5  # random stream
TOGETHER = 128  # paths in one tree; each holds statistics of its own, up to 0.4 MB in the paper's space


@dataclass(frozen=True)
class Score:
    """Of one path on the held-out images: top-1 accuracy in 0..1, and mean cross-entropy in nats."""

    accuracy: float
    loss: float


class Batches(Protocol):
    """Images in order, the same ones each time: in memory (:class:`Images`), or read anew by a loader."""

    def batches(self, size: int) -> Iterable[dict[str, torch.Tensor]]:
        """``pixels``, uint8 N x 3 x H x W, and ``labels``, N; N is at most ``size``."""


@dataclass
class Node:
    """A piece after a given beginning: statistics of its batch norms there, what follows, paths that end with it."""

    piece: Piece | None  # None at the root
    statistics: Statistics
    children: dict[str, Node] = field(default_factory=dict)
    correct: torch.Tensor | int = 0  # of the path that ends here
    loss: torch.Tensor | float = 0.0


class Evaluator:
    """Scores paths of a frozen supernet; neither order nor company changes a score.

    Args:
        supernet: Learned; left as it was after every call.
        classifier: Shared by all paths, from the linear stage.
        recalibration: Training images that statistics are taken from.
        held_out: ImageSet that scores are taken from.
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
        self.supernet = supernet.eval().requires_grad_(False).to(self.device).to(memory_format=torch.channels_last)
        self.classifier = classifier.to(self.device)
        self.recalibration, self.held_out = recalibration, held_out
        self.normalise, self.batch_size = normalise, batch_size

    def recalibrate(self, path: Arch) -> AbstractContextManager[None]:
        """Context manager: inside, the path's batch norms hold statistics of the recalibration images."""
        modules = [module for _, module in self.supernet.path_modules(path)]
        batches = self.recalibration.batches(self.batch_size)
        return recalibrated(modules, (self.supernet(self._input(batch), path) for batch in batches))

    def score(self, path: Arch) -> Score:
        return self.scores([path])[0]

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Scores in the order of ``paths``, each equal to what :meth:`score` gives alone."""
        order = sorted(set(paths))  # neighbours share the most
        found: dict[Arch, Score] = {}
        for start in range(0, len(order), TOGETHER):
            some = order[start : start + TOGETHER]
            found.update(zip(some, self._together(some), strict=True))
        return [found[path] for path in paths]

    @torch.no_grad()
    def _together(self, paths: Sequence[Arch]) -> list[Score]:
        root, leaves = self._tree(paths)
        for batch in self.recalibration.batches(self.batch_size):
            self._walk(root, self._input(batch), calibrating=True)
        count = 0
        for batch in self.held_out.batches(self.batch_size):
            count += len(batch["labels"])
            self._walk(root, self._input(batch), calibrating=False, labels=batch["labels"].to(self.device))
        return [Score(int(leaf.correct) / count, float(leaf.loss) / count) for leaf in leaves]

    def _tree(self, paths: Sequence[Arch]) -> tuple[Node, list[Node]]:
        """The paths' tree, and for each path the node that it ends with."""
        root, leaves = Node(None, Statistics(())), []
        for path in paths:
            node = root
            for piece in self.supernet.pieces(path):
                if piece.name not in node.children:
                    node.children[piece.name] = Node(piece, Statistics(piece.modules))
                node = node.children[piece.name]
            leaves.append(node)
        return root, leaves

    def _walk(self, node: Node, x: torch.Tensor, calibrating: bool, labels: torch.Tensor | None = None) -> None:
        """Take a batch through the tree below a node, depth first."""
        if node.piece is not None:
            with node.statistics.gather() if calibrating else node.statistics.use():
                x = node.piece.run(x)
        for child in node.children.values():
            self._walk(child, x, calibrating, labels)
        if not node.children and labels is not None:
            logits = self.classifier(x)  # N x num_classes
            node.correct = node.correct + (logits.argmax(1) == labels).sum()
            node.loss = node.loss + F.cross_entropy(logits, labels, reduction="sum").double()

    def _input(self, batch: dict[str, Any]) -> torch.Tensor:
        pixels = batch["pixels"].to(self.device)
        return self.normalise(pixels).contiguous(memory_format=torch.channels_last)


def recalibration_subset(train: ImageSet, count: int, seed: int) -> ImageSet:
    """A fixed random subset of the training images."""
    return train.subset(step_rng(seed, 0, SUBSET).permutation(len(train))[:count])
