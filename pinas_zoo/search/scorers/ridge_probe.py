"""A linear probe of one path: ridge regression of the classes on its features, in closed form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

RIDGE = 0.01  # beside the unit variance of a feature


class RidgeProbe:
    """Gathers features batch by batch and keeps none: a few sums, in fp64.

    Args:
        num_classes: Number of classes.
    """

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.sums: torch.Tensor | None = None

    @staticmethod
    def size(features: int, num_classes: int) -> int:
        """Bytes of the sums."""
        return 8 * (features + 1) * (features + 1 + num_classes)

    def add(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Features N x D and labels N of one batch."""
        ones = features.new_ones(len(features), 1)
        a = torch.cat([features, ones], 1).double()  # N x (D + 1)
        sums = a.T @ torch.cat([a, F.one_hot(labels, self.num_classes)], 1)  # (D + 1) x (D + 1 + classes)
        self.sums = sums if self.sums is None else self.sums + sums

    def solve(self) -> nn.Linear:
        """The classifier with the least squared error to one-hot labels, D to num_classes; ``RIDGE`` is added to the
        correlation matrix of the features, so that their scale does not matter.

        Raises:
            ValueError: Nothing was added.
        """
        if self.sums is None:
            raise ValueError("expected features, got none")
        sums = self.sums / self.sums[-1, -self.num_classes - 1]
        mean, rates = sums[:-1, -self.num_classes - 1], sums[-1, -self.num_classes :]  # D; classes
        covariance = sums[:-1, : len(mean)] - torch.outer(mean, mean)
        scale = covariance.diagonal().clamp(min=1e-10).sqrt()
        correlation = covariance / torch.outer(scale, scale)
        targets = (sums[:-1, -self.num_classes :] - torch.outer(mean, rates)) / scale[:, None]  # D x classes
        weight = torch.linalg.solve(correlation + RIDGE * torch.eye(len(mean)).to(correlation), targets)
        weight = weight / scale[:, None]
        classifier = nn.Linear(len(mean), self.num_classes).to(mean.device)
        with torch.no_grad():
            classifier.weight.copy_(weight.T)
            classifier.bias.copy_(rates - mean @ weight)
        return classifier
