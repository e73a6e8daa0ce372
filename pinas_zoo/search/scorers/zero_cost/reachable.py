"""Scores by the cost of what has an effect: multiply-adds and parameters without operations that cannot matter.

An operation of a cell can be cut off from the cell's input or output. The cost that a benchmark prints counts it, but
no output depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pinas_zoo.analysis.cost import MULTIPLY_ADDS, Cost, counting
from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.scorers.zero_cost.base import CountScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored


def reachable_flops(model: nn.Module, images: torch.Tensor) -> float:
    """Multiply-adds for one image, of convolutions and linear layers on which the output depends.

    Args:
        model: The network; it is not changed.
        images: A batch, N x C x H x W, of which only the shape and the device of two images count.
    """
    return float(reachable_cost(model, images).macs)


def reachable_params(model: nn.Module, images: torch.Tensor) -> float:
    """Number of parameters on which the output depends; the arguments are those of :func:`reachable_flops`."""
    return float(reachable_cost(model, images).params)


def reachable_cost(model: nn.Module, images: torch.Tensor) -> Cost:
    """Parameters that get a gradient of the outputs, and multiply-adds of one image of the layers that hold them."""
    two = torch.zeros(2, *images.shape[1:], device=images.device)  # batch statistics need two images
    names, parameters = zip(*model.named_parameters(), strict=True)
    kinds = list(MULTIPLY_ADDS)
    layers = {name: module for name, module in model.named_modules() if any(isinstance(module, k) for k in kinds)}
    with as_scored(model):
        with counting(layers, MULTIPLY_ADDS) as macs:
            output = model(two)
        gradients = torch.autograd.grad(output.sum(), parameters, allow_unused=True)
    reached = {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None}
    used = [name for name in layers if f"{name}.weight".lstrip(".") in reached]
    return Cost(
        sum(p.numel() for name, p in zip(names, parameters, strict=True) if name in reached),
        sum(macs[name] for name in used) // 2,
    )


class ReachableFLOPsScorer(CountScorer):
    """Scores by multiply-adds of the reachable part of an architecture, in billions; fewer parameters break ties.

    They come from the space's table of costs and :meth:`SearchSpace.reachable`.
    """

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        costs = [self.space.cost(self.space.reachable(path), self.image_size) for path in paths]
        return [Score(flops_g, params_m) for params_m, flops_g in costs]


class ReachableParamsScorer(CountScorer):
    """Scores by parameters of the reachable part of an architecture, in millions; fewer multiply-adds break ties."""

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        costs = [self.space.cost(self.space.reachable(path), self.image_size) for path in paths]
        return [Score(params_m, flops_g) for params_m, flops_g in costs]
