"""Scores without labels: the similarity of two views of the same held-out image, minus that of different images.

Accuracy of a classifier says little about architectures in a supernet that was trained on few images: small networks
come first. Consistency of views is what Π-NAS trains, and it ranks architectures by capacity after fewer images
(benchmarks/results/nb201.md).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from pinas_zoo.search.scorers.two_views import TwoViewScorer

COMPARED = "features"  # stored in the study, so that scores of earlier versions are not ranked with these


class ConsistencyScorer(TwoViewScorer):
    """Scores a path by the mean cosine similarity of two views of the same image, minus that of different images.

    Like Eqn. 4 it asks whether a view identifies its image among others. Scores lie in -2..2, and identical features
    score 0. The arguments are those of :class:`TwoViewScorer`.
    """

    def compare(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Mean cosine of matching images minus that of other pairs."""
        cosines = F.normalize(one, dim=1) @ F.normalize(other, dim=1).T  # N x N
        same, count = cosines.diagonal().sum(), len(cosines)
        return same / count - (cosines.sum() - same) / (count * (count - 1))
