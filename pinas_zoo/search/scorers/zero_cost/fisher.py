"""Fisher: how much a fresh network's loss would change if single channels were removed.

Theis, Korshunova, Tejani and Huszár, "Faster gaze prediction with dense networks and Fisher pruning", arXiv 1801.05787;
Turner et al., "BlockSwap", ICLR 2020, Eqn. 2, sum it over channels and blocks. Abdelfattah et al., "Zero-Cost Proxies
for Lightweight NAS", ICLR 2021, sec. 3.2, sum it over layers, at their outputs before norm and activation. Published
tables have the score of their released code, in which a channel counts once for each of its weights.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, ClassVar

import torch
from torch import nn

from pinas_zoo.search.scorers.protocol import GRADIENTS, LABELS
from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored, mean_loss, weighted_layers


def fisher(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, per_weight: bool = True) -> float:
    """Σ over the channels of all convolutions and linear layers of 1/(2N) Σ_n (Σ_hw a ∂L/∂a)². Higher is better.

    a are the outputs of the layer, N x C x H x W, and L is the mean cross-entropy.

    Args:
        model: A classifier; it is not changed.
        images: A normalised batch, N x C x H x W.
        labels: Classes, N.
        per_weight: Whether a channel's term is multiplied by the number of weights that lead to the channel.
    """
    outputs: list[tuple[nn.Module, torch.Tensor]] = []

    def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        outputs.append((module, output))
        return output.clone()  # what follows may work in place

    with as_scored(model), ExitStack() as hooks:
        for layer in weighted_layers(model):
            hooks.callback(layer.register_forward_hook(keep).remove)
        loss = mean_loss(model, images, labels)
        gradients = torch.autograd.grad(loss, [output for _, output in outputs], allow_unused=True)
        total = 0.0
        for (layer, output), gradient in zip(outputs, gradients, strict=True):
            if gradient is not None:
                product = output.detach() * gradient  # N x C x H x W, or N x … x C of a linear layer
                channels = -1 if isinstance(layer, nn.Linear) else 1
                product = product.movedim(channels, 1).flatten(2) if product.ndim > 2 else product[..., None]
                weights = layer.weight[0].numel() if per_weight else 1  # type: ignore[index]
                total += weights * float(product.sum(2).square().sum(1).mean() / 2)  # of N x C
    return total


class FisherScorer(ZeroCostScorer):
    """Scores by :func:`fisher`."""

    needs: ClassVar[frozenset[str]] = frozenset({LABELS, GRADIENTS})

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return fisher(model, images, labels)
