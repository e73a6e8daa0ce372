"""Linear evaluation (sec. 3.3): one linear classifier on the frozen supernet, a random path a step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.search.batchnorm import batch_statistics
from pinas_zoo.search.space import SearchSpace, Supernet, step_rng

PATHS = 3  # random stream


class LinearEvaluation(nn.Module):
    """The classifier that all paths share; the supernet under it does not change.

    Args:
        space: The search space, from which a path a step is drawn.
        supernet: Learned by an earlier stage.
        num_classes: Outputs of the classifier.
        seed: The path of a step follows from it.
    """

    def __init__(self, space: SearchSpace, supernet: Supernet, num_classes: int, seed: int):
        super().__init__()
        self.space, self.seed = space, seed
        self.supernet = supernet.requires_grad_(False)
        self.fc = nn.Linear(supernet.num_features, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        (path,) = self.space.sample(step_rng(self.seed, step, PATHS))
        with torch.no_grad(), batch_statistics(self.supernet):
            features = self.supernet(views.squeeze(1), path)  # N x num_features
        logits = self.fc(features)  # N x num_classes
        return {"loss": F.cross_entropy(logits, labels), "accuracy": (logits.argmax(1) == labels).float().mean()}
