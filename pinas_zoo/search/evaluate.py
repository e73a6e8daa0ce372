"""Scores of paths: accuracy on held-out images with batch-norm statistics recalibrated for each path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.batchnorm import recalibrated
from pinas_zoo.search.data import Images
from pinas_zoo.search.space import Supernet, step_rng

SUBSET = 5  # random stream


@dataclass(frozen=True)
class Score:
    """Of one path on the held-out images: top-1 accuracy in 0..1, and mean cross-entropy in nats."""

    accuracy: float
    loss: float


class Evaluator:
    """Scores paths of a frozen supernet; the order of evaluation changes no score.

    Args:
        supernet: Learned; left as it was after every call.
        classifier: Shared by all paths, from the linear stage.
        recalibration: Training images that statistics are taken from.
        held_out: Images that scores are taken from.
        normalise: uint8 N x 3 x H x W to the network's input.
        batch_size: Of recalibration and of scoring.
    """

    def __init__(
        self,
        supernet: Supernet,
        classifier: nn.Linear,
        recalibration: Images,
        held_out: Images,
        normalise: Callable[[torch.Tensor], torch.Tensor],
        batch_size: int,
    ):
        device = torch.device(get_device())
        self.supernet = supernet.eval().requires_grad_(False).to(device)
        self.classifier = classifier.to(device)
        self.recalibration = [normalise(b["pixels"]).to(device) for b in recalibration.batches(batch_size)]
        self.held_out = [
            (normalise(b["pixels"]).to(device), b["labels"].to(device)) for b in held_out.batches(batch_size)
        ]

    def recalibrate(self, path: Arch):  # type: ignore[no-untyped-def]
        """Context manager: inside, the path's batch norms hold statistics of the recalibration images."""
        modules = [module for _, module in self.supernet.path_modules(path)]
        return recalibrated(modules, (self.supernet(batch, path) for batch in self.recalibration))

    @torch.no_grad()
    def score(self, path: Arch) -> Score:
        correct, loss, count = 0, 0.0, 0
        with self.recalibrate(path):
            for batch, labels in self.held_out:
                logits = self.classifier(self.supernet(batch, path))  # N x num_classes
                correct += int((logits.argmax(1) == labels).sum())
                loss += float(F.cross_entropy(logits, labels, reduction="sum"))
                count += len(labels)
        return Score(correct / count, loss / count)


def recalibration_subset(train: Images, count: int, seed: int) -> Images:
    """A fixed random subset of the training images."""
    return train.subset(step_rng(seed, 0, SUBSET).permutation(len(train))[:count])
