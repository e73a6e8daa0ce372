"""A linear probe of one path: ridge regression of the classes on its features, in closed form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

RIDGE = 0.01  # penalty for features of unit variance


class RidgeProbe:
    """Ridge regression from batches of features. It keeps only sums, in fp64, and no features.

    Args:
        num_classes: Number of classes.

    Example:
        >>> import torch
        >>> from pinas_zoo.search.scorers.ridge_probe import RidgeProbe
        >>> probe = RidgeProbe(num_classes=2)
        >>> probe.add(torch.tensor([[0.0], [0.1], [1.0], [0.9]]), torch.tensor([0, 0, 1, 1]))
        >>> probe.solve()(torch.tensor([[0.2], [0.8]])).argmax(1).tolist()
        [0, 1]
    """

    def __init__(self, num_classes: int):
        self.num_classes = num_classes
        self.sums: torch.Tensor | None = None

    @staticmethod
    def size(features: int, num_classes: int) -> int:
        """Memory of the sums in bytes."""
        return 8 * (features + 1) * (features + 1 + num_classes)

    def add(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Add a batch: features N x D and labels N."""
        ones = features.new_ones(len(features), 1)
        a = torch.cat([features, ones], 1).double()  # N x (D + 1)
        sums = a.T @ torch.cat([a, F.one_hot(labels, self.num_classes)], 1)  # (D + 1) x (D + 1 + classes)
        self.sums = sums if self.sums is None else self.sums + sums

    def solve(self) -> nn.Linear:
        """Fit the classifier to one-hot labels by least squares.

        ``RIDGE`` is added to the diagonal of the features' correlation matrix, so that the scale of features has no
        influence.

        Returns:
            A linear layer, D to num_classes.

        Raises:
            ValueError: No batch was added.
        """
        if self.sums is None:
            raise ValueError("expected features, got none")
        sums = self.sums / self.sums[-1, -self.num_classes - 1]
        mean, rates = sums[:-1, -self.num_classes - 1], sums[-1, -self.num_classes :]  # D; classes
        covariance = sums[:-1, : len(mean)] - torch.outer(mean, mean)  # D x D
        scale = covariance.diagonal().clamp(min=1e-10).sqrt()  # D
        correlation = covariance / torch.outer(scale, scale)  # D x D
        targets = (sums[:-1, -self.num_classes :] - torch.outer(mean, rates)) / scale[:, None]  # D x classes
        ridge = RIDGE * torch.eye(len(mean), dtype=correlation.dtype, device=correlation.device)  # D x D
        # positive definite; solve() would make the host wait in order to check this
        weight, _ = torch.linalg.solve_ex(correlation + ridge, targets)  # D x classes
        weight = weight / scale[:, None]
        classifier = nn.utils.skip_init(nn.Linear, len(mean), self.num_classes, device=mean.device)
        with torch.no_grad():
            classifier.weight.copy_(weight.T)
            classifier.bias.copy_(rates - mean @ weight)
        return classifier
