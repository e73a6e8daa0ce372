"""SNIP: how much a fresh network's loss would change if single weights were removed.

Lee, Ajanthan and Torr, "SNIP: Single-shot network pruning based on connection sensitivity", ICLR 2019, Eqn. 5;
Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, sec. 3.2, sum it over the weights.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from pinas_zoo.search.scorers.protocol import GRADIENTS, LABELS
from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored, weight_gradients


def snip(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Σ |w ∂L/∂w| over the weights of convolutions and linear layers. Higher is better.

    Args:
        model: A classifier; it is not changed.
        images: A normalised batch, N x C x H x W.
        labels: Classes, N.
    """
    with as_scored(model):
        return float(sum((w * gradient).abs().sum() for w, gradient in weight_gradients(model, images, labels)))


class SNIPScorer(ZeroCostScorer):
    """Scores by :func:`snip`."""

    needs: ClassVar[frozenset[str]] = frozenset({LABELS, GRADIENTS})

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return snip(model, images, labels)
