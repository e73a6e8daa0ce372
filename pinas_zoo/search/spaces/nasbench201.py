"""NAS-Bench-201's space (sec. 4.3): one of five operations on each of a cell's six edges; 5^6 = 15,625 architectures.

A supernet holds one candidate per edge, operation and cell: weights are shared by architectures, not by cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.analysis.cost import Cost, conv_cost, norm_cost
from pinas_zoo.analysis.diagram import cell_svg
from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import (
    EDGES,
    KERNELS,
    OPERATIONS,
    POOL,
    SKIP,
    STAGES,
    Cell,
    Reduction,
    arch_string,
    check_sizes,
    parse_arch,
    stage_widths,
)
from pinas_zoo.search.spaces.base import Path, Piece, SearchSpace, Supernet, check_subspace, mixture

NOISE = 0.3  # of the usual random weights beside the identity


class NASBench201Supernet(Supernet):
    """The skeleton with all candidates in every cell; tensors are named as in the network alone."""

    num_stages = STAGES

    def __init__(
        self,
        operations: Sequence[int],
        channels: int,
        cells: int,
        affine: bool,
        in_chans: int,
        identity_init: bool,
    ):
        super().__init__()
        self.operations = tuple(operations)  # a path's digit to the benchmark's operation
        self.conv1 = nn.Conv2d(in_chans, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for stage, width in enumerate(stage_widths(channels)):
            layers: list[nn.Module] = [Reduction(width // 2, affine)] if stage else []
            layers += [Cell(width, [self.operations] * len(EDGES), affine) for _ in range(cells)]
            self.add_module(f"stage{stage + 1}", nn.ModuleList(layers))
        self.stage_channels = tuple(stage_widths(channels))
        self.num_features = self.stage_channels[-1]
        self.bn2 = nn.BatchNorm2d(self.num_features)
        self.act2 = nn.ReLU(inplace=True)
        if identity_init:
            for name, module in self.named_modules():
                if isinstance(module, nn.Conv2d) and ".edge" in name:
                    with torch.no_grad():
                        module.weight.mul_(NOISE).add_(nn.init.dirac_(torch.empty_like(module.weight)))
        self.to(memory_format=torch.channels_last)  # pooling and 1x1 convolutions are several times faster on CPUs

    def forward(self, x: torch.Tensor, path: Path) -> torch.Tensor:
        for index in range(STAGES):
            x = self.stage(index, x, path)  # N x channels * 2^index x H / 2^index x W / 2^index
        return self.pool(x)

    def stage(self, index: int, x: torch.Tensor, path: Path) -> torch.Tensor:
        """As the base class; the first stage contains the stem, later ones begin with the reduction before them."""
        if index == 0:
            x = self.stem(x)
        for layer in self._modules[f"stage{index + 1}"]:  # type: ignore[union-attr]
            if not isinstance(layer, Cell):
                x = layer(x)
            elif isinstance(path, torch.Tensor):
                x = mixed_cell(layer, x, path, self.operations)
            else:
                x = layer(x, self.chosen(path))
        return x

    def pool(self, x: torch.Tensor) -> torch.Tensor:
        return self.act2(self.bn2(x)).mean((2, 3))  # N x num_features

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn1(self.conv1(x.contiguous(memory_format=torch.channels_last)))  # N x channels x H x W

    def chosen(self, path: Arch) -> tuple[int, ...]:
        return tuple(self.operations[c] for c in path)

    def pieces(self, path: Arch) -> list[Piece]:
        """Stem and body: a cell's operations are those of all cells, so that paths have only the stem in common."""
        modules = [module for name, module in self.path_modules(path) if name not in ("conv1", "bn1")]
        body = Piece(str(path), tuple(modules), lambda x: self.body(x, path))
        return [Piece("stem", (self.conv1, self.bn1), self.stem), body]

    def body(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        """What follows the stem: N x channels x H x W to N x num_features."""
        for index in range(STAGES):
            for layer in self._modules[f"stage{index + 1}"]:  # type: ignore[union-attr]
                x = layer(x, self.chosen(path)) if isinstance(layer, Cell) else layer(x)
        return self.pool(x)

    def path_modules(self, path: Arch) -> Iterator[tuple[str, nn.Module]]:
        yield "conv1", self.conv1
        yield "bn1", self.bn1
        for stage in range(STAGES):
            for place, layer in self.get_submodule(f"stage{stage + 1}").named_children():
                name = f"stage{stage + 1}.{place}"
                if not isinstance(layer, Cell):
                    yield name, layer
                    continue
                for edge, operation in enumerate(self.chosen(path)):
                    if operation in KERNELS:
                        yield f"{name}.edge{edge}.{OPERATIONS[operation]}", layer.conv(edge, operation)
        yield "bn2", self.bn2


def mixed_cell(cell: Cell, x: torch.Tensor, gates: torch.Tensor, operations: Sequence[int]) -> torch.Tensor:
    """A cell whose edges are mixtures of all candidates: N x channels x H x W to the same shape.

    Args:
        cell: With all candidates.
        x: Its input.
        gates: Edges x candidates.
        operations: The candidates, as indices into OPERATIONS.
    """
    nodes = [x]
    for node in range(1, 1 + EDGES[-1][1]):
        terms = []
        for edge, (source, to) in enumerate(EDGES):
            if to == node:
                outputs = (edge_output(cell, edge, operation, nodes[source]) for operation in operations)
                terms.append(mixture(outputs, gates[edge]))
        nodes.append(torch.stack(terms).sum(0))
    return nodes[-1]


def edge_output(cell: Cell, edge: int, operation: int, x: torch.Tensor) -> torch.Tensor:
    """One operation of one edge: N x channels x H x W to the same shape."""
    if operation in KERNELS:
        return cell.conv(edge, operation)(F.relu(x))
    if operation == POOL:
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return x if operation == SKIP else torch.zeros_like(x)


class NASBench201Space(SearchSpace):
    """NAS-Bench-201, whole or reduced.

    A digit of an architecture is an index into ``operations``. With all five it is the benchmark's own; with fewer,
    :meth:`operations_of` and :meth:`from_operations` lead to the benchmark's digits and back.

    Args:
        operations: Allowed on every edge: of :data:`pinas_zoo.models.nasbench201.OPERATIONS`.
        channels: Of the first stage; doubled in each later one. The benchmark's 16.
        cells: Per stage. The benchmark's 5.
        affine: Whether the batch norms of cells and reductions have weights. The benchmark's networks have them;
            supernets are often learned without.
        identity_init: Start the cells' convolutions at the identity plus 0.3 of the usual random weights. An edge's
            operations then hand on nearly the same, so that cross-path consistency has something to agree on, as
            ``zero_init_last`` gives the paper's space.
        subspace: Operations of architectures that may be scored, of ``operations``; all of them when None. Sec. 4.3
            trains all five and ranks the 729 architectures of three.
    """

    architecture = "nasbench201"

    def __init__(
        self,
        operations: Sequence[str] = OPERATIONS,
        channels: int = 16,
        cells: int = 5,
        affine: bool = True,
        identity_init: bool = True,
        subspace: Sequence[str] | None = None,
    ):
        unknown = [o for o in operations if o not in OPERATIONS]
        if isinstance(operations, str) or unknown or not operations or len(set(operations)) != len(operations):
            raise ValueError(f"expected different operations of {', '.join(OPERATIONS)}, got {operations}")
        check_sizes(channels, cells)
        self.operations = tuple(operations)
        self.channels, self.cells, self.affine, self.identity_init = channels, cells, affine, identity_init
        self._codes = tuple(OPERATIONS.index(o) for o in operations)
        self.num_layers, self.num_candidates = len(EDGES), len(operations)
        if isinstance(subspace, str) or (subspace is not None and not set(subspace) <= set(operations)):
            raise ValueError(f"expected a subspace of {', '.join(operations)}, got {subspace}")
        chosen = None if subspace is None else [self.operations.index(o) for o in subspace]
        self.subspace = check_subspace(chosen, self.num_candidates)

    def supernet(self, in_chans: int = 3) -> NASBench201Supernet:
        return NASBench201Supernet(self._codes, self.channels, self.cells, self.affine, in_chans, self.identity_init)

    def parse(self, text: str) -> Arch:
        """The space's digits, or the benchmark's architecture string.

        Raises:
            UserError: A string that is none, or that uses an operation which this space leaves out.
        """
        return self.from_operations(parse_arch(text)) if "|" in text else super().parse(text)

    def operations_of(self, arch: Arch) -> Arch:
        """The benchmark's digits (0-4, in the order of OPERATIONS) of an architecture of this space."""
        return Arch(tuple(self._codes[c] for c in arch))

    def from_operations(self, arch: Arch) -> Arch:
        """This space's digits of an architecture in the benchmark's.

        Raises:
            UserError: It uses an operation that this space leaves out.
        """
        if not self.holds(arch):
            raise UserError(f"expected only {', '.join(self.operations)}, got {arch_string(arch)}")
        return Arch(tuple(self._codes.index(c) for c in arch))

    def holds(self, arch: Arch) -> bool:
        """Whether an architecture in the benchmark's digits belongs to this space."""
        return set(arch) <= set(self._codes)

    def model_args(self, arch: Arch) -> dict[str, Any]:
        return {
            "arch": str(self.operations_of(arch)),
            "channels": self.channels,
            "cells": self.cells,
            "affine": self.affine,
        }

    def cost_table(self, image_size: int) -> tuple[Cost, list[tuple[Cost, ...]]]:
        sizes = [(image_size, image_size)]
        for _ in range(STAGES - 1):
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        widths = stage_widths(self.channels)
        norms = [norm_cost(width) if self.affine else Cost() for width in widths]
        rest = conv_cost(3, self.channels, 3, sizes[0]) + norm_cost(self.channels) + norm_cost(widths[-1])
        for before, width, size, norm in zip(widths, widths[1:], sizes[1:], norms[1:], strict=False):
            rest += conv_cost(before, width, 3, size) + conv_cost(width, width, 3, size) + norm + norm
            rest += conv_cost(before, width, 1, size)
        row = []
        for code in self._codes:
            cells = Cost()
            for width, size, norm in zip(widths, sizes, norms, strict=True):
                if code in KERNELS:
                    cells = sum([conv_cost(width, width, KERNELS[code], size) + norm] * self.cells, cells)
            row.append(cells)
        return rest, [tuple(row)] * self.num_layers

    def describe(self, arch: Arch) -> str:
        return arch_string(self.operations_of(arch))

    def picture(self, arch: Arch, title: str) -> str:
        edges = [(source, to, self.operations[c]) for (source, to), c in zip(EDGES, arch, strict=True)]
        return cell_svg(edges, title)
