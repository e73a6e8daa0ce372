"""The winner alone: an ordinary classifier, trained from its weights in the supernet and tested."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.search.data import ImageSet


class StandAlone(nn.Module):
    """A timm model as the engine trains it, with label smoothing."""

    def __init__(self, model: nn.Module, label_smoothing: float):
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        logits = self.model(views.squeeze(1))  # N x num_classes
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(1) == labels).float().mean()}


@torch.no_grad()
def accuracy(model: nn.Module, images: ImageSet, normalise: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Top-1 accuracy in 0..1 of a model in eval mode."""
    model.eval()
    device = next(model.parameters()).device
    correct = sum(
        int((model(normalise(b["pixels"]).to(device)).argmax(1).cpu() == b["labels"]).sum())
        for b in images.batches(256)
    )
    return correct / len(images)
