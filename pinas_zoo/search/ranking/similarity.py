"""Feature shift (Figure 5): similarity of an image's features along paths that end in different candidates."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.spaces.base import SearchSpace, Supernet
from pinas_zoo.weights.atomic import replacing

PATHS = 4  # random beginnings, each continued by every candidate of the last layer


@torch.no_grad()
def path_similarity(
    space: SearchSpace, supernet: Supernet, images: torch.Tensor, seed: int, paths: int = PATHS
) -> NDArray[np.float64]:
    """Mean cosine similarity of the pooled features of an image along two paths: candidates x candidates.

    Entry (a, b) averages over images and over pairs of different random beginnings; one path ends in candidate a of the
    last layer, the other in b. Batch norms use the statistics of the batch, as in linear evaluation.

    Args:
        images: N x C x H x W, normalised; N of at least 2.
        seed: Determines the beginnings.
        paths: Number of random beginnings, at least 2.
    """
    if paths < 2 or len(images) < 2:
        raise ValueError(f"expected at least 2 paths and 2 images, got {paths} and {len(images)}")
    images = images.to(next(supernet.parameters()).device)
    drawn = step_rng(seed, 0, Stream.BEGINNINGS)
    beginnings = [tuple(space.sample(drawn)[0])[:-1] for _ in range(paths)]
    with batch_statistics(supernet):
        features = torch.stack(
            [
                torch.stack([F.normalize(supernet(images, Arch((*start, end))), dim=1) for start in beginnings])
                for end in range(space.num_candidates)
            ]
        )  # candidates x paths x N x num_features
    cosines = torch.einsum("apnd,bqnd->abpqn", features, features).mean(-1)  # candidates x candidates x paths x paths
    others = ~torch.eye(paths, dtype=torch.bool)
    return cosines[:, :, others].mean(-1).double().cpu().numpy()


def off_diagonal(matrix: NDArray[np.float64]) -> float:
    """Mean over pairs of different candidates; 1 means that features do not depend on the last candidate."""
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def write_matrix(path: Path, matrix: NDArray[np.float64]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([[f"{value:.6f}" for value in row] for row in matrix])


def heat_map(matrix: NDArray[np.float64], names: Sequence[str] = ()) -> Callable[[Any], None]:
    """A function that draws the matrix with its values on matplotlib axes; rows have the candidates' names, if any."""

    def draw(axes: Any) -> None:
        axes.imshow(matrix, cmap="viridis", vmin=min(0.0, float(matrix.min())), vmax=1.0)
        for (a, b), value in np.ndenumerate(matrix):
            axes.text(b, a, f"{value:.2f}", ha="center", va="center", color="w" if value < 0.7 else "k", fontsize=8)
        axes.set(xticks=range(len(matrix)), yticks=range(len(matrix)), xlabel="candidate", ylabel="candidate")
        if len(names) == len(matrix):
            axes.set_yticks(range(len(matrix)), [f"{k} {name}" for k, name in enumerate(names)], parse_math=False)

    return draw
