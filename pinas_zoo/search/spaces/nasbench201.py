"""NAS-Bench-201's space (sec. 4.3): one of five operations on each of a cell's six edges; 5^6 = 15,625 architectures.

The supernet has one candidate per edge, operation and cell. Architectures share weights; cells do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
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
    NONE,
    OPERATIONS,
    POOL,
    SKIP,
    STAGES,
    Cell,
    Reduction,
    arch_string,
    check_sizes,
    parse_arch,
    prune,
    stage_widths,
)
from pinas_zoo.models.pooling import average_pool
from pinas_zoo.search.spaces.balanced_paths import TRAINING_PATHS, BalancedPaths, TrainingPaths
from pinas_zoo.search.spaces.base import (
    LayerGates,
    Path,
    Piece,
    SampledGates,
    SearchSpace,
    Supernet,
    check_subspace,
    gates_of_layers,
    mixture,
)

RESNET = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
NOISE = 0.3  # factor of the usual random weights that are added to the identity


class NASBench201Supernet(Supernet):
    """The benchmark's network with all candidates in every cell. Tensors have the names of the stand-alone network.

    Args:
        operations: Candidates of each edge, as indices into OPERATIONS.
        channels: Channels of the first stage.
        cells: Cells per stage.
        affine: Whether the batch norms of cells and reductions have weights.
        in_chans: Channels of the image.
        identity_init: Whether convolutions of cells start near the identity.
    """

    num_stages = STAGES
    stage_strides = tuple(2**stage for stage in range(STAGES))
    stage_layers = (tuple(range(len(EDGES))),) * STAGES  # all stages repeat one cell
    stage_prefixes = (("conv1.", "bn1.", "stage1."), *((f"stage{k + 1}.",) for k in range(1, STAGES)))

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
        self.operations = tuple(operations)  # maps a digit of a path to the benchmark's operation
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
        """Run one stage. The first stage includes the stem; later ones begin with the reduction."""
        if index == 0:
            x = self.stem(x)
        for layer in self._modules[f"stage{index + 1}"]:  # type: ignore[union-attr]
            if not isinstance(layer, Cell):
                x = layer(x)
            elif isinstance(path, torch.Tensor | SampledGates):
                x = mixed_cell(layer, x, gates_of_layers(path), self.operations)
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
        """Stem and body. All cells use the same operations, so different paths have only the stem in common."""
        modules = [module for name, module in self.path_modules(path) if name not in ("conv1", "bn1")]
        body = Piece(str(path), tuple(modules), lambda x: self.body(x, path))
        return [Piece("stem", (self.conv1, self.bn1), self.stem), body]

    def body(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        """Everything after the stem: N x channels x H x W to N x num_features."""
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


def mixed_cell(cell: Cell, x: torch.Tensor, gates: Sequence[LayerGates], operations: Sequence[int]) -> torch.Tensor:
    """Run a cell whose edges are mixtures of candidates.

    Args:
        cell: Cell that contains all candidates.
        x: Input, N x channels x H x W.
        gates: Candidates of each edge and their weights.
        operations: The candidates, as indices into OPERATIONS.

    Returns:
        N x channels x H x W.
    """
    nodes = [x]
    for node in range(1, 1 + EDGES[-1][1]):
        terms = []
        for edge, (source, to) in enumerate(EDGES):
            if to == node:
                chosen = gates[edge]
                outputs = (edge_output(cell, edge, operations[c], nodes[source]) for c in chosen.candidates)
                terms.append(mixture(outputs, chosen.gates))
        nodes.append(torch.stack(terms).sum(0))
    return nodes[-1]


def edge_output(cell: Cell, edge: int, operation: int, x: torch.Tensor) -> torch.Tensor:
    """Run one operation of one edge: N x channels x H x W to the same shape."""
    if operation in KERNELS:
        return cell.conv(edge, operation)(F.relu(x))
    if operation == POOL:
        return average_pool(x, 3, 1, 1, count_include_pad=False)
    return x if operation == SKIP else torch.zeros_like(x)


class NASBench201Space(SearchSpace):
    """NAS-Bench-201's space, with all operations or a selection.

    A digit of an architecture is an index into ``operations``. With all five operations these are the benchmark's
    digits. With fewer, :meth:`operations_of` converts to the benchmark's digits, and :meth:`from_operations` back.

    Args:
        operations: Operations allowed on every edge, from :data:`pinas_zoo.models.nasbench201.OPERATIONS`.
        channels: Channels of the first stage, doubled in each later stage. The benchmark has 16.
        cells: Number of cells per stage. The benchmark has 5.
        affine: Whether the batch norms of cells and reductions have weights. The benchmark's networks have them;
            supernets are often trained without.
        identity_init: Whether convolutions of cells start as the identity plus 0.3 times the usual random weights. All
            operations of an edge then have similar outputs at first, which cross-path consistency needs. It corresponds
            to ``zero_init_last`` in the paper's space.
        subspace: Operations that architectures to be scored may use; None for all of ``operations``. Sec. 4.3 trains
            all five and ranks the 729 architectures that use three.
        training_paths: Which paths are trained. ``uniform``: all alike, as in the paper. ``connected``: those by which
            the image reaches the output. ``balanced``: connected ones with depths 0 to 1, 2 and 3 equally often, where
            the depth is the number of convolutions on the longest way.

    Raises:
        ValueError: An operation is unknown or repeated, a size is out of range, or ``training_paths`` is unknown.
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
        training_paths: TrainingPaths = "uniform",
    ):
        if training_paths not in TRAINING_PATHS:
            raise ValueError(f"expected training_paths to be {' or '.join(TRAINING_PATHS)}, got {training_paths!r}")
        if not isinstance(operations, list | tuple):
            raise ValueError(f"expected operations to be a list of {', '.join(OPERATIONS)}, got {operations!r}")
        unknown = [o for o in operations if o not in OPERATIONS]
        if unknown or not operations or len(set(operations)) != len(operations):
            raise ValueError(f"expected different operations of {', '.join(OPERATIONS)}, got {operations}")
        check_sizes(channels, cells)
        self.operations = tuple(operations)
        self.channels, self.cells, self.affine, self.identity_init = channels, cells, affine, identity_init
        self._codes = tuple(OPERATIONS.index(o) for o in operations)
        self.num_layers, self.num_candidates = len(EDGES), len(operations)
        self.layer_names = tuple(f"edge {source}→{to}" for source, to in EDGES)
        self.candidate_names = self.operations
        if isinstance(subspace, str) or (subspace is not None and not set(subspace) <= set(operations)):
            wrong = [subspace] if isinstance(subspace, str) else [o for o in subspace if o not in operations]
            raise ValueError(
                f"expected space.subspace to be a list of {', '.join(operations)}, got {', '.join(map(repr, wrong))}"
            )
        chosen = None if subspace is None else [self.operations.index(o) for o in subspace]
        self.subspace = check_subspace(chosen, self.num_candidates)
        self.balanced = (
            None if training_paths == "uniform" else BalancedPaths(self._codes, by_depth=training_paths == "balanced")
        )

    def sample(self, rng: np.random.Generator, count: int = 1) -> list[Arch]:
        return super().sample(rng, count) if self.balanced is None else self.balanced.sample(rng, count)

    def supernet(self, in_chans: int = 3) -> NASBench201Supernet:
        return NASBench201Supernet(self._codes, self.channels, self.cells, self.affine, in_chans, self.identity_init)

    def parse(self, text: str) -> Arch:
        """Read an architecture from this space's digits or from the benchmark's architecture string.

        Raises:
            ValueError: The digits are not an architecture of this space.
            UserError: The string is malformed, or uses an operation that this space does not have.
        """
        return self.from_operations(parse_arch(text)) if "|" in text else super().parse(text)

    def operations_of(self, arch: Arch) -> Arch:
        """Convert an architecture of this space to the benchmark's digits (0-4, in the order of OPERATIONS)."""
        return Arch(tuple(self._codes[c] for c in arch))

    def from_operations(self, arch: Arch) -> Arch:
        """Convert an architecture in the benchmark's digits to this space's digits.

        Raises:
            UserError: The architecture uses an operation that this space does not have.
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

    def reachable(self, arch: Arch) -> Arch:
        """The architecture with ``none`` on edges that no path from the cell's input to its output takes."""
        if NONE not in self._codes:
            return arch  # every edge passes something on
        pruned = prune(self.operations_of(arch).choices)
        return self.from_operations(Arch(pruned))

    def graph(self) -> tuple[tuple[int, int], ...]:
        """The eight nodes of arch2vec's graphs: input, the operations of the six edges, output."""
        last = EDGES[-1][1]  # node of the cell
        ends = [(0, 0), *EDGES, (last, last)]  # input and output as edges at the first and the last node
        return tuple(
            (k, j) for k, (_, to) in enumerate(ends) for j, (source, _) in enumerate(ends) if to == source and k < j
        )

    def sees_image(self, arch: Arch) -> bool:
        """Whether a way without ``none`` leads from the cell's input to its output."""
        return any(code != NONE for code in prune(self.operations_of(arch).choices))

    def references(self) -> dict[str, Arch]:
        """ResNet's basic block as a cell, if the space has its operations and may score them.

        Dong and Yang list this cell as ResNet in the benchmark's experiments: two 3x3 convolutions in a row, and the
        input added to their output. The last edge is a skip connection, so that the convolutions' output is a node.
        """
        known = parse_arch(RESNET)
        if not self.holds(known):
            return {}
        arch = self.from_operations(known)
        return {"resnet": arch} if all(c in some for c, some in zip(arch, self.choices, strict=True)) else {}

    def describe(self, arch: Arch) -> str:
        return arch_string(self.operations_of(arch))

    def picture(self, arch: Arch, title: str) -> str:
        edges = [(source, to, self.operations[c]) for (source, to), c in zip(EDGES, arch, strict=True)]
        return cell_svg(edges, title)
