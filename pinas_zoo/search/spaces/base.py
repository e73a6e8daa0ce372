"""What a search space is: candidates per layer, a supernet that holds them all, and the network of one path."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pinas_zoo.analysis.cost import Cost, count_module
from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.plugins import load_class
from pinas_zoo.weights.entry_points import on_meta


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
    architecture = "pinas"  # timm's entry point that builds a path alone; its first argument is ``arch``

    @abstractmethod
    def supernet(self, in_chans: int = 3) -> Supernet:
        """A freshly initialised supernet."""

    @abstractmethod
    def model_args(self, arch: Arch) -> dict[str, Any]:
        """What makes timm's ``create_model(architecture, **args)`` build the path alone; ``arch`` is among it."""

    def export(self, supernet: Supernet, arch: Arch) -> dict[str, torch.Tensor]:
        """State dict of the stand-alone network without classifier, cut out of the supernet; tensors are copies.

        Here by the names of :meth:`Supernet.path_modules`; a space whose networks have others overrides it.
        """
        return {
            f"{name}.{key}": tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, module in supernet.path_modules(arch)
            for key, tensor in module.state_dict().items()
        }

    def cost_table(self, image_size: int) -> tuple[Cost, list[tuple[Cost, ...]]]:
        """Cost of one path, and per layer and candidate what is added to it: ``table[layer][choice]``; no classifier.

        Here counted on networks without memory, one for each candidate of each layer; a formula is faster. Exact when a
        layer's cost does not depend on the choices in others.
        """

        def count(layer: int, choice: int) -> Cost:
            arch = Arch(tuple(choice if k == layer else 0 for k in range(self.num_layers)))
            args = {**self.model_args(arch), "num_classes": 0}
            return count_module(on_meta(self.architecture, args), (3, image_size, image_size))

        base = count(0, 0)
        table = []
        for layer in range(self.num_layers):
            costs = (count(layer, choice) for choice in range(self.num_candidates))
            table.append(tuple(Cost(c.params - base.params, c.macs - base.macs) for c in costs))
        return base, table

    def cost(self, arch: Arch, image_size: int) -> tuple[float, float]:
        """Parameters in millions and multiply-adds in billions of the path alone, without classifier.

        A sum over layers from a table that is made once for an image size: microseconds.
        """
        tables = self.__dict__.setdefault("_cost_tables", {})
        if image_size not in tables:
            rest, layers = self.cost_table(image_size)
            tables[image_size] = (
                (rest.params, rest.macs),
                [[(cost.params, cost.macs) for cost in row] for row in layers],
            )
        (params, macs), layers = tables[image_size]
        for row, choice in zip(layers, arch.choices, strict=True):
            more_params, more_macs = row[choice]
            params += more_params
            macs += more_macs
        return params / 1e6, macs / 1e9

    def describe(self, arch: Arch) -> str:
        """What a report calls an architecture."""
        return str(arch)

    def picture(self, arch: Arch, title: str) -> str | None:
        """An SVG of the path alone, for the report; None when the space has none."""
        return None

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


def build_space(config: Mapping[str, Any]) -> SearchSpace:
    """The space that a configuration names: ``type`` is a module of :mod:`pinas_zoo.search.spaces` or a Python file.

    Raises:
        UserError: No such space, or arguments that it does not take.
    """
    options = dict(config)
    name = str(options.pop("type", "resnest50"))
    kind = load_class(name, "pinas_zoo.search.spaces", "Space", "space.type")
    try:
        space: SearchSpace = kind(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"space {name!r}: {error}") from error
    return space
