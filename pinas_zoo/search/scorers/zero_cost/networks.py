"""What training-free scores share: a network as it is scored, its weighted layers, and the loss whose gradient counts.

Scores leave a network as it was. They put it into eval mode, so that dropout is off and scores are deterministic, but
batch norms use the statistics of the batch, because a fresh network has no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.errors import UserError

WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


@contextmanager
def as_scored(model: nn.Module) -> Iterator[None]:
    """Context manager in which a network is in eval mode with batch statistics, and its parameters take gradients."""
    modes = [(module, module.training) for module in model.modules()]
    grads = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(True)
        with batch_statistics(model), torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, required in grads:
            parameter.requires_grad_(required)


def weighted_layers(model: nn.Module) -> list[nn.Module]:
    """Convolutions and linear layers, each once, in the order of definition."""
    return [module for module in model.modules() if isinstance(module, WEIGHTED)]


def weights_of(layers: Sequence[nn.Module]) -> list[torch.Tensor]:
    """The weights of layers, without biases."""
    return [layer.weight for layer in layers]  # type: ignore[misc]


def mean_loss(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of a batch, a scalar.

    Raises:
        UserError: The network has fewer outputs than there are classes.
    """
    logits = model(images)  # N x num_classes
    if logits.ndim != 2 or logits.shape[1] <= int(labels.max()):
        raise UserError(
            f"expected a network with an output for each of at least {int(labels.max()) + 1} classes, got outputs of "
            f"shape {tuple(logits.shape)}; try num_classes={int(labels.max()) + 1} in timm.create_model"
        )
    return F.cross_entropy(logits, labels)


def weight_gradients(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights of convolutions and linear layers with their gradients of the mean cross-entropy.

    Layers that do not influence the loss are left out. Call it within :func:`as_scored`.
    """
    weights = weights_of(weighted_layers(model))
    gradients = torch.autograd.grad(mean_loss(model, images, labels), weights, allow_unused=True)
    return [(w.detach(), g) for w, g in zip(weights, gradients, strict=True) if g is not None]
