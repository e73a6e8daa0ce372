"""Scores of paths without labels: how much more alike two views of a held-out image are than views of two.

A classifier asks whether features tell classes apart. In a supernet that has seen few images that says little: small
networks lead. That views of an image agree, and those of others do not, is what Π-NAS teaches a supernet, and capacity
shows there before (benchmarks/results/nb201.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from mmengine.device import get_device

from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.scorers.evaluator import Batches
from pinas_zoo.search.scorers.protocol import SUPERNET, Score, ScoringData
from pinas_zoo.search.spaces.base import Supernet

COMPARED = "features"  # kept in the study: scores of another kind are not ranked beside these
SPREAD = 1e-6  # least standard deviation of a feature


class ConsistencyScorer:
    """Scores paths by the mean cosine of features for the same image in two views, less that for different images.

    It follows Eqn. 4, which asks that an image be told from others by another view of it, with a margin in the
    temperature's place and without the head, which the network that is searched for does not have; instead, features
    are standardised over the two views of a batch, so that each counts the same. It lies in -2..2; features that are
    all alike score 0. Batch norms go by the batch, so that nothing is recalibrated.

    Args:
        supernet: Learned, by whichever method; left as it was after every call.
        held_out: Images in batches; a last one that is smaller is left out.
        views: uint8 N x 3 x H x W and a generator to N x 2 x 3 x H x W, normalised.
        batch_size: Images that share batch statistics and are compared.
        seed: Views follow from it, the same for all paths.
        stream: Of the views' random numbers.
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
        self.supernet = supernet.requires_grad_(False).to(self.device)
        self.held_out, self.views, self.batch_size, self.seed, self.stream = held_out, views, batch_size, seed, stream

    @classmethod
    def build(cls, data: ScoringData) -> ConsistencyScorer:
        return cls(data.learned(), data.held_out, data.two_views, data.batch_size, data.seed, data.view_stream)

    def score(self, path: Arch) -> Score:
        return self.scores([path])[0]

    @torch.no_grad()
    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """In the order of ``paths``: as accuracy the contrast, as loss 1 less it; they do not depend on each other.

        Raises:
            UserError: Outputs are not finite; the study would take such a score for a failure and try again for ever.
        """
        found: list[list[float]] = [[] for _ in paths]
        for k, batch in enumerate(self.held_out.batches(self.batch_size)):
            if k and len(batch["labels"]) < self.batch_size:
                break
            generator = torch.Generator().manual_seed(int(step_rng(self.seed, k, self.stream).integers(2**63)))
            views = self.views(batch["pixels"].to(self.device), generator)
            pair = [view.contiguous(memory_format=torch.channels_last) for view in views.unbind(1)]
            for path, values in zip(paths, found, strict=True):
                values.append(self.contrast(pair, path))
        means = [sum(values) / len(values) for values in found]
        for path, mean in zip(paths, means, strict=True):
            if not math.isfinite(mean):
                raise UserError(
                    f"expected finite outputs of the path {path}, got {mean}: learning has diverged; learn again with "
                    "a lower learn.lr, in another --work-dir"
                )
        return [Score(mean, 1 - mean) for mean in means]

    @torch.no_grad()
    def contrast(self, pair: Sequence[torch.Tensor], path: Arch) -> float:
        """Of two views of the same images, each N x C x H x W, N of at least 2."""
        with batch_statistics(self.supernet):
            features = torch.stack([self.supernet(view, path).float() for view in pair])  # 2 x N x num_features
        deviation, mean = torch.std_mean(features, (0, 1))
        one, other = F.normalize((features - mean) / deviation.clamp(min=SPREAD), dim=2)
        cosines = one @ other.T  # N x N
        same, count = cosines.diagonal().sum(), len(cosines)
        return float(same / count - (cosines.sum() - same) / (count * (count - 1)))
