"""Score by the length of the shortest path: how few layers lie between the image and the output.

Residual networks train well since gradients reach every block along short paths (He et al., "Deep Residual Learning for
Image Recognition", CVPR 2016; Veit et al., "Residual Networks Behave Like Ensembles of Relatively Shallow Networks",
NeurIPS 2016). A supernet or an untrained network of one cell a stage is too shallow to show it. On NAS-Bench-201, whose
networks have five cells a stage, all other scores underrate cells with a skip connection from the input to the output
(benchmarks/results/equal_steps.md).
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from itertools import count

import timm
import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.scorers.zero_cost.base import CountScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored

CUT_OFF = 1000.0  # layers; the length where no path leads from the image to the output
LAYERS = re.compile("Convolution|Pool|[Mm]mBackward|^Linear")  # in the names that autograd gives to them


def shortest_path(model: nn.Module, images: torch.Tensor) -> float:
    """Minus the fewest convolutions, poolings and products with weights on a path from the image to the output.

    Norms, activations, sums and skip connections do not count. The paths are those of the gradient. If there is none,
    the score is ``-CUT_OFF``.

    Args:
        model: The network; it is not changed.
        images: A batch, N x C x H x W, of which only the shape and the device of two images count.
    """
    image = torch.zeros(2, *images.shape[1:], device=images.device, requires_grad=True)  # batch statistics need two
    with as_scored(model):
        return -_fewest_layers(model(image), image)


def _fewest_layers(output: torch.Tensor, image: torch.Tensor) -> float:
    """Dijkstra's algorithm on the graph of the gradient."""
    order = count()  # nodes cannot be compared
    ahead = [(0.0, next(order), output.grad_fn)]
    done = set()
    while ahead:
        length, _, node = heapq.heappop(ahead)
        if node is None or node in done:
            continue
        if getattr(node, "variable", None) is image:
            return length
        done.add(node)
        length += LAYERS.search(node.name()) is not None
        for source, _ in node.next_functions:
            heapq.heappush(ahead, (length, next(order), source))
    return CUT_OFF


class ShortestPathScorer(CountScorer):
    """Scores by :func:`shortest_path` of an architecture's network. Its weights do not matter."""

    def scores(self, paths: Sequence[Arch]) -> list[Score]:
        images = torch.empty(1, 3, self.image_size, self.image_size)
        reached = [self.space.reachable(path) for path in paths]
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            lengths = {path: -shortest_path(self.network(path), images) for path in dict.fromkeys(reached)}
        return [Score(-lengths[path], lengths[path]) for path in reached]

    def network(self, path: Arch) -> nn.Module:
        """The stand-alone network of a path."""
        model: nn.Module = timm.create_model(self.space.architecture, **self.space.model_args(path))
        return model
