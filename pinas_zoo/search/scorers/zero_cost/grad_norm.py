"""GradNorm: the size of a fresh network's gradients (Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR
2021, sec. 3.1): the sum, over layers, of the Euclidean norm of the gradient after one mini-batch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from pinas_zoo.search.scorers.protocol import GRADIENTS, LABELS
from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored, weight_gradients


def grad_norm(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The sum of the norms of the gradients of convolutions' and linear layers' weights. Higher is better.

    Args:
        model: A classifier; it is not changed.
        images: A normalised batch, N x C x H x W.
        labels: Classes, N.
    """
    with as_scored(model):
        return float(sum(gradient.norm() for _, gradient in weight_gradients(model, images, labels)))


class GradNormScorer(ZeroCostScorer):
    """Scores by :func:`grad_norm`."""

    needs: ClassVar[frozenset[str]] = frozenset({LABELS, GRADIENTS})

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return grad_norm(model, images, labels)
