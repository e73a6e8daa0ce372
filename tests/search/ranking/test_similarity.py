"""Figure 5's matrix against one cosine at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.search.ranking.similarity import off_diagonal, path_similarity, write_matrix
from pinas_zoo.search.run_files import read_matrix
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space


@pytest.fixture(scope="module")
def space() -> ResNeSt50Space:
    return ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8, zero_init_last=False)


@torch.no_grad()
def test_entries_equal_a_loop_over_images_and_pairs_of_paths(space):
    torch.manual_seed(0)
    supernet, images = space.supernet().eval(), torch.randn(6, 3, 32, 32)
    asked: list[Arch] = []
    forward = supernet.forward

    def remembered(x, path):
        asked.append(path)
        return forward(x, path)

    supernet.forward = remembered
    matrix = path_similarity(space, supernet, images, seed=5, paths=3)
    supernet.forward = forward
    beginnings = {path.choices[:-1] for path in asked}
    assert len(beginnings) == 3
    with batch_statistics(supernet):
        features = {path: supernet(images, path).double() for path in asked}
    for a in range(4):
        for b in range(4):
            cosines = [
                float(one @ two / one.norm() / two.norm())
                for start in beginnings
                for other in beginnings - {start}
                for one, two in zip(features[Arch((*start, a))], features[Arch((*other, b))], strict=True)
            ]
            assert matrix[a, b] == pytest.approx(np.mean(cosines), abs=1e-5)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    assert matrix.max() < 1


def test_paths_that_compute_the_same_have_similarity_one(space):
    """Residual branches that start at zero and shared downsamples: all paths are one function."""
    supernet = ResNeSt50Space(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8).supernet().eval()
    matrix = path_similarity(space, supernet, torch.randn(4, 3, 32, 32), seed=0)
    np.testing.assert_allclose(matrix, 1, atol=1e-5)
    assert off_diagonal(matrix) == pytest.approx(1, abs=1e-5)


def test_off_diagonal_leaves_the_diagonal_out(tmp_path):
    matrix = np.array([[9.0, 0.1, 0.2], [0.3, 9.0, 0.4], [0.5, 0.6, 9.0]])
    assert off_diagonal(matrix) == pytest.approx(0.35)
    write_matrix(tmp_path / "m.csv", matrix)
    np.testing.assert_allclose(read_matrix(tmp_path / "m.csv"), matrix)


def test_the_same_seed_draws_the_same_paths_and_another_does_not(space):
    torch.manual_seed(0)
    supernet, images = space.supernet().eval(), torch.randn(4, 3, 32, 32)
    first, again, other = (path_similarity(space, supernet, images, seed, paths=2) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, atol=1e-6)


@pytest.mark.parametrize(("images", "paths"), [(1, 4), (4, 1)])
def test_one_image_or_one_path_has_no_pairs(space, images, paths):
    with pytest.raises(ValueError, match="at least 2"):
        path_similarity(space, space.supernet(), torch.randn(images, 3, 32, 32), 0, paths)
