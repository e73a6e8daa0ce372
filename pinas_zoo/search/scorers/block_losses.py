"""Scores of paths as sums of losses of their stages, each measured once, and the exact traversal of all paths.

The loss of a stage depends on the choices in its layers alone, because its input comes from a teacher. Stages whose
layers overlap, as those of NAS-Bench-201 with its shared cell, form one part together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import Statistics, batch_statistics
from pinas_zoo.engine.read_numbers import read_numbers
from pinas_zoo.errors import UserError
from pinas_zoo.search.samplers.traversal import best_first
from pinas_zoo.search.scorers.protocol import SUPERNET, Score, ScoringData
from pinas_zoo.search.spaces.base import Supernet

MOST = 2**17  # options of a part that a traversal measures
Key = tuple[int, tuple[int, ...]]  # a stage, and the choices in its layers


class BlockLossScorer:
    """Scores a path by the negative sum of its stages' losses on the held-out images.

    Args:
        supernet: The trained supernet, whose stages run alone.
        maps: Computes for normalised images the input and the target of every stage.
        loss: Loss of a stage, from its index, its output and its target; a mean over images.
        data: Images and options.
        device: Device of the supernet.
    """

    needs: ClassVar[frozenset[str]] = frozenset({SUPERNET})

    def __init__(
        self,
        supernet: Supernet,
        maps: Callable[[torch.Tensor], Sequence[tuple[torch.Tensor, torch.Tensor]]],
        loss: Callable[[int, torch.Tensor, torch.Tensor], torch.Tensor],
        data: ScoringData,
        device: torch.device,
    ):
        self.supernet, self.maps, self.loss, self.data, self.device = supernet.eval(), maps, loss, data, device
        self.known: dict[Key, float] = {}

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        self.measure(paths)
        sums = [math.fsum(self.known[key] for key in self.keys(path)) for path in paths]
        return [Score(-total, total) for total in sums]

    def keys(self, path: Arch) -> list[Key]:
        layers = self.supernet.stage_layers
        return [(stage, tuple(path[k] for k in some)) for stage, some in enumerate(layers)]

    @torch.no_grad()
    def measure(self, paths: Sequence[Arch]) -> None:
        """Measure the stages of paths that are not known yet, all on the same images."""
        new = {key: path for path in paths for key in self.keys(path) if key not in self.known}
        if not new:
            return
        by_batch = self.data.statistics == "batch"
        statistics = {
            key: Statistics([m for name, m in self.supernet.path_modules(path) if self.is_in(name, key[0])])
            for key, path in new.items()
        }
        if not by_batch:
            size = self.data.recalibration_batch_size or self.data.batch_size
            for batch in self.data.recalibration.batches(size):
                maps = self.maps(self.data.normalise(batch["pixels"].to(self.device)))
                for key, path in new.items():
                    with statistics[key].gather():
                        self.supernet.stage(key[0], maps[key[0]][0], path)
        sums, count = {key: torch.zeros((), dtype=torch.double, device=self.device) for key in new}, 0
        with batch_statistics(self.supernet) if by_batch else nullcontext():
            for batch in self.data.held_out.batches(self.data.batch_size):
                maps = self.maps(self.data.normalise(batch["pixels"].to(self.device)))
                number = len(batch["labels"])
                count += number
                for key, path in new.items():
                    x, target = maps[key[0]]
                    with nullcontext() if by_batch else statistics[key].use():
                        output = self.supernet.stage(key[0], x, path)
                    sums[key] += number * self.loss(key[0], output, target).double()
        for key, total in zip(new, read_numbers(list(sums.values())), strict=True):
            self.known[key] = total / count

    def is_in(self, module: str, stage: int) -> bool:
        """Whether a module of a path belongs to a stage."""
        return any(f"{module}.".startswith(prefix) for prefix in self.supernet.stage_prefixes[stage])

    def traverse(self, limits: tuple[float, float] = (math.inf, math.inf)) -> Iterator[Arch]:
        """All paths that may be scored within limits, best first. It measures every option of every part.

        Args:
            limits: Largest parameters, in millions, and multiply-adds, in billions. Rounding is tolerated.

        Raises:
            UserError: A part has too many options.
        """
        space = self.data.space
        base, table = space.cost_table(self.data.image_size)
        parts = overlapping(self.supernet.stage_layers)
        first = [choices[0] for choices in space.choices]
        options, losses, costs = [], [], []
        for layers, stages in parts:
            allowed = [space.choices[k] for k in layers]
            number = math.prod(map(len, allowed))
            if number > MOST:
                raise UserError(
                    f"expected stages of at most {MOST:,} paths to traverse, got {number:,}; try "
                    "explore.sampler='action_space'"
                )
            some = list(itertools.product(*allowed))
            paths = [
                Arch(tuple(dict(zip(layers, o, strict=True)).get(k, c) for k, c in enumerate(first))) for o in some
            ]
            self.measure(paths)
            of_paths = [self.keys(path) for path in paths]
            losses.append(np.array([math.fsum(self.known[keys[s]] for s in stages) for keys in of_paths]))
            costs.append(
                np.array(
                    [
                        [sum(getattr(table[k][c], unit) for k, c in zip(layers, o, strict=True)) for unit in UNITS]
                        for o in some
                    ],
                    dtype=float,
                ).reshape(-1, 2)
            )
            options.append(some)
        left = [limit * scale - getattr(base, unit) for limit, (unit, scale) in zip(limits, UNITS.items(), strict=True)]
        for _, chosen in best_first(losses, costs, left):
            path = Arch(tuple(first))
            for (layers, _), some, option in zip(parts, options, chosen, strict=True):
                path = with_choices(path, layers, some[option])
            yield path


UNITS = {"params": 1e6, "macs": 1e9}  # of a Cost, and how many a unit of the limits has


def with_choices(path: Iterable[int], layers: Sequence[int], choices: Sequence[int]) -> Arch:
    """A path with other choices in some layers."""
    changed = dict(zip(layers, choices, strict=True))
    return Arch(tuple(changed.get(layer, choice) for layer, choice in enumerate(path)))


def overlapping(stages: Sequence[Sequence[int]]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Group stages that depend on a common layer. Returns the layers and the stages of each group."""
    groups: list[tuple[set[int], list[int]]] = []
    for stage, layers in enumerate(stages):
        joined = [group for group in groups if group[0] & set(layers)]
        merged = (set(layers).union(*(g[0] for g in joined)), [s for g in joined for s in g[1]] + [stage])
        groups = [group for group in groups if group not in joined] + [merged]
    return [(tuple(sorted(layers)), tuple(sorted(some))) for layers, some in groups]
