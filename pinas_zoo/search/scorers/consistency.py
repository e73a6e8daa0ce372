"""Scores without labels: the similarity of two views of the same held-out image, minus that of different images.

Accuracy of a classifier says little about architectures in a supernet that was trained on few images: small networks
come first. Consistency of views is what Π-NAS trains, and it ranks architectures by capacity after fewer images
(benchmarks/results/nb201.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import ClassVar

import torch
import torch.nn.functional as F
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

COMPARED = "features"  # stored in the study, so that scores of earlier versions are not ranked with these
SPREAD = 1e-6  # lower bound of a feature's standard deviation


class ConsistencyScorer:
    """Scores a path by the mean cosine similarity of two views of the same image, minus that of different images.

    Like Eqn. 4 it asks whether a view identifies its image among others. It compares supernet features instead of head
    outputs, because a stand-alone network has no head. Features are standardised over both views of a batch, so that
    each has the same weight. Scores lie in -2..2, and identical features score 0. Batch norms use batch statistics, so
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
    def build(cls, data: ScoringData) -> ConsistencyScorer:
        return cls(data.learned(), data.held_out, data.two_views, data.batch_size, data.seed, data.view_stream)

    def score(self, path: Arch) -> Score:
        return self.scores([path])[0]

    @torch.no_grad()
    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Score paths, in their order: ``accuracy`` is the contrast, ``loss`` is 1 minus the contrast.

        Raises:
            UserError: Outputs are not finite. The study would count such a score as failed and retry it forever.
        """
        found: list[torch.Tensor] = []  # contrasts of all paths for the first batch, then for the second, …
        for k, batch in enumerate(self.held_out.batches(self.batch_size)):
            if k and len(batch["labels"]) < self.batch_size:
                break
            generator = torch.Generator().manual_seed(int(step_rng(self.seed, k, self.stream).integers(2**63)))
            views = self.views(upload(batch["pixels"], self.device), generator)
            pair = [view.contiguous(memory_format=torch.channels_last) for view in views.unbind(1)]
            jobs = [partial(self._contrasts, supernet, pair, some) for supernet, some in self.side_by_side.split(paths)]
            found.extend(chain.from_iterable(self.side_by_side.run(jobs)))
        values = read_numbers(found)
        by_path = [values[k :: len(paths)] for k in range(len(paths))]
        means = [sum(some) / len(some) for some in by_path]
        for path, mean in zip(paths, means, strict=True):
            if not math.isfinite(mean):
                raise UserError(
                    f"expected finite outputs of the path {path}, got {mean}: learning has diverged; learn again with "
                    "a lower learn.lr, in another --work-dir"
                )
        return [Score(mean, 1 - mean) for mean in means]

    def _contrasts(self, supernet: Supernet, pair: Sequence[torch.Tensor], paths: Sequence[Arch]) -> list[torch.Tensor]:
        return [self.contrast(pair, path, supernet) for path in paths]

    @torch.no_grad()
    def contrast(self, pair: Sequence[torch.Tensor], path: Arch, supernet: Supernet | None = None) -> torch.Tensor:
        """Mean cosine of matching images minus that of other pairs, a scalar on the device.

        Args:
            pair: Two views of the same images, each N x C x H x W, with N of at least 2.
            path: Path through the supernet.
            supernet: The supernet or a copy of it. None: the supernet.
        """
        supernet = supernet or self.side_by_side.networks[0]
        with batch_statistics(supernet):
            features = torch.stack([at_least_fp32(supernet(view, path)) for view in pair])  # 2 x N x num_features
        deviation, mean = torch.std_mean(features, (0, 1))  # num_features each
        one, other = F.normalize((features - mean) / deviation.clamp(min=SPREAD), dim=2)  # N x num_features each
        cosines = one @ other.T  # N x N
        same, count = cosines.diagonal().sum(), len(cosines)
        return same / count - (cosines.sum() - same) / (count * (count - 1))
