"""The shortest path from the image to the output: known networks, and NAS-Bench-201's cells by enumeration of paths."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import EDGES, NONE, SKIP
from pinas_zoo.search.scorers.zero_cost import shortest_path
from pinas_zoo.search.scorers.zero_cost.shortest_path import CUT_OFF, ShortestPathScorer
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space

PATHS = ([(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)])  # from the input to the output
OUTSIDE = 6  # the stem, two convolutions or a pooling and a convolution in each of two reductions, and the classifier


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet18", 6),  # stem, pooling, three shortcuts with a convolution, classifier
        ("resnet50", 7),  # the first stage has such a shortcut, too
        ("vgg11", 16),  # no shortcuts: 8 convolutions, 5 poolings, 2 layers of the head as convolutions, classifier
        ("convnext_atto", 5),  # stem, three convolutions between the stages, classifier
    ],
)
def test_ordinary_networks(name, layers):
    model = timm.create_model(name).train()
    before = [p.requires_grad for p in model.parameters()]
    assert shortest_path(model, torch.zeros(1, 3, 224, 224)) == -layers
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == before
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("cells", [1, 2])
def test_cells_by_their_paths(cells):
    space = NASBench201Space(channels=4, cells=cells)
    archs = [Arch(c) for c in np.random.default_rng(0).integers(5, size=(30, 6)).tolist()]
    for arch, score in zip(archs, ShortestPathScorer(space, 16).scores(archs), strict=True):
        choices = dict(zip(EDGES, arch, strict=True))
        open_paths = [path for path in PATHS if all(choices[edge] != NONE for edge in path)]
        lengths = [sum(choices[edge] != SKIP for edge in path) for path in open_paths]
        assert score.accuracy == (-(OUTSIDE + 3 * cells * min(lengths)) if lengths else -CUT_OFF)
        assert score.loss == -score.accuracy


def test_no_path_leads_through_a_constant():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.conv(torch.ones_like(x))

    assert shortest_path(Constant(), torch.zeros(1, 3, 8, 8)) == -CUT_OFF
    assert shortest_path(nn.Identity(), torch.zeros(1, 3, 8, 8)) == 0
    assert shortest_path(nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 3, 1)), torch.zeros(1, 3, 8, 8)) == -1


def test_what_it_cannot_score_is_one_line():
    images = torch.zeros(1, 3, 32, 32)
    with pytest.raises(UserError, match="whose output is a tensor, got list; try it without features_only"):
        shortest_path(timm.create_model("resnet10t", features_only=True), images)
    with torch.inference_mode(), pytest.raises(UserError, match="got inference mode"):
        shortest_path(nn.Conv2d(3, 3, 1), images)
    with pytest.raises(UserError, match=r"expected a batch of images .* got torch.float32 of shape \(3, 32, 32\)"):
        shortest_path(nn.Conv2d(3, 3, 1), images[0])
    with pytest.raises(UserError, match=r"got torch.uint8 of shape"):
        shortest_path(nn.Conv2d(3, 3, 1), images.byte())
    assert shortest_path(nn.Conv2d(3, 3, 1).double(), images.double()) == -1
