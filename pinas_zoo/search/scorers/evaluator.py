"""Accuracy of paths on held-out images, with batch-norm statistics recalibrated for each path.

Several paths are scored together, and their common first layers run once. This is exact, because recalibration
normalises each batch by its own statistics: the statistics of a layer depend only on the choices up to that layer. The
paths form a tree of pieces, and each batch traverses it depth first. Recalibration batches come first and add their
statistics to the nodes; held-out batches then use these statistics. Paths are divided among a few trees that run side
by side, and memory holds the activations of one batch along one path of each. The host reads results back once for all
of them, so that a GPU always has work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.upload import upload
from pinas_zoo.engine.batchnorm import Statistics, batch_statistics, recalibrated
from pinas_zoo.engine.read_numbers import read_numbers
from pinas_zoo.engine.side_by_side import SideBySide
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.scorers.ridge_probe import RidgeProbe
from pinas_zoo.search.spaces.base import Piece, Supernet

TOGETHER = 128  # paths at once, in all trees; each has its own statistics, up to 0.4 MB in the paper's space
PROBES_MIB = 512  # memory of their probes; one takes 48 MiB with the paper's 2,048 features and 1,000 classes


WithStatistics = Callable[[Statistics], AbstractContextManager[None]]


class Batches(Protocol):
    """Images in a fixed order, from memory or decoded by a loader; every iteration yields the same ones."""

    def batches(self, size: int) -> Iterable[dict[str, torch.Tensor]]:
        """Iterate over ``pixels``, uint8 N x 3 x H x W, and ``labels``, N, with N of at most ``size``."""


@dataclass
class PathNode:
    """A node of the tree of paths: a piece that runs after the pieces of its ancestors.

    Attributes:
        piece: The piece; None at the root.
        statistics: Statistics of the piece's batch norms, given the pieces before.
        children: Pieces that follow, by name.
        head: Head of the path that ends here; None if none does.
    """

    piece: Piece | None
    statistics: Statistics
    children: dict[str, PathNode] = field(default_factory=dict)
    head: PathHead | None = None


@dataclass
class PathHead:
    """The classifier of a path, and its results on the held-out images.

    Attributes:
        classifier: The shared classifier, or a probe that is first fitted on the recalibration images.
        squared: Whether the loss is the squared error to one-hot labels; otherwise it is the cross-entropy.
        correct: Number of images that were classified correctly, on the device; None before the first batch.
        loss: Sum of the loss over images, likewise.
    """

    classifier: nn.Linear | RidgeProbe
    squared: bool
    correct: torch.Tensor | None = None
    loss: torch.Tensor | None = None

    def learn(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        if isinstance(self.classifier, RidgeProbe):
            self.classifier.add(features, labels)

    def finished(self) -> nn.Linear:
        if isinstance(self.classifier, RidgeProbe):
            self.classifier = self.classifier.solve()
        return self.classifier

    def score(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        logits = self.finished()(features)  # N x num_classes
        correct = (logits.argmax(1) == labels).sum()
        if self.squared:
            loss = (logits - F.one_hot(labels, logits.shape[1])).square().sum()
        else:
            loss = F.cross_entropy(logits, labels, reduction="sum")
        self.correct = correct if self.correct is None else self.correct + correct
        self.loss = loss.double() if self.loss is None else self.loss + loss.double()

    def sums(self) -> tuple[torch.Tensor, torch.Tensor]:
        """``correct`` and ``loss``, after at least one batch."""
        assert self.correct is not None
        assert self.loss is not None
        return self.correct, self.loss


class PathEvaluator:
    """Scores paths of a frozen supernet. The score of a path does not depend on which paths are scored with it.

    Args:
        supernet: A trained supernet. Calls do not change it.
        classifier: The classifier that all paths share. A number of classes: each path gets its own
            :class:`RidgeProbe`, fitted on the recalibration images.
        recalibration: Training images on which batch-norm statistics are computed.
        held_out: Held-out images on which paths are scored.
        normalise: Converts uint8 N x 3 x H x W to the network's normalised input of the same shape.
        batch_size: Batch size of scoring.
        statistics: Batch-norm statistics in scoring: ``recalibrated`` for each path, or of each ``batch`` as in linear
            evaluation.
        recalibration_batch_size: Batch size of recalibration, whose images share batch statistics; None:
            ``batch_size``.
    """

    def __init__(
        self,
        supernet: Supernet,
        classifier: nn.Linear | int,
        recalibration: Batches,
        held_out: Batches,
        normalise: Callable[[torch.Tensor], torch.Tensor],
        batch_size: int,
        statistics: str = "recalibrated",
        recalibration_batch_size: int | None = None,
    ):
        self.batch_statistics = statistics == "batch"
        self.device = torch.device(get_device())
        self.supernet = supernet.eval().requires_grad_(False).to(self.device).to(memory_format=torch.channels_last)
        self.side_by_side = SideBySide(self.supernet)
        self.classifier = classifier if isinstance(classifier, int) else classifier.to(self.device)
        self.recalibration, self.held_out = recalibration, held_out
        self.normalise, self.batch_size = normalise, batch_size
        self.recalibration_batch_size = recalibration_batch_size or batch_size
        self.together = TOGETHER
        if isinstance(classifier, int):
            self.together = max(
                1, min(TOGETHER, PROBES_MIB * 2**20 // RidgeProbe.size(supernet.num_features, classifier))
            )

    def recalibrate(self, path: Arch) -> AbstractContextManager[None]:
        """Context manager in which the path's batch norms have the statistics of the recalibration images."""
        modules = [module for _, module in self.supernet.path_modules(path)]
        batches = self.recalibration.batches(self.recalibration_batch_size)
        return recalibrated(modules, (self.supernet(self._input(batch), path) for batch in batches))

    def score(self, path: Arch) -> Score:
        return self.scores([path])[0]

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Score paths together, in their order. Each score equals that of :meth:`score`."""
        order = sorted(set(paths))  # neighbours have the longest common beginning
        found: dict[Arch, Score] = {}
        for start in range(0, len(order), self.together):
            some = order[start : start + self.together]
            found.update(zip(some, self._together(some), strict=True))
        return [found[path] for path in paths]

    @torch.no_grad()
    def fit(self, path: Arch) -> nn.Linear:
        """The classifier of a path with recalibrated batch norms: the shared one, or a probe fitted for the path."""
        root, (head,) = self._tree(self.supernet, [path])
        if isinstance(head.classifier, RidgeProbe):
            self._learn([root], by_batch=False)
        return head.finished()

    @torch.no_grad()
    def _together(self, paths: Sequence[Arch]) -> list[Score]:
        trees = [self._tree(supernet, some) for supernet, some in self.side_by_side.split(paths)]
        roots, heads = [root for root, _ in trees], [head for _, some in trees for head in some]
        by_batch = self.batch_statistics
        if not by_batch or isinstance(self.classifier, int):
            self._learn(roots, by_batch)
        count = 0
        with self._statistics(by_batch):
            for batch in self.held_out.batches(self.batch_size):
                count += len(batch["labels"])
                self._run(roots, batch, None if by_batch else Statistics.use, PathHead.score)
        numbers = read_numbers([value for head in heads for value in head.sums()])
        return [Score(correct / count, loss / count) for correct, loss in zip(numbers[::2], numbers[1::2], strict=True)]

    def _learn(self, roots: Sequence[PathNode], by_batch: bool) -> None:
        """Run the recalibration images, which gathers batch-norm statistics and fits probes."""
        with self._statistics(by_batch):
            for batch in self.recalibration.batches(self.recalibration_batch_size):
                self._run(roots, batch, None if by_batch else Statistics.gather, PathHead.learn)

    @contextmanager
    def _statistics(self, by_batch: bool) -> Iterator[None]:
        """Context manager in which the supernets use statistics of the batch, if asked to."""
        with ExitStack() as stack:
            for supernet in self.side_by_side.networks if by_batch else ():
                stack.enter_context(batch_statistics(supernet))
            yield

    def _run(
        self,
        roots: Sequence[PathNode],
        batch: dict[str, Any],
        with_statistics: WithStatistics | None,
        take: Callable[[PathHead, torch.Tensor, torch.Tensor], None],
    ) -> None:
        """Run a batch through all trees side by side. ``take`` gives each head its features and the labels."""
        x, labels = self._input(batch), upload(batch["labels"], self.device)

        def walk(root: PathNode) -> None:
            for head, features in self._walk(root, x, with_statistics):
                take(head, features, labels)

        self.side_by_side.run([partial(walk, root) for root in roots])

    def _tree(self, supernet: Supernet, paths: Sequence[Arch]) -> tuple[PathNode, list[PathHead]]:
        """Build the tree of some paths of a copy of the supernet. Returns its root, and the head of each path."""
        root, heads = PathNode(None, Statistics(())), []
        for path in paths:
            node = root
            for piece in supernet.pieces(path):
                if piece.name not in node.children:
                    node.children[piece.name] = PathNode(piece, Statistics(piece.modules))
                node = node.children[piece.name]
            if isinstance(self.classifier, int):
                node.head = PathHead(RidgeProbe(self.classifier), squared=True)
            else:
                node.head = PathHead(self.classifier, squared=False)
            heads.append(node.head)
        return root, heads

    def _walk(
        self,
        node: PathNode,
        x: torch.Tensor,
        with_statistics: WithStatistics | None,
    ) -> Iterator[tuple[PathHead, torch.Tensor]]:
        """Run a batch through a node and all nodes below it, depth first.

        Args:
            node: Where to start.
            x: Input of the node's piece.
            with_statistics: Method of :class:`Statistics` that gathers or uses a node's statistics; None for neither.

        Yields:
            The head and the features, N x num_features, of each path that ends at or below the node.
        """
        if node.piece is not None:
            with with_statistics(node.statistics) if with_statistics else nullcontext():
                x = node.piece.run(x)
        for child in node.children.values():
            yield from self._walk(child, x, with_statistics)
        if node.head is not None:
            yield node.head, x

    def _input(self, batch: dict[str, Any]) -> torch.Tensor:
        pixels = upload(batch["pixels"], self.device)
        return self.normalise(pixels).contiguous(memory_format=torch.channels_last)
