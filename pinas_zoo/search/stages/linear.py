"""Linear evaluation (sec. 3.3): one linear classifier on the frozen supernet, a random path a step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.spaces.base import SearchSpace, Supernet


class LinearEvaluation(nn.Module):
    """The classifier that all paths share; the supernet under it does not change.

    Args:
        space: The search space, from which a path a step is drawn.
        supernet: Learned by an earlier stage.
        num_classes: Outputs of the classifier.
        seed: The path of a step follows from it.
        batch_norm_images: Images that share batch statistics, as :class:`pinas_zoo.search.methods.pinas.Method`.
    """

    num_views = 1

    def __init__(
        self, space: SearchSpace, supernet: Supernet, num_classes: int, seed: int, batch_norm_images: int | None = None
    ):
        super().__init__()
        self.space, self.seed, self.batch_norm_images = space, seed, batch_norm_images
        self.supernet = supernet.requires_grad_(False)
        self.fc = nn.Linear(supernet.num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        (path,) = self.space.sample(step_rng(self.seed, step, Stream.LINEAR_PATHS))
        with torch.no_grad(), batch_statistics(self.supernet):
            groups = views.squeeze(1).split(self.batch_norm_images or len(views))
            features = torch.cat([self.supernet(group, path) for group in groups])  # N x num_features
        logits = self.fc(features).float()  # N x num_classes
        return {"loss": F.cross_entropy(logits, labels), "accuracy": (logits.argmax(1) == labels).float().mean()}
