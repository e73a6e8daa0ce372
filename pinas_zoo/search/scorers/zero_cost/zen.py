"""Zen-score: how much a random network's features change with its input, corrected for batch norm.

Lin et al., "Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition", ICCV 2021, Algorithm 1: all weights and
inputs are drawn from N(0, 1). Δ is the expected Frobenius norm of f(x) - f(x + αε), with f the features before pooling,
and the score is log Δ + Σ log σ over the batch norms, σ² the mean variance over channels. The paper removes residual
links first. A network's links cannot be told from its modules, so they stay here.
"""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import torch
from torch import nn

from pinas_zoo.engine.batchnorm import batch_norms
from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import weighted_layers, weights_of

ALPHA = 0.01
SMALLEST = 1e-30  # lower bound of Δ and of a variance, for networks that cut off their input


def zen(model: nn.Module, images: torch.Tensor, seed: int = 0) -> float:
    """The Zen-score, in nats. Higher is better.

    σ² are the running variances of the norms after the two passes, which begin at 1, as in the released code and in
    published tables. Variances of the batch alone rank otherwise (Spearman 0.93 with such a table, instead of 0.99).

    Args:
        model: A timm model, whose ``forward_features`` gives the features; it is not changed.
        images: A batch, N x C x H x W, of which only the shape and the device count.
        seed: Of the weights and of the input.
    """
    random = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(seed)

    def normal(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    norms = batch_norms(random)
    features: Any = random.forward_features
    with torch.no_grad():
        for weight in weights_of(weighted_layers(random)):
            weight.copy_(normal(weight))
        for norm in norms:
            norm.reset_parameters()  # statistics too
            norm.train()
        x = normal(images)
        difference = features(x) - features(x + ALPHA * normal(x))  # N x C x H x W
        found = [float(difference.flatten(1).norm(dim=1).mean())]
        found += [float(norm.running_var.mean()) ** 0.5 for norm in norms if norm.running_var is not None]
    return sum(math.log(max(value, SMALLEST)) for value in found)


class ZenScorer(ZeroCostScorer):
    """Scores by :func:`zen`."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return zen(model, images, seed)
