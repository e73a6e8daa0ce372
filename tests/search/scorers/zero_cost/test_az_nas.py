"""AZ-NAS's scores by explicit decompositions, and which modules are primary blocks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import timm
import torch
from torch import nn

from pinas_zoo.errors import UserError
from pinas_zoo.search.scorers.zero_cost import az_complexity, az_expressivity, az_progressivity, az_trainability
from pinas_zoo.search.scorers.zero_cost.az_nas import isotropy, spectral_norm
from pinas_zoo.search.scorers.zero_cost.blocks import block_features, primary_blocks
from tests.networks import tiny


class Block(nn.Module):
    """A 1x1 convolution with the given matrix."""

    def __init__(self, matrix: torch.Tensor):
        super().__init__()
        self.conv = nn.Conv2d(*reversed(matrix.shape), 1, bias=False)
        self.conv.weight.data = matrix[..., None, None].clone()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def orthogonal(size: int, seed: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(size, size, generator=torch.manual_seed(seed)))[0]


def test_isotropy_is_the_entropy_of_the_shares_of_variance():
    features = torch.randn(6, 3, 4, 5, generator=torch.manual_seed(0)) * torch.tensor([3.0, 1.0, 0.1])[:, None, None]
    rows = features.permute(0, 2, 3, 1).reshape(-1, 3).double().numpy()
    shares = np.linalg.svd(rows - rows.mean(0), compute_uv=False) ** 2
    shares /= shares.sum()
    assert isotropy(features) == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-9)
    assert isotropy(torch.zeros(2, 3, 4, 4)) == 0  # of a network that is cut off


def test_expressivity_is_a_sum_and_progressivity_the_smallest_step():
    matrices = [torch.eye(4), torch.diag(torch.tensor([1.0, 1.0, 0.5, 0.1])), torch.ones(4, 4)]
    network = nn.Sequential(*map(Block, matrices))
    images = torch.zeros(8, 4, 16, 16)
    x, values = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)), []
    with torch.no_grad():
        for block in network:
            x = block(x)
            values.append(isotropy(x))
    assert values[0] == pytest.approx(math.log(4), rel=1e-2)  # all directions alike
    assert values[2] == pytest.approx(0, abs=1e-5)  # one direction alone
    assert az_expressivity(network, images) == pytest.approx(sum(values), rel=1e-6)
    assert az_progressivity(network, images) == pytest.approx(values[2] - values[1], rel=1e-5)


def test_the_spectral_norm_is_that_of_the_jacobian_if_the_signs_are_balanced():
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))  # 8 x 3; mean product: identity
    matrix = torch.randn(3, 5, generator=torch.manual_seed(0))
    outputs = signs.T.reshape(1, 3, 2, 4)
    inputs = torch.einsum("ij,nihw->njhw", matrix, outputs)  # J'v of a 1x1 convolution
    assert float(spectral_norm(inputs, outputs)) == pytest.approx(np.linalg.norm(matrix.numpy(), 2), rel=1e-5)


@pytest.mark.parametrize("size", [(4, 8), (3, 7)])
def test_all_inputs_of_an_output_position_count_where_the_resolution_falls(size):
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))
    outputs = signs.T.reshape(1, 3, 2, 4)
    conv = nn.Conv2d(2, 3, 2, stride=2, bias=False)
    x = torch.randn(1, 2, 4, 8, requires_grad=True)
    (inputs,) = torch.autograd.grad(conv(x), x, outputs)
    if size == (4, 8):
        expected = np.linalg.norm(conv.weight.detach().flatten(1).numpy(), 2)
        assert float(spectral_norm(inputs, outputs)) == pytest.approx(expected, rel=1e-5)
    assert spectral_norm(inputs[..., : size[0], : size[1]], outputs).isfinite()  # odd sizes are filled up


def test_blocks_that_keep_gradients_as_they_are_score_highest():
    images = torch.zeros(16, 6, 8, 8)
    alike = nn.Sequential(*(Block(orthogonal(6, k)) for k in range(4)))
    assert -0.1 < az_trainability(alike, images) <= 0
    for factor in (0.25, 4.0):
        scaled = nn.Sequential(*(Block(factor * orthogonal(6, k)) for k in range(4)))
        assert az_trainability(scaled, images) == pytest.approx(2 - 4 - 0.25, abs=0.5)  # noise adds to a norm
    cut = nn.Sequential(Block(torch.eye(6)), Block(torch.zeros(6, 6)))
    assert az_trainability(cut, images) < -1e5


def test_complexity_counts_multiply_adds_of_one_image():
    network = nn.Sequential(Block(torch.eye(4)), Block(torch.ones(2, 4)))
    assert az_complexity(network, torch.zeros(3, 4, 5, 6)) == (16 + 8) * 30


@pytest.mark.parametrize(
    ("name", "args", "count"),
    [
        ("resnet18", {}, 8),
        ("vit_tiny_patch16_224", {"depth": 3}, 4),  # with the patch embedding
        ("convnext_atto", {"depths": (1, 1, 2, 1)}, 5),
        ("nasbench201", {"cells": 2}, 8),  # cells and reductions
    ],
)
def test_primary_blocks_are_those_of_the_family(name, args, count):
    with torch.device("meta"):
        model = timm.create_model(name, **args).eval()
        features = block_features(model, torch.zeros(2, 3, 224, 224))  # a head's outputs have no positions
    assert len(features) == count, [type(block).__name__ for block in primary_blocks(model)]
    assert {x.ndim for x in features} == {4}


def test_blocks_of_the_paper_s_space_are_its_layers():
    model = tiny("3013")
    assert [type(block).__name__ for block in primary_blocks(model)][:4] == ["PiNASBlock"] * 4
    widths = [x.shape[1] for x in block_features(model, torch.zeros(2, 3, 32, 32))]
    assert widths == [64, 128, 256, 512]


def test_a_network_without_blocks_is_one_line():
    with pytest.raises(UserError, match="at least two blocks, found 0 in Sequential; try blocks="):
        az_expressivity(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), torch.zeros(2, 3, 4, 4))
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1))
    assert az_expressivity(network, torch.zeros(2, 3, 4, 4), blocks=list(network)) > 0
