"""The base classes of search spaces and supernets.

A search space has candidates in each layer, a supernet that contains all of them, and a stand-alone network per path.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pinas_zoo.analysis.cost import Cost, count_module
from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.search.plugins import load_class
from pinas_zoo.weights.entry_points import WRONG_ARGUMENTS, on_meta


@dataclass(frozen=True)
class Piece:
    """A part of a path that runs as a whole. Pieces of the same name, after the same pieces, compute the same.

    Attributes:
        name: Name of the piece, unique within its path.
        modules: Modules that it runs.
        run: Computes the output from the output of the piece before; it does not modify its input.
    """

    name: str
    modules: tuple[nn.Module, ...]
    run: Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class SampledGates:
    """Gates of some candidates of each layer. The others are not run, so they cost no time and no memory.

    Attributes:
        candidates: Candidates of each layer, layers x K.
        gates: Their weights, layers x K.
    """

    candidates: tuple[tuple[int, ...], ...]
    gates: torch.Tensor


class LayerGates(NamedTuple):
    """The candidates of one layer that a mixture runs, and their weights."""

    candidates: tuple[int, ...]
    gates: torch.Tensor  # one for each of the candidates


Path = Arch | torch.Tensor | SampledGates


def gates_of_layers(path: torch.Tensor | SampledGates) -> list[LayerGates]:
    """Split gates, of all candidates or of sampled ones, into those of each layer."""
    if isinstance(path, SampledGates):
        rows = zip(path.candidates, path.gates.unbind(0), strict=True)
        return [LayerGates(tuple(candidates), gates) for candidates, gates in rows]
    everything = tuple(range(path.shape[1]))
    return [LayerGates(everything, gates) for gates in path.unbind(0)]


class Supernet(nn.Module, ABC):
    """All candidates of all layers, with weights that architectures share.

    A path is an :class:`Arch` or, for methods such as DARTS, a tensor of gates, layers x candidates. With gates, the
    output of a layer is the sum of its candidates' outputs, each multiplied by its gate, and gates receive gradients.
    :class:`SampledGates` are gates of some candidates; the supernet runs these alone. A supernet does not have to
    support gates.

    A supernet may be divided into ``num_stages`` consecutive stages, each of which maps the unpooled output of the
    stage before to its own.

    Attributes:
        num_features: Width of the pooled output.
        num_stages: Number of stages.
        stage_channels: Channels of each stage's output.
        stage_strides: Stride of each stage's output to the image. Empty: stages do not run alone.
        stage_layers: Layers on whose choices each stage depends.
        stage_prefixes: Beginnings of the names of each stage's tensors.

    Example:
        >>> import torch
        >>> from pinas_zoo.arch import Arch
        >>> from pinas_zoo.search import build_space
        >>> supernet = build_space({"type": "nasbench201", "channels": 4, "cells": 1}).supernet()
        >>> supernet(torch.randn(2, 3, 32, 32), Arch.parse("343210")).shape
        torch.Size([2, 16])
    """

    num_features: int
    num_stages = 1
    stage_channels: tuple[int, ...] = ()
    stage_strides: tuple[int, ...] = ()
    stage_layers: tuple[tuple[int, ...], ...] = ()
    stage_prefixes: tuple[tuple[str, ...], ...] = ()

    @abstractmethod
    def forward(self, x: torch.Tensor, path: Path) -> torch.Tensor:
        """Compute the pooled features of one path: N x C x H x W to N x num_features."""

    @abstractmethod
    def path_modules(self, path: Arch) -> Iterator[tuple[str, nn.Module]]:
        """Names and modules that a path runs, each module once, in the order of execution.

        Names are those of :meth:`named_modules`; tensors of the stand-alone network get them as prefixes.
        """

    def stage(self, index: int, x: torch.Tensor, path: Path) -> torch.Tensor:
        """Run one stage of a path, without pooling.

        Args:
            index: Index of the stage, from 0 to ``num_stages - 1``.
            x: Output of the stage before, or the image for the first stage; N x C x H x W.
            path: Path through the whole supernet.

        Returns:
            N x stage_channels[index] x H' x W'.

        Raises:
            NotImplementedError: The supernet is not divided into stages.
        """
        raise NotImplementedError(f"{type(self).__name__} has no stages that run alone")

    def pieces(self, path: Arch) -> Sequence[Piece]:
        """Divide a path into consecutive pieces. Scoring several paths runs their common first pieces once.

        The default is a single piece. A supernet whose layers form a chain returns one piece per layer.
        """
        modules = tuple(module for _, module in self.path_modules(path))
        return [Piece(str(path), modules, lambda x: self(x, path))]


def mixture(outputs: Iterable[torch.Tensor], gates: torch.Tensor) -> torch.Tensor:
    """Weighted sum of candidates' outputs.

    Args:
        outputs: One output per candidate, each N x C x H x W.
        gates: One weight per candidate, 1-dimensional.

    Returns:
        N x C x H x W.
    """
    total: torch.Tensor | None = None
    for output, gate in zip(outputs, gates.unbind(0), strict=True):
        term = output * gate
        total = term if total is None else total + term
    assert total is not None
    return total


class SearchSpace(ABC):
    """A search space. The keys of the configuration's ``space`` table, except ``type``, are constructor arguments.

    The supernet is trained on the whole space. Scoring can be restricted to a subspace: sec. 4.3 trains all five
    operations of NAS-Bench-201 and ranks the architectures that use three of them. A subclass implements
    :meth:`supernet` and :meth:`model_args`.

    Attributes:
        num_layers: Number of searched layers.
        num_candidates: Number of candidates in each layer.
        architecture: timm's name of the entry point that builds the stand-alone network of a path.
        subspace: Candidates that may be scored, the same in each layer; None for all.
        layer_names: Names of the layers in a report; empty: their numbers.
        candidate_names: Names of the candidates in a report; empty: their numbers.

    Example:
        >>> import numpy as np
        >>> from pinas_zoo.search import build_space
        >>> space = build_space({"type": "resnest50"})
        >>> space.num_layers, space.num_candidates, space.size == 4**16
        (16, 4, True)
        >>> space.cost(space.parse("1" * 16), image_size=224)  # M parameters and G multiply-adds of ResNeSt-50
        (25.43424, 5.369112576)
        >>> [str(arch) for arch in space.sample(np.random.default_rng(0), count=2)]
        ['2310022030221030', '0232231201112323']
    """

    num_layers: int
    num_candidates: int
    architecture = "pinas"
    subspace: tuple[int, ...] | None = None
    layer_names: Sequence[str] = ()
    candidate_names: Sequence[str] = ()

    @abstractmethod
    def supernet(self, in_chans: int = 3) -> Supernet:
        """Build a freshly initialised supernet for images with ``in_chans`` channels."""

    @abstractmethod
    def model_args(self, arch: Arch) -> dict[str, Any]:
        """Keyword arguments with which ``timm.create_model(architecture, **args)`` builds a stand-alone network.

        They are plain data, as they are written to ``config.json`` of the model folder, and contain ``arch``.
        """

    def export(self, supernet: Supernet, arch: Arch) -> dict[str, torch.Tensor]:
        """Extract the weights of a stand-alone network, without classifier, from a supernet.

        The default uses the names of :meth:`Supernet.path_modules`. A space whose stand-alone networks have other names
        overrides it.

        Returns:
            State dict of the stand-alone network; its tensors are copies.
        """
        return {
            f"{name}.{key}": tensor.detach().clone(memory_format=torch.contiguous_format)
            for name, module in supernet.path_modules(arch)
            for key, tensor in module.state_dict().items()
        }

    def cost_table(self, image_size: int) -> tuple[Cost, list[tuple[Cost, ...]]]:
        """Costs from which :meth:`cost` is summed, without classifier.

        The default counts one stand-alone network per candidate of each layer on the meta device. Overriding it with a
        formula is faster. The sum is exact if the cost of a layer does not depend on the choices in other layers.

        Args:
            image_size: Height and width of the image in pixels.

        Returns:
            A base cost, and ``table[layer][choice]``, which is added to it for each choice.
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
        """Parameters and multiply-adds of the stand-alone network, without classifier.

        It sums entries of a table that is computed once per image size, so a call takes microseconds.

        Args:
            arch: An architecture of the space.
            image_size: Height and width of the image in pixels.

        Returns:
            Parameters in millions, and multiply-adds in billions for one image.
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

    def reachable(self, arch: Arch) -> Arch:
        """The architecture without choices that have no effect on its output, in the space's own candidates.

        The default returns the architecture: all of its layers form one chain. A space of cells overrides it.
        """
        return arch

    def graph(self) -> tuple[tuple[int, int], ...]:
        """Edges of the graph of an architecture whose nodes are the input, the layers in their order, and the output.

        The default is a chain. In a space of cells, layers are the edges of a cell, and one leads to another where it
        ends at the node from which that one starts.
        """
        return tuple((k, k + 1) for k in range(self.num_layers + 1))

    def sees_image(self, arch: Arch) -> bool:
        """Whether the image reaches the output. If not, the output is the same for all images, and no training helps.

        The default says that it does: each layer has a block. A space whose edges can be cut overrides it.
        """
        return True

    def describe(self, arch: Arch) -> str:
        """Description of an architecture in a report."""
        return str(arch)

    def references(self) -> dict[str, Arch]:
        """Known architectures of the space by name, which a search scores beside its own (Acc@S of Table 1)."""
        return {}

    def picture(self, arch: Arch, title: str) -> str | None:
        """An SVG diagram of the stand-alone network for the report; None if the space draws none."""
        return None

    @property
    def choices(self) -> tuple[tuple[int, ...], ...]:
        """Candidates that may be scored, for each layer."""
        return (self.subspace or tuple(range(self.num_candidates)),) * self.num_layers

    @property
    def size(self) -> int:
        """Number of architectures that may be scored."""
        return math.prod(map(len, self.choices))

    def parse(self, text: str) -> Arch:
        """Read an architecture of the space from its text, such as ``"3013"``. It may lie outside the subspace.

        Raises:
            UserError: The text is not an architecture of this space.
        """
        return Arch.parse(text, self.num_layers, self.num_candidates)

    def sample(self, rng: np.random.Generator, count: int = 1) -> list[Arch]:
        """Sample ``count`` paths that differ from each other in every layer; each path is uniform over the supernet.

        Raises:
            ValueError: ``count`` is greater than the number of candidates.
        """
        if count > self.num_candidates:
            raise ValueError(f"expected at most {self.num_candidates} paths that differ in every layer, got {count}")
        draws = np.stack([rng.permutation(self.num_candidates)[:count] for _ in range(self.num_layers)])
        return [Arch(tuple(draws[:, k])) for k in range(count)]


SPACES = {  # built-in values of ``space.type``
    "resnest50": "pinas_zoo.search.spaces.resnest50:ResNeSt50Space",
    "nasbench201": "pinas_zoo.search.spaces.nasbench201:NASBench201Space",
}


def build_space(config: Mapping[str, Any]) -> SearchSpace:
    """Build the search space of a configuration.

    Args:
        config: The ``space`` table. ``type`` is a key of :data:`SPACES`, or the path of a Python file that defines a
            subclass of :class:`SearchSpace`; the other keys are its arguments.

    Raises:
        UserError: The space is unknown, or does not accept an argument.

    Example:
        >>> from pinas_zoo.search import build_space
        >>> build_space({"type": "nasbench201", "operations": ("nor_conv_1x1", "nor_conv_3x3")}).size
        64
    """
    options = dict(config)
    name = str(options.pop("type", "resnest50"))
    kind = load_class(name, SPACES, SearchSpace, "space.type")  # type: ignore[type-abstract]
    parameters = inspect.signature(kind).parameters
    accepts_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    if not accepts_any and (unknown := [key for key in options if key not in parameters]):
        raise UserError(f"space {name!r}: expected keys of {', '.join(parameters)}, got {unknown[0]!r}")
    try:
        space: SearchSpace = kind(**options)
    except WRONG_ARGUMENTS as error:
        raise UserError(f"space {name!r}: {' '.join(str(error).split()) or type(error).__name__}") from error
    return space


def check_subspace(subspace: Sequence[int] | None, num_candidates: int) -> tuple[int, ...] | None:
    """Sort and check the candidates that may be scored.

    Raises:
        ValueError: The subspace is empty, repeats a candidate, or contains one that does not exist.
    """
    if subspace is None:
        return None
    chosen = tuple(sorted(int(choice) for choice in subspace))
    if not chosen or len(set(chosen)) < len(chosen) or not 0 <= chosen[0] <= chosen[-1] < num_candidates:
        raise ValueError(f"expected a subspace of different candidates 0 to {num_candidates - 1}, got {subspace}")
    return chosen
