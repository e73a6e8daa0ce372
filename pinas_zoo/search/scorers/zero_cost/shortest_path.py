"""Score by the length of the shortest path: how few layers lie between the image and the output.

Residual networks train well since gradients reach every block along short paths (He et al., "Deep Residual Learning for
Image Recognition", CVPR 2016; Veit et al., "Residual Networks Behave Like Ensembles of Relatively Shallow Networks",
NeurIPS 2016). A supernet of one cell a stage is too shallow to show it. On NAS-Bench-201, whose networks have five
cells a stage, Π-NAS's scores and multiply-adds underrate cells with a skip connection from the input to the output, and
Π-NAS's scores do not if its supernet has three cells a stage (benchmarks/results/equal_steps.md).
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
from pinas_zoo.errors import UserError
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.scorers.zero_cost.base import CountScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored

CUT_OFF = 1000.0  # layers; the length where no path leads from the image to the output
LAYERS = re.compile("Convolution|Pool|[Mm]mBackward|^Linear")  # in the names that autograd gives to them


def shortest_path(model: nn.Module, images: torch.Tensor) -> float:
    """Minus the fewest convolutions, poolings and matrix products on a path from the image to the output.

    Norms, activations, sums, skip connections and global averages do not count, nor does what a custom function
    computes. Paths count even where no information flows: through a branch that is multiplied by zero, or past all
    blocks of a ViT of which the class token alone is read. If there is no path, the score is ``-CUT_OFF``.

    Args:
        model: The network; it is not changed. Its output is a tensor.
        images: A batch, N x C x H x W, of which only the shape, type and device of two images count.

    Raises:
        UserError: The images are no batch of real numbers, the output is not a tensor, or autograd is off (inference
            mode).
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise UserError(
            f"expected a batch of images of N x C x H x W real numbers, got {images.dtype} of shape "
            f"{tuple(images.shape)}; normalise them, and add a dimension to a single one"
        )
    if torch.is_inference_mode_enabled():
        raise UserError("expected autograd for the shortest path, got inference mode; call it outside of it")
    shape = (2, *images.shape[1:])  # batch statistics need two
    image = torch.zeros(shape, dtype=images.dtype, device=images.device, requires_grad=True)
    with as_scored(model):
        output = model(image.clone())  # the first layer may work in place
    if not isinstance(output, torch.Tensor):
        raise UserError(
            f"expected a network whose output is a tensor, got {type(output).__name__}; try it without features_only"
        )
    return -_fewest_layers(output, image)


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
            found = {path: shortest_path(self.network(path), images) for path in dict.fromkeys(reached)}
        return [Score(found[path], -found[path]) for path in reached]

    def network(self, path: Arch) -> nn.Module:
        """The stand-alone network of a path."""
        model: nn.Module = timm.create_model(self.space.architecture, **self.space.model_args(path))
        return model
