"""jacov: how uncorrelated the gradients of a fresh network's outputs are between images.

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", arXiv 2006.04647v1, sec. 3 (later
versions have NASWOT instead). The rows of the Jacobian, one for each image, are compared by their correlation matrix.
With its eigenvalues σ, the score is -Σ (log(σ + k) + 1 / (σ + k)), k = 1e-5.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from pinas_zoo.search.scorers.protocol import GRADIENTS
from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored

K = 1e-5


def jacov(model: nn.Module, images: torch.Tensor) -> float:
    """The score of the correlations of an image's gradients with those of other images. Higher is better, up to -N.

    The gradient of an image is that of the sum of all outputs of the batch. Images whose gradients do not vary, as in a
    network that cuts off its input, count as fully correlated.

    Args:
        model: The network; it is not changed.
        images: A normalised batch of at least 2 images, N x C x H x W.
    """
    with as_scored(model):
        x = images.detach().clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x).sum(), x, allow_unused=True)
    rows = (torch.zeros_like(images) if gradient is None else gradient).flatten(1).double()  # N x CHW
    rows = rows - rows.mean(1, keepdim=True)
    norms = rows.norm(dim=1, keepdim=True)
    if float(norms.min()) == 0:
        correlation = torch.ones(len(rows), len(rows), dtype=rows.dtype)
    else:
        rows = rows / norms
        correlation = rows @ rows.T  # N x N
    values = torch.linalg.eigvalsh(correlation).clamp(min=0) + K
    return -float((values.log() + 1 / values).sum())


class JacovScorer(ZeroCostScorer):
    """Scores by :func:`jacov`."""

    needs: ClassVar[frozenset[str]] = frozenset({GRADIENTS})

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return jacov(model, images)
