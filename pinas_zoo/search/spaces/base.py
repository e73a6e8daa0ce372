"""What a search space is: candidates per layer, a supernet that holds them all, and the network of one path."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


Path = Arch | torch.Tensor


class Supernet(nn.Module, ABC):
    """All candidates of all layers with shared weights.

    A path through it is an :class:`Arch`, or a tensor of gates, layers x candidates: the output of a layer is then the
    sum of its candidates' outputs, each times its gate, and gradients reach the gates. A supernet that knows no gates
    says so.

    It is a chain of ``num_stages`` stages, each of which hands an unpooled map to the next; one stage unless it says
    otherwise.
    """

    num_features: int  # width of the pooled output
    num_stages = 1
    stage_channels: tuple[int, ...] = ()  # of each stage's map

    @abstractmethod
    def forward(self, x: torch.Tensor, path: Path) -> torch.Tensor:
        """Pooled features of one path: N x C x H x W to N x num_features."""

    @abstractmethod
    def path_modules(self, path: Arch) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules that this path runs through, each module once, in the order of execution."""

    def stage(self, index: int, x: torch.Tensor, path: Path) -> torch.Tensor:
        """One stage of a path: the map of the stage before (the image for the first) to this one's, unpooled.

        Args:
            index: From 0 to ``num_stages - 1``.
            x: N x C x H x W.
            path: Of the whole supernet.
        """
        raise NotImplementedError(f"{type(self).__name__} has no stages that run alone")

    def pieces(self, path: Arch) -> Sequence[Piece]:
        """The path as a chain, one piece after the other; paths that begin alike share the work of those pieces.

        One piece here; a supernet of layers in a row gives one a layer.
        """
        modules = tuple(module for _, module in self.path_modules(path))
        return [Piece(str(path), modules, lambda x: self(x, path))]


def mixture(outputs: Iterable[torch.Tensor], gates: torch.Tensor) -> torch.Tensor:
    """Sum of candidates' outputs, each N x C x H x W, times their gates (one for each candidate)."""
    total: torch.Tensor | None = None
    for output, gate in zip(outputs, gates.unbind(0), strict=True):
        term = output * gate
        total = term if total is None else total + term
    assert total is not None
    return total


class SearchSpace(ABC):
    """A search space; its constructor's arguments are the ``space`` table of a configuration, after ``type``.

    A space has a supernet, which is trained, and may name a subspace, which is scored: sec. 4.3 trains all five
    operations of NAS-Bench-201 and ranks the architectures without two of them.

    Attributes:
        num_layers: Searched layers.
        num_candidates: Of each layer.
        architecture: timm's entry point that builds a path alone; its first argument is ``arch``.
        subspace: Candidates that may be scored, the same in each layer; all of them when None.
    """

    num_layers: int
    num_candidates: int
    architecture = "pinas"
    subspace: tuple[int, ...] | None = None

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
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """Candidates of each layer that may be scored."""
        return (self.subspace or tuple(range(self.num_candidates)),) * self.num_layers

    @property
    def size(self) -> int:
        """Number of architectures that may be scored."""
        return math.prod(map(len, self.choices))

    def parse(self, text: str) -> Arch:
        """An architecture of the space, in or outside the subspace, from its text.

        Raises:
            ValueError: It is none.
        """
        return Arch.parse(text, self.num_layers, self.num_candidates)

    def sample(self, rng: np.random.Generator, count: int = 1) -> list[Arch]:
        """``count`` paths of the supernet that differ from each other in every layer.

        Raises:
            ValueError: More paths than candidates.
        """
        if count > self.num_candidates:
            raise ValueError(f"expected at most {self.num_candidates} paths that differ in every layer, got {count}")
        draws = np.stack([rng.permutation(self.num_candidates)[:count] for _ in range(self.num_layers)])
        return [Arch(tuple(draws[:, k])) for k in range(count)]


SPACES = {  # names that ``space.type`` takes
    "resnest50": "pinas_zoo.search.spaces.resnest50:ResNeSt50Space",
    "nasbench201": "pinas_zoo.search.spaces.nasbench201:NASBench201Space",
}


def build_space(config: Mapping[str, Any]) -> SearchSpace:
    """The space that a configuration names: a name of :data:`SPACES`, or a Python file with a subclass of SearchSpace.

    Raises:
        UserError: No such space, or arguments that it does not take.
    """
    options = dict(config)
    name = str(options.pop("type", "resnest50"))
    kind = load_class(name, SPACES, SearchSpace, "space.type")  # type: ignore[type-abstract]
    try:
        space: SearchSpace = kind(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"space {name!r}: {error}") from error
    return space


def check_subspace(subspace: Sequence[int] | None, num_candidates: int) -> tuple[int, ...] | None:
    """Candidates that may be scored, in ascending order.

    Raises:
        ValueError: None, one that is given twice, or one that there is not.
    """
    if subspace is None:
        return None
    chosen = tuple(sorted(int(choice) for choice in subspace))
    if not chosen or len(set(chosen)) < len(chosen) or not 0 <= chosen[0] <= chosen[-1] < num_candidates:
        raise ValueError(f"expected a subspace of different candidates 0 to {num_candidates - 1}, got {subspace}")
    return chosen
