"""Scorers without a supernet: of a path's stand-alone network, freshly initialised, or of counts that need none."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, TypeVar

import timm
import torch
from mmengine.device import get_device
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import batch_norms
from pinas_zoo.errors import UserError
from pinas_zoo.models.pooling import mend_pools
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.scorers.protocol import Score, ScoringData
from pinas_zoo.search.spaces.base import SearchSpace

S = TypeVar("S", bound="ZeroCostScorer")
C = TypeVar("C", bound="CountScorer")


class ZeroCostScorer(ABC):
    """Scores a path by a function of its stand-alone network, which a subclass names. The loss is minus the score.

    The initial weights follow from the seed and the architecture alone, so that a score does not depend on order,
    company or worker. All networks see the same images.

    Args:
        space: The search space.
        images: A normalised batch, N x 3 x H x W.
        labels: Classes, N.
        num_classes: Number of outputs of the networks.
        seed: Seed of the run.
        initialisations: Number of initial weights over which a score is averaged.
    """

    needs: ClassVar[frozenset[str]]

    def __init__(
        self,
        space: SearchSpace,
        images: torch.Tensor,
        labels: torch.Tensor,
        num_classes: int,
        seed: int = 0,
        initialisations: int = 1,
    ):
        self.device = torch.device(get_device())
        self.space, self.num_classes, self.seed, self.initialisations = space, num_classes, seed, initialisations
        self.images = images.to(self.device).contiguous(
            memory_format=torch.channels_last
        )  # faster, as in scoring paths
        self.labels = labels.to(self.device)

    @classmethod
    def build(cls: type[S], data: ScoringData) -> S:
        """Take a random batch of ``data.zero_cost_images`` held-out images."""
        order = step_rng(data.seed, 0, Stream.ZERO_COST_IMAGES).permutation(len(data.held_out))
        chosen = data.held_out.subset(order[: data.zero_cost_images])
        batch = next(iter(chosen.batches(len(chosen))))
        images = data.normalise(batch["pixels"])
        return cls(data.space, images, batch["labels"], data.num_classes, data.seed, data.zero_cost_initialisations)

    @abstractmethod
    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        """The score of a network; higher is better.

        Args:
            model: A freshly initialised timm model.
            images: A normalised batch, N x 3 x H x W.
            labels: Classes, N.
            seed: Seed of what the score draws.
        """

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Score paths, in their order.

        Raises:
            UserError: A score is not finite.
        """
        return [self.score(path) for path in paths]

    def score(self, path: Arch) -> Score:
        seeds = [self.network_seed(path, k) for k in range(self.initialisations)]
        values = (self.score_network(self.network(path, s), self.images, self.labels, s) for s in seeds)
        value = sum(values) / self.initialisations
        if not math.isfinite(value):
            raise UserError(
                f"expected a finite score of the untrained network {path}, got {value} by {type(self).__name__}; try "
                "another explore.score, or leave the architecture out of the space"
            )
        return Score(value, -value)

    def network(self, path: Arch, seed: int) -> nn.Module:
        """The stand-alone network of a path; the global generator is left as it was.

        Batch norms that start at zero, as the last ones of residual branches often do, start at one: otherwise nothing
        in such a branch would have an effect.
        """
        args = {**self.space.model_args(path), "num_classes": self.num_classes}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model: nn.Module = timm.create_model(self.space.architecture, **args)
        for norm in batch_norms(model):
            if norm.affine and not norm.weight.any():
                nn.init.ones_(norm.weight)
        mend_pools(model)
        return model.to(self.device).to(memory_format=torch.channels_last)

    def network_seed(self, path: Arch, initialisation: int = 0) -> int:
        """Seed of the initial weights of a path's network."""
        name = zlib.crc32(str(path).encode())
        return int(step_rng(self.seed, initialisation, Stream.ZERO_COST_WEIGHTS, name).integers(2**63))


class CountScorer(ABC):
    """Scores a path by counts that follow from its architecture alone.

    Args:
        space: The search space.
        image_size: Height and width in pixels, on which multiply-adds depend.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, space: SearchSpace, image_size: int):
        self.space, self.image_size = space, image_size

    @classmethod
    def build(cls: type[C], data: ScoringData) -> C:
        return cls(data.space, data.image_size)

    @abstractmethod
    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        """Score paths, in their order."""
