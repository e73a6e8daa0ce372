"""Scores without labels: how well a view identifies its image among others, by whitened features.

The features of paths with skip connections share a few strong directions, which raise every cosine. Whitening removes
them, and with them most of the error that :mod:`pinas_zoo.search.scorers.consistency` makes for such paths.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from pinas_zoo.search.scorers.two_views import TwoViewScorer

TEMPERATURE = 0.2  # of Eqn. 4
RIDGE = 0.1  # added to the variance of each direction of the features; the mean variance is 1


class IdentificationScorer(TwoViewScorer):
    """Scores a path by Eqn. 4 itself, on whitened features of the held-out images instead of head outputs.

    The loss is the cross-entropy in nats of finding the other view of an image among those of all N images of a batch,
    from either view. The score is the share of ln N nats that this leaves: 1 if every view is found with certainty, 0
    if nothing is known. The arguments are those of :class:`TwoViewScorer`.
    """

    def compare(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The share of ln N."""
        count = len(one)
        both = torch.cat([one, other])  # 2N x num_features
        covariance = both.T @ both / len(both)  # num_features x num_features
        covariance.diagonal().add_(RIDGE)
        factor, _ = torch.linalg.cholesky_ex(covariance)  # positive definite; a check would wait for the device
        white = torch.linalg.solve_triangular(factor, both.T, upper=False).T  # 2N x num_features
        white = F.normalize(white, dim=1)
        logits = white[:count] @ white[count:].T / TEMPERATURE  # N x N
        own = torch.arange(count, device=logits.device)
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        return 1 - loss / math.log(count)
