"""The four scores of AZ-NAS: expressivity, progressivity, trainability and complexity.

Lee and Ham, "AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search", CVPR 2024, sec. 3.1. The first
three compare the primary blocks of a network whose input is drawn from N(0, 1). The paper sums the logarithms of the
four ranks among the candidates (sec. 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.analysis.cost import count_module
from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers.protocol import GRADIENTS, Score
from pinas_zoo.search.scorers.zero_cost.base import CountScorer, ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.blocks import block_features
from pinas_zoo.search.scorers.zero_cost.networks import as_scored

Blocks = Sequence[nn.Module] | None
EPS = 1e-6  # lower bound of a spectral norm, so that a network that passes no gradient scores low


def az_expressivity(model: nn.Module, images: torch.Tensor, seed: int = 0, blocks: Blocks = None) -> float:
    """The sum over blocks of the isotropy of their features. Higher is better.

    Args:
        model: The network; it is not changed.
        images: A batch, N x C x H x W, of which only the shape and the device count.
        seed: Of the input.
        blocks: The primary blocks; None: :func:`pinas_zoo.search.scorers.zero_cost.blocks.primary_blocks`.

    Raises:
        UserError: The network has fewer than two blocks.
    """
    return float(sum(isotropies(model, images, seed, blocks)))


def az_progressivity(model: nn.Module, images: torch.Tensor, seed: int = 0, blocks: Blocks = None) -> float:
    """The smallest increase in isotropy from a block to the next. Higher is better.

    Arguments and errors are those of :func:`az_expressivity`.
    """
    values = isotropies(model, images, seed, blocks)
    return min(after - before for before, after in pairwise(values))


def az_trainability(model: nn.Module, images: torch.Tensor, seed: int = 0, blocks: Blocks = None) -> float:
    """The mean over blocks of 2 - σ - 1/σ, with σ the spectral norm of a block's Jacobian. Higher is better, up to 0.

    Random signs v at a block's output give J'v at its input. The mean of their products over images and positions
    estimates the Jacobian between the channels of a position, J' = E[J'v v']. Where a block reduces the resolution, all
    input positions of an output position count.

    Arguments and errors are those of :func:`az_expressivity`.
    """
    generator = torch.Generator().manual_seed(seed)
    found = []
    with as_scored(model):
        features = block_features(model, random_input(images, generator), blocks)
        for before, after in pairwise(features):
            signs = (torch.randint(0, 2, after.shape, generator=generator) * 2 - 1).to(after)
            back = None
            if before.requires_grad and after.requires_grad:  # neither is a constant
                (back,) = torch.autograd.grad(after, before, signs, retain_graph=True, allow_unused=True)
            found.append(0.0 if back is None else float(spectral_norm(back, signs)))
    return sum(2 - max(norm, EPS) - 1 / max(norm, EPS) for norm in found) / len(found)


def az_complexity(model: nn.Module, images: torch.Tensor) -> float:
    """Multiply-adds of one image of convolutions and linear layers. Higher is better.

    Args:
        model: The network; it is not changed.
        images: A batch, N x C x H x W, of which only the shape of an image counts.
    """
    return float(count_module(model, images.shape[1:]).macs)


def random_input(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A batch from N(0, 1) of the images' shape, on their device."""
    return torch.randn(images.shape, generator=generator).to(images).requires_grad_()


def isotropies(model: nn.Module, images: torch.Tensor, seed: int, blocks: Blocks) -> list[float]:
    """The isotropy of each block's features, in nats: the entropy of the shares of their principal components."""
    with as_scored(model), torch.no_grad():
        features = block_features(model, random_input(images, torch.Generator().manual_seed(seed)), blocks)
    return [isotropy(one) for one in features]


def isotropy(features: torch.Tensor) -> float:
    """The entropy, in nats, of the shares of the variance of N x C x H x W that the C principal components have."""
    rows = features.movedim(1, -1).flatten(0, -2).double()  # NHW x C
    rows = rows - rows.mean(0)
    values = torch.linalg.eigvalsh(rows.T @ rows / len(rows)).clamp(min=0)
    if float(values.sum()) == 0:
        return 0.0
    return float(torch.special.entr(values / values.sum()).sum())


def spectral_norm(back: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
    """Spectral norm of the mean outer product of gradients at a block's input and signs at its output.

    Args:
        back: Gradients, N x C x H x W.
        signs: Random signs, N x C' x H' x W', with H' and W' at most H and W.
    """
    n, channels = back.shape[:2]
    height, width = signs.shape[2:]
    rows, columns = -(-back.shape[2] // height), -(-back.shape[3] // width)  # input positions of an output position
    back = F.pad(back, (0, columns * width - back.shape[3], 0, rows * height - back.shape[2]))
    back = back.reshape(n, channels, height, rows, width, columns).permute(0, 2, 4, 1, 3, 5)
    inputs = back.reshape(n * height * width, channels * rows * columns)
    outputs = signs.movedim(1, -1).flatten(0, -2)  # NH'W' x C'
    return torch.linalg.matrix_norm(inputs.T @ outputs / len(outputs), 2)


class AZExpressivityScorer(ZeroCostScorer):
    """Scores by :func:`az_expressivity`."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return az_expressivity(model, images, seed)


class AZProgressivityScorer(ZeroCostScorer):
    """Scores by :func:`az_progressivity`."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return az_progressivity(model, images, seed)


class AZTrainabilityScorer(ZeroCostScorer):
    """Scores by :func:`az_trainability`."""

    needs: ClassVar[frozenset[str]] = frozenset({GRADIENTS})

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return az_trainability(model, images, seed)


class AZComplexityScorer(CountScorer):
    """Scores by all multiply-adds, in billions, of operations without an effect too; fewer parameters break ties."""

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        costs = [self.space.cost(path, self.image_size) for path in paths]
        return [Score(flops_g, params_m) for params_m, flops_g in costs]
