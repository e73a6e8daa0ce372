"""What scores without labels share: features of two views of held-out images along each path."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import ClassVar, TypeVar

import numpy as np
import torch
from mmengine.device import get_device

from pinas_zoo.arch import Arch
from pinas_zoo.data.upload import upload
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.engine.read_numbers import read_numbers
from pinas_zoo.engine.side_by_side import SideBySide
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.scorers.evaluator import Batches
from pinas_zoo.search.scorers.protocol import SUPERNET, Score, ScoringData
from pinas_zoo.search.spaces.base import Supernet

S = TypeVar("S", bound="TwoViewScorer")
SPREAD = 1e-6  # lower bound of a feature's standard deviation


class TwoViewScorer(ABC):
    """Scores a path by its features of two views of the same images; a subclass says how. The loss is 1 - the score.

    Supernet features are compared instead of head outputs, because a stand-alone network has no head. Features are
    standardised over both views of a batch, so that each has the same weight. Batch norms use batch statistics, so
    nothing is recalibrated.

    Args:
        supernet: A trained supernet, of any method. Calls do not change it.
        held_out: Held-out images. A smaller last batch is skipped.
        views: Makes N x 2 x 3 x H x W, augmented and normalised, from uint8 N x 3 x H x W and a generator.
        batch_size: Number of images that are compared and share batch statistics.
        seed: Seed from which the views derive; they are the same for all paths.
        stream: Random stream of the views.
    """

    needs: ClassVar[frozenset[str]] = frozenset({SUPERNET})

    def __init__(
        self,
        supernet: Supernet,
        held_out: Batches,
        views: Callable[[torch.Tensor, torch.Generator], torch.Tensor],
        batch_size: int,
        seed: int = 0,
        stream: Stream = Stream.CONSISTENCY_VIEWS,
    ):
        self.device = torch.device(get_device())
        self.side_by_side = SideBySide(supernet.requires_grad_(False).to(self.device))
        self.held_out, self.views, self.batch_size, self.seed, self.stream = held_out, views, batch_size, seed, stream

    @classmethod
    def build(cls: type[S], data: ScoringData) -> S:
        return cls(data.learned(), data.held_out, data.two_views, data.batch_size, data.seed, data.view_stream)

    @abstractmethod
    def compare(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """What is averaged over batches, a scalar on the device.

        Args:
            one: Standardised features of one view of each image, N x num_features, with N of at least 2.
            other: Those of the other view.
        """

    def score(self, path: Arch) -> Score:
        return self.scores([path])[0]

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Score paths, in their order.

        Raises:
            UserError: Outputs are not finite. The study would count such a score as failed and retry it forever.
        """
        return self.scores_beside(paths)[0]

    def scores_beside(self, paths: Sequence[Arch], *others: TwoViewScorer) -> list[list[Score]]:
        """Scores of the paths by this scorer and by others, from the same features of this scorer's supernet and views.

        Raises:
            UserError: As :meth:`scores`.
        """
        scorers, found = (self, *others), list[torch.Tensor]()  # of all paths for the first batch, then the second, …
        for k, batch in enumerate(self.held_out.batches(self.batch_size)):
            if k and len(batch["labels"]) < self.batch_size:
                break
            generator = torch.Generator().manual_seed(int(step_rng(self.seed, k, self.stream).integers(2**63)))
            views = self.views(upload(batch["pixels"], self.device), generator)
            pair = [view.contiguous(memory_format=torch.channels_last) for view in views.unbind(1)]
            parts = self.side_by_side.split(paths)
            jobs = [partial(self._compared, scorers, supernet, pair, some) for supernet, some in parts]
            found.extend(chain.from_iterable(self.side_by_side.run(jobs)))
        values = np.array(read_numbers(found)).reshape(-1, len(paths), len(scorers)).mean(0)  # paths x scorers
        for path, means in zip(paths, values, strict=True):
            wrong = means[~np.isfinite(means)]
            if len(wrong):
                raise UserError(
                    f"expected finite outputs of the path {path}, got {wrong[0]}: learning has diverged; learn again "
                    "with a lower learn.lr, in another --work-dir"
                )
        return [[Score(float(v), float(1 - v)) for v in column] for column in values.T]

    def _compared(
        self, scorers: Sequence[TwoViewScorer], supernet: Supernet, pair: Sequence[torch.Tensor], paths: Sequence[Arch]
    ) -> list[torch.Tensor]:
        """What each scorer averages, for the first path, then for the second, …"""
        found = []
        for path in paths:
            features = self.features(pair, path, supernet)
            found += [scorer.compare(*features) for scorer in scorers]
        return found

    @torch.no_grad()
    def features(self, pair: Sequence[torch.Tensor], path: Arch, supernet: Supernet | None = None) -> torch.Tensor:
        """Standardised features, 2 x N x num_features.

        Args:
            pair: Two views of the same images, each N x C x H x W, with N of at least 2.
            path: Path through the supernet.
            supernet: The supernet or a copy of it. None: the supernet.
        """
        supernet = supernet or self.side_by_side.networks[0]
        with batch_statistics(supernet):
            features = torch.stack([at_least_fp32(supernet(view, path)) for view in pair])  # 2 x N x num_features
        deviation, mean = torch.std_mean(features, (0, 1))  # num_features each
        return (features - mean) / deviation.clamp(min=SPREAD)
