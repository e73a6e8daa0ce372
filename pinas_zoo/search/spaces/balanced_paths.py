"""Training paths of NAS-Bench-201 that carry the image, drawn evenly by their depth.

A uniform path is cut off from the image if ``none`` is on all ways from the cell's input to its output; its output is
then the same for all images. And only 7% of uniform paths are three convolutions deep, although the accurate cells are
among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np

from pinas_zoo.arch import Arch
from pinas_zoo.models.nasbench201 import EDGES, KERNELS, NONE

TrainingPaths = Literal["uniform", "connected", "balanced"]
TRAINING_PATHS = ("uniform", "connected", "balanced")
ATTEMPTS = 100  # sets of paths that are started before the next set ignores the depths


def effective_depth(operations: Sequence[int]) -> int | None:
    """The largest number of convolutions on a way from a cell's input to its output.

    Args:
        operations: The operation of each edge, as an index into OPERATIONS.

    Returns:
        0 to 3; None if no way leads from the input to the output.

    Example:
        >>> [effective_depth(operations) for operations in ((3, 0, 3, 0, 0, 3), (1, 0, 0, 1, 3, 3), (3, 3, 3, 0, 0, 0))]
        [3, 1, None]
    """
    depths: list[int | None] = [0, None, None, None]
    for (source, to), operation in zip(EDGES, operations, strict=True):
        before, known = depths[source], depths[to]
        if before is not None and operation != NONE:
            here = before + (operation in KERNELS)
            depths[to] = here if known is None else max(known, here)
    return depths[-1]


class BalancedPaths:
    """Draws connected paths that differ from each other in every layer.

    Args:
        operations: Operations of the space, as indices into OPERATIONS, in the order of a path's digits.
        by_depth: Whether each path first draws its depth (0 or 1, 2, 3, with equal chances where the space has all
            three), and then is uniform among the paths of that depth. False: uniform among connected paths.

    Raises:
        ValueError: The space has no connected path.
    """

    def __init__(self, operations: Sequence[int], by_depth: bool):
        digits = np.array(list(product(range(len(operations)), repeat=len(EDGES))), dtype=np.int8)
        depths = [effective_depth([operations[digit] for digit in path]) for path in digits.tolist()]
        connected = np.array([depth is not None for depth in depths])
        if not connected.any():
            raise ValueError("expected operations by which a path can reach the output, got none that can")
        self.paths = digits[connected]  # P x edges
        depth = np.array([max(1, depth) for depth in depths if depth is not None])  # P; 0 and 1 are one group
        self.depths = depth if by_depth else np.ones_like(depth)
        self.kinds = np.unique(self.depths)

    def sample(self, rng: np.random.Generator, count: int) -> list[Arch]:
        """Draw ``count`` connected paths that differ in every layer; their order has no meaning.

        Where no path of the drawn depth differs from the earlier ones in every layer, the set is drawn again.
        """
        for attempt in range(10 * ATTEMPTS):
            chosen: list[np.ndarray] = []
            free = np.ones(len(self.paths), dtype=bool)  # paths that differ from those chosen in every layer
            while len(chosen) < count:
                wanted = free
                if attempt < ATTEMPTS:
                    wanted = free & (self.depths == rng.choice(self.kinds))
                places = np.flatnonzero(wanted)
                if not len(places):
                    break
                chosen.append(self.paths[rng.choice(places)])
                free &= (self.paths != chosen[-1]).all(1)
            else:
                return [Arch(tuple(path.tolist())) for path in chosen]
        raise ValueError(f"expected operations of which {count} connected paths can differ in every layer")
