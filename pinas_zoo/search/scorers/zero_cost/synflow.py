"""SynFlow: the flow from a network's input to its outputs along all paths of weights (Tanaka et al., NeurIPS 2020).

Tanaka, Kunin, Yamins and Ganguli, "Pruning neural networks without any data by iteratively conserving synaptic flow",
NeurIPS 2020, Eqn. 2. Abdelfattah et al., "Zero-Cost Proxies for Lightweight NAS", ICLR 2021, sec. 3.2, sum it over the
weights to score a network; as there, norms are left out. The logarithm is that of NAS-Bench-Suite-Zero's tables.
"""

from __future__ import annotations

import copy
import math
from typing import ClassVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from pinas_zoo.search.scorers.protocol import GRADIENTS
from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import weighted_layers, weights_of

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
SMALLEST = 1e-300  # the flow of a network that passes nothing on, so that its score is finite and low


def synflow(model: nn.Module, images: torch.Tensor) -> float:
    """The logarithm of Σ |w ∂R/∂w| over the weights of convolutions and linear layers. Higher is better.

    R is the sum of the outputs for one image of ones, with absolute parameters and without norms. An activation that
    timm fuses with a norm is left out with it: of numbers that are not negative, a rectifier changes none.

    Args:
        model: The network; it is not changed.
        images: A batch, N x C x H x W, of which only the shape of an image counts.
    """
    linear = copy.deepcopy(model).eval().double().requires_grad_(True)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    for module in linear.modules():
        if isinstance(module, NORMS):
            module.register_forward_hook(lambda module, inputs, output: inputs[0])
    weights = weights_of(weighted_layers(linear))
    with torch.enable_grad():
        ones = torch.ones(1, *images.shape[1:], dtype=torch.float64, device=images.device)
        gradients = torch.autograd.grad(linear(ones).sum(), weights, allow_unused=True)
    flow = sum(float((w.detach() * g).abs().sum()) for w, g in zip(weights, gradients, strict=True) if g is not None)
    return math.log(max(flow, SMALLEST))


class SynFlowScorer(ZeroCostScorer):
    """Scores by :func:`synflow`."""

    needs: ClassVar[frozenset[str]] = frozenset({GRADIENTS})

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return synflow(model, images)
