"""How benchmarks/nb201.py scores a path."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from safetensors.torch import load_file
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.rng import step_rng
from pinas_zoo.search.pipeline import Run
from pinas_zoo.search.scorers.ridge_probe import RidgeProbe

PROBE_IMAGES, HELD_OUT = 500, 1000  # of a path's own linear probe: to fit it, and to score
VIEWED = 1000  # images of which two views are compared


class Scorer:
    """Scores of a path on held-out images: accuracy and squared error of a linear probe of its own, consistency of two
    views, and cross-entropy of a supervised method's classifier. Batch norms go by the batch.
    """

    def __init__(self, one: Run):
        splits, normalise = one.splits, one.views(one.config.views).normalise
        self.supernet = one.supernet
        self.train, self.train_labels = inputs(splits.train, PROBE_IMAGES, normalise)
        self.held, self.held_labels = inputs(splits.val, HELD_OUT, normalise)
        self.num_classes = splits.num_classes
        self.consistency = one.consistency
        self.consistency.held_out = subset(splits.val, VIEWED)
        self.classifier: nn.Linear | None = None
        learned = one.folder / "learn" / "classifier.safetensors"
        if learned.is_file():
            self.classifier = nn.Linear(self.supernet.num_features, splits.num_classes).to(get_device())
            self.classifier.load_state_dict(load_file(learned))

    @torch.no_grad()
    def score(self, path: Arch) -> tuple[float, ...]:
        """As SCORES."""
        with batch_statistics(self.supernet):
            train, held = self.supernet(self.train, path), self.supernet(self.held, path)
        probe = RidgeProbe(self.num_classes)
        probe.add(train, self.train_labels)
        outputs = probe.solve()(held)  # N x classes
        accuracy = float((outputs.argmax(1) == self.held_labels).float().mean())
        error = float((outputs - F.one_hot(self.held_labels, outputs.shape[1])).square().sum(1).mean())
        known = math.nan if self.classifier is None else float(F.cross_entropy(self.classifier(held), self.held_labels))
        return accuracy, error, self.consistency.score(path).loss, known


def subset(images: ImageSet, count: int) -> ImageSet:
    return images.subset(step_rng(0, 0, 2).permutation(len(images))[:count])


def inputs(images: ImageSet, count: int, normalise: Any) -> tuple[torch.Tensor, torch.Tensor]:
    batch = next(subset(images, count).batches(count))
    pixels, labels = batch["pixels"].to(get_device()), batch["labels"].to(get_device())
    return normalise(pixels).contiguous(memory_format=torch.channels_last), labels
