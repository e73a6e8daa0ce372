"""Scores of paths without labels: how well a path does on held-out images what Π-NAS learns by.

A linear probe asks whether features separate classes. In a supernet that has seen few images that says little: small
networks lead. The loss of Eqn. 4 asks each path for the very task that the supernet was trained on, where capacity
tells long before (benchmarks/results/nb201.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from pinas_zoo.arch import Arch
from pinas_zoo.search.batchnorm import batch_statistics
from pinas_zoo.search.methods.pinas import Encoder


class Consistency:
    """Eqn. 4 between views of the same held-out images, along one path, the other images being the negatives.

    Args:
        encoder: The student, learned; left as it was.
        views: V x N x C x H x W, normalised; V even. Views 0 and 1 are compared, 2 and 3, and so on.
        temperature: Of Eqn. 4.
    """

    def __init__(self, encoder: Encoder, views: torch.Tensor, temperature: float):
        if views.ndim != 5 or len(views) % 2 or not len(views) or views.shape[1] < 2:
            raise ValueError(f"expected an even number of views of at least 2 images, got {tuple(views.shape)}")
        self.encoder, self.views, self.temperature = encoder, views, temperature

    @torch.no_grad()
    def loss(self, path: Arch) -> float:
        """In nats, the mean over both directions; ln N is chance. Lower is better. Batch norms go by the batch."""
        with batch_statistics(self.encoder):
            outputs = [self.encoder(view, path) for view in self.views]  # each N x dim
        target = torch.arange(len(outputs[0]), device=outputs[0].device)
        losses = []
        for one, other in zip(outputs[::2], outputs[1::2], strict=True):
            logits = one @ other.T / self.temperature  # N x N
            losses += [F.cross_entropy(logits, target), F.cross_entropy(logits.T, target)]
        return float(torch.stack(losses).mean())

    def losses(self, paths: Sequence[Arch]) -> list[float]:
        """Of several paths, in their order."""
        return [self.loss(path) for path in paths]
