"""ZiCo: how steady and large a fresh network's gradients are over batches.

Li, Yang, Bhardwaj and Marculescu, "ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients", ICLR 2023,
sec. 3.3: Σ over layers of the logarithm of Σ over its weights of E|g| / sqrt(Var|g|), with g the gradient of the loss
of a batch. Two batches suffice, says sec. 4.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import nn

from pinas_zoo.search.scorers.protocol import GRADIENTS, LABELS
from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored, mean_loss, weighted_layers, weights_of


def zico(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, batches: int = 2) -> float:
    """The sum over convolutions and linear layers of the logarithm of their summed mean-to-deviation ratios.

    Higher is better. Weights whose gradient does not vary are left out, and so are layers of only such weights.

    Args:
        model: A classifier; it is not changed.
        images: A normalised batch, N x C x H x W, which is divided into ``batches`` parts.
        labels: Classes, N.
        batches: Number of gradients that are compared, at least 2.
    """
    weights = weights_of(weighted_layers(model))
    parts = zip(images.chunk(batches), labels.chunk(batches), strict=True)
    with as_scored(model):
        gradients = [
            torch.autograd.grad(mean_loss(model, some, own), weights, allow_unused=True) for some, own in parts
        ]
    total = 0.0
    for of_layer in zip(*gradients, strict=True):
        found = [gradient for gradient in of_layer if gradient is not None]
        if len(found) == len(gradients):
            deviation, mean = torch.std_mean(torch.stack(found).abs(), 0, correction=0)
            ratio = float((mean / deviation)[deviation > 0].sum())
            total += math.log(ratio) if ratio > 0 else 0.0
    return total


class ZiCoScorer(ZeroCostScorer):
    """Scores by :func:`zico`."""

    needs: ClassVar[frozenset[str]] = frozenset({LABELS, GRADIENTS})

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return zico(model, images, labels)
