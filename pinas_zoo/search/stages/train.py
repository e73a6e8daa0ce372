"""The winner alone: an ordinary classifier, trained from its weights in the supernet and tested."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.data.images import ImageSet
from pinas_zoo.errors import UserError


class StandAlone(nn.Module):
    """A timm model as the engine trains it.

    Args:
        model: N x C x H x W to N x num_classes.
        label_smoothing: In 0..1.
        compiled: Run it through ``torch.compile``; names in the state dict stay, and so does what others call.
    """

    num_views = 1

    def __init__(self, model: nn.Module, label_smoothing: float, compiled: bool = False):
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing
        # a bound method, since a module would become a second submodule
        self.run: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(model.forward, dynamic=False) if compiled else model.__call__
        )

    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        logits = self.run(views.squeeze(1))  # N x num_classes
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(1) == labels).float().mean()}


def check_compiler(key: str) -> None:
    """Make sure that this machine has a C++ compiler, which ``torch.compile`` calls.

    Raises:
        UserError: It has none.
    """
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # the one that torch looks for
    if not shutil.which(name):
        raise UserError(
            f"expected a C++ compiler for {key}=True, found none as {name}; install it, name another in CXX, or leave "
            f"{key} off"
        )


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
