"""The scores of a path on held-out images; batch norms use the statistics of the batch.

One function, so that the scorers of :mod:`pinas_zoo.search.scorers` can take its place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.pipeline import Run
from pinas_zoo.search.scorers.probe import Probe

PROBE_IMAGES, HELD_OUT = 500, 1000  # images that a path's own linear probe is fitted to and scored on
COMPARED = 1000  # images of which two views are compared


def score_paths(run: Run, archs: Sequence[Arch]) -> list[tuple[float, ...]]:
    """Scores of paths of a learned supernet, each as :data:`pinas_zoo.search.evidence.results.SCORES` names them."""
    scorer = _PathScorer(run)
    return [scorer.score(arch) for arch in tqdm(archs, desc="score", unit="arch", mininterval=5)]


class _PathScorer:
    """Accuracy and squared error of a linear probe of the path's own, consistency of two views, and the cross-entropy
    of a supervised method's classifier (NaN if there is none)."""

    def __init__(self, run: Run):
        splits, normalise = run.splits, run.views(run.config.views).normalise
        self.supernet = run.supernet
        self.train, self.train_labels = _inputs(splits.train, PROBE_IMAGES, normalise)
        self.held_out, self.held_out_labels = _inputs(splits.val, HELD_OUT, normalise)
        self.num_classes = splits.num_classes
        self.consistency = run.consistency
        self.consistency.held_out = _subset(splits.val, COMPARED)
        self.classifier: nn.Linear | None = None
        learned = run.folder / "learn" / "classifier.safetensors"
        if learned.is_file():
            self.classifier = nn.Linear(self.supernet.num_features, splits.num_classes).to(get_device())
            self.classifier.load_state_dict(load_file(learned))

    @torch.no_grad()
    def score(self, path: Arch) -> tuple[float, ...]:
        with batch_statistics(self.supernet):
            train = self.supernet(self.train, path)  # N x num_features
            held_out = self.supernet(self.held_out, path)  # M x num_features
        labels = self.held_out_labels
        probe = Probe(self.num_classes)
        probe.add(train, self.train_labels)
        outputs = probe.solve()(held_out)  # M x classes
        accuracy = float((outputs.argmax(1) == labels).float().mean())
        error = float((outputs - F.one_hot(labels, outputs.shape[1])).square().sum(1).mean())
        consistency = self.consistency.score(path).loss
        cross_entropy = math.nan
        if self.classifier is not None:
            cross_entropy = float(F.cross_entropy(self.classifier(held_out), labels))
        return accuracy, error, consistency, cross_entropy


def _subset(images: ImageSet, count: int) -> ImageSet:
    return images.subset(step_rng(0, 0, Stream.VIEWS).permutation(len(images))[:count])  # as in the kept results


def _inputs(
    images: ImageSet, count: int, normalise: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised images, N x 3 x H x W, and labels, N."""
    batch = next(_subset(images, count).batches(count))
    pixels, labels = batch["pixels"].to(get_device()), batch["labels"].to(get_device())
    return normalise(pixels).contiguous(memory_format=torch.channels_last), labels
