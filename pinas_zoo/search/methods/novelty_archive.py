"""The archive of NSAS: a few earlier paths that differ as much as possible from each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.spaces.base import SearchSpace


class NoveltyArchive(nn.Module):
    """At most ``size`` paths, chosen greedily: a new path takes the place of the least novel one.

    The novelty of a path is its mean distance to the others, in layers that differ. Leaving out the least novel of
    ``size + 1`` paths keeps the ``size`` of them with the largest sum of distances, because that sum falls by the
    novelty of the one that goes, times ``size``. Among equally novel paths the oldest goes.

    Paths are kept on the host, where they are needed, and in a buffer for checkpoints.

    Args:
        space: The search space.
        size: Largest number of paths.

    Attributes:
        paths: The paths, oldest first.
    """

    choices: torch.Tensor

    def __init__(self, space: SearchSpace, size: int):
        super().__init__()
        self.size = size
        self.paths: list[Arch] = []
        empty = torch.full((size, space.num_layers), -1)
        self.register_buffer("choices", empty)  # size x layers, rows of -1 where there is no path
        self.register_load_state_dict_post_hook(lambda module, _: module.read())

    def add(self, path: Arch) -> None:
        """Offer a path; one that the archive has already only becomes its newest."""
        candidates = [*(known for known in self.paths if known != path), path]
        if len(candidates) > self.size:
            candidates.pop(least_novel(candidates))
        self.paths = candidates
        rows = [*(list(known) for known in candidates), *[[-1] * len(path)] * (self.size - len(candidates))]
        self.choices.copy_(torch.tensor(rows))

    def read(self) -> None:
        """Take the paths from the buffer, after a checkpoint has been loaded."""
        self.paths = [Arch(tuple(row)) for row in self.choices.tolist() if row[0] >= 0]


def distance(one: Arch, other: Arch) -> int:
    """Number of layers in which two paths differ."""
    return sum(a != b for a, b in zip(one, other, strict=True))


def least_novel(paths: Sequence[Arch]) -> int:
    """Index of the path with the smallest sum of distances to the others; the first of equals."""
    sums = [sum(distance(path, other) for other in paths) for path in paths]
    return sums.index(min(sums))
