"""The archive of NSAS keeps the most diverse paths, compared with enumeration, and survives a checkpoint."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.search.methods.novelty_archive import NoveltyArchive
from pinas_zoo.search.spaces.base import build_space

SPACE = build_space(dict(type="nasbench201", channels=4, cells=1))


def diversity(paths) -> int:
    """Sum over pairs of the number of layers that differ."""
    return sum(sum(a != b for a, b in zip(p, q, strict=True)) for p, q in combinations(paths, 2))


def random_paths(count: int, seed: int = 0) -> list[Arch]:
    rng = np.random.default_rng(seed)
    return [Arch(tuple(rng.integers(0, 5, size=6))) for _ in range(count)]


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_new_path_leaves_the_most_diverse_subset_of_one_less(size):
    archive = NoveltyArchive(SPACE, size)
    for path in random_paths(60, seed=size):
        offered = [*(p for p in archive.paths if p != path), path]
        archive.add(path)
        best = max(diversity(kept) for kept in combinations(offered, min(size, len(offered))))
        assert diversity(archive.paths) == best
        assert len(archive.paths) == min(size, len(offered)) == len(set(archive.paths))


def test_diversity_never_falls_once_full_and_exceeds_that_of_random_paths():
    archive, found = NoveltyArchive(SPACE, 8), []
    for path in random_paths(300):
        archive.add(path)
        if len(archive.paths) == 8:
            found.append(diversity(archive.paths))
    assert found == sorted(found)
    assert found[-1] > np.mean([diversity(random_paths(8, seed)) for seed in range(1, 50)]) + 5


def test_among_equally_novel_paths_the_oldest_goes():
    archive = NoveltyArchive(SPACE, 2)
    first, second, third = (Arch((c,) * 6) for c in range(3))
    for path in (first, second, third):
        archive.add(path)
    assert archive.paths == [second, third]
    archive.add(second)  # known: it becomes the newest
    assert archive.paths == [third, second]


@pytest.mark.parametrize("count", [0, 1, 20])
def test_a_checkpoint_holds_it(count):
    archive, again = NoveltyArchive(SPACE, 4), torch.nn.ModuleDict({"archive": NoveltyArchive(SPACE, 4)})
    for path in random_paths(count):
        archive.add(path)
    again.load_state_dict({f"archive.{key}": value for key, value in archive.state_dict().items()})
    assert again["archive"].paths == archive.paths
