"""What a search space is: candidates per layer, a supernet that holds them all, and the network of one path."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError


@dataclass(frozen=True)
class Piece:
    """A part of a path that runs as a whole: what goes by the same name is the same in all paths."""

    name: str
    modules: tuple[nn.Module, ...]  # that it runs through
    run: Callable[[torch.Tensor], torch.Tensor]  # leaves its input as it is


class Supernet(nn.Module, ABC):
    """All candidates of all layers with shared weights; a path through it is an :class:`Arch`."""

    num_features: int  # width of the pooled output

    @abstractmethod
    def forward(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        """Pooled features of one path: N x C x H x W to N x num_features."""

    @abstractmethod
    def path_modules(self, path: Arch) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules that this path runs through, each module once, in the order of execution."""

    def pieces(self, path: Arch) -> Sequence[Piece]:
        """The path as a chain, one piece after the other; paths that begin alike share the work of those pieces.

        One piece here; a supernet of layers in a row gives one a layer.
        """
        modules = tuple(module for _, module in self.path_modules(path))
        return [Piece(str(path), modules, lambda x: self(x, path))]


class SearchSpace(ABC):
    """A search space; its constructor's arguments are the ``space`` table of a configuration, after ``type``."""

    num_layers: int
    num_candidates: int

    @abstractmethod
    def supernet(self, in_chans: int = 3) -> Supernet:
        """A freshly initialised supernet."""

    @abstractmethod
    def model_args(self, arch: Arch) -> dict[str, Any]:
        """Arguments that make timm's ``create_model("pinas", **args)`` build the path alone."""

    @abstractmethod
    def export(self, supernet: Supernet, arch: Arch) -> dict[str, torch.Tensor]:
        """State dict of the stand-alone network without classifier, cut out of the supernet; tensors are copies."""

    @abstractmethod
    def cost(self, arch: Arch, image_size: int) -> tuple[float, float]:
        """Parameters in millions and multiply-adds in billions of the path alone, without classifier."""

    @property
    def size(self) -> int:
        """Number of architectures."""
        return self.num_candidates**self.num_layers

    def parse(self, text: str) -> Arch:
        return Arch.parse(text, self.num_layers, self.num_candidates)

    def sample(self, rng: np.random.Generator, count: int = 1) -> list[Arch]:
        """``count`` paths that differ from each other in every layer (candidates drawn without replacement).

        Raises:
            ValueError: More paths than candidates.
        """
        if count > self.num_candidates:
            raise ValueError(f"expected at most {self.num_candidates} paths that differ in every layer, got {count}")
        draws = np.stack([rng.permutation(self.num_candidates)[:count] for _ in range(self.num_layers)])
        return [Arch(tuple(draws[:, k])) for k in range(count)]


def step_rng(seed: int, step: int, stream: int, rank: int = 0) -> np.random.Generator:
    """The generator of one step: a function of the run's seed, the step and what it is for; ranks share rank 0's."""
    return np.random.default_rng([seed, step, stream, rank])


def build_space(config: Mapping[str, Any]) -> SearchSpace:
    """The space that a configuration names: ``type`` is a module of :mod:`pinas_zoo.search.spaces`.

    Raises:
        UserError: No such space, or arguments that it does not take.
    """
    options = dict(config)
    name = str(options.pop("type", "resnest50"))
    try:
        module = importlib.import_module(f"pinas_zoo.search.spaces.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"pinas_zoo.search.spaces.{name}":
            raise
        raise UserError(f"expected space.type to be a module of pinas_zoo.search.spaces, got {name!r}") from error
    try:
        space: SearchSpace = module.Space(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"space {name!r}: {error}") from error
    return space
