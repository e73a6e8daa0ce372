"""Single path one-shot, SPOS (Guo et al., ECCV 2020): each step trains one uniformly sampled path with labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.base import Method
from pinas_zoo.search.methods.heads import new_classifier
from pinas_zoo.search.spaces.base import Path, SearchSpace, Supernet


class SPOSMethod(Method):
    """SPOS: cross-entropy of one random path per step, with a classifier that all paths share.

    The classifier's weights start as N(0, 0.01^2) and its biases as 0, as in the authors' comparison.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which the path of each step derives.
        label_smoothing: Label smoothing of the cross-entropy, at least 0 and below 1.

    Raises:
        ValueError: ``num_classes`` or ``label_smoothing`` is out of range.
    """

    title = "SPOS"
    supervised = True

    def __init__(self, space: SearchSpace, num_classes: int, seed: int = 0, label_smoothing: float = 0.0):
        super().__init__()
        if num_classes < 1 or not 0 <= label_smoothing < 1:
            raise ValueError(
                f"expected num_classes of at least 1 and label_smoothing in 0..1, got {num_classes}, {label_smoothing}"
            )
        self.space, self.seed, self.label_smoothing = space, seed, label_smoothing
        self.supernet = space.supernet()
        self.fc = new_classifier(self.supernet.num_features, num_classes)

    @property
    def learned(self) -> Supernet:
        return self.supernet

    @property
    def classifier(self) -> nn.Linear:
        return self.fc

    def sample_paths(self, step: int) -> list[Arch]:
        """The single path of a step, sampled uniformly."""
        return self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS))

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """The cross-entropy summed over the step's paths, and their mean accuracy; all paths see the same images."""
        return self.path_losses(batch, self.sample_paths(step))

    def path_losses(self, batch: Batch, paths: Sequence[Path]) -> dict[str, torch.Tensor]:
        """The cross-entropy summed over paths, or over mixtures of candidates, and their mean accuracy."""
        images = batch.views.squeeze(1)  # N x C x H x W
        losses, right = [], []
        for path in paths:
            logits = self.fc(self.supernet(images, path))  # N x num_classes
            losses.append(F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing))
            right.append((logits.detach().argmax(1) == batch.labels).float().mean())
        return {"loss": torch.stack(losses).sum(), "accuracy": torch.stack(right).mean()}
