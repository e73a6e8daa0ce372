"""Stage 2 (sec. 3.3): linear evaluation. A linear classifier is trained on the frozen supernet, one path per step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from pinas_zoo.engine import distributed
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.engine.batchnorm_groups import run_in_groups
from pinas_zoo.engine.curve import read_curve
from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.engine.trainable import Batch, Phase, Trainable
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import Linear
from pinas_zoo.search.context import Context
from pinas_zoo.search.methods.heads import new_classifier
from pinas_zoo.search.spaces.base import SearchSpace, Supernet
from pinas_zoo.search.stages.result import StageResult, fit, total_steps
from pinas_zoo.weights.tensors import save_tensors

AVERAGED = 10  # number of last rows of the curve whose mean accuracy the summary reports


def linear(context: Context) -> StageResult | None:
    """Train the classifier that all paths share, and save it.

    Returns:
        The result of the stage; None in processes other than the first.
    """
    options, images = context.config.linear, context.splits.train
    torch.manual_seed(context.config.seed)  # seeded before the supernet is built, which also draws initial weights
    supernet = context.trained_supernet()
    network = LinearEvaluation(
        context.space, supernet, context.splits.num_classes, context.config.seed, options.batch_norm_images
    )
    steps = total_steps(options, len(images))
    seconds = fit(context, "linear", network, images, options.views, options, steps, decay(options, steps))
    if distributed.rank() > 0:
        return None
    save_tensors(context.folder / "linear" / "classifier.safetensors", network.fc.state_dict())
    last = read_curve(context.folder / "linear")["accuracy"][-AVERAGED:]
    return StageResult(f"{steps} steps, accuracy of random paths in training {sum(last) / len(last):.1%}", seconds)


def decay(options: Linear, steps: int) -> list[dict[str, Any]]:
    """Schedule of the learning rate: it is divided by 10 after each milestone.

    Returns:
        Arguments of mmengine's scheduler.
    """
    return [dict(type="MultiStepLR", milestones=[max(1, int(steps * m)) for m in options.milestones])]


class LinearEvaluation(Trainable):
    """A linear classifier on a frozen supernet. Neither weights nor batch-norm statistics of the supernet change.

    Args:
        space: The search space, from which each step samples a path.
        supernet: The trained supernet.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which the path of each step derives.
        batch_norm_images: Number of images that share batch statistics, as in
            :class:`pinas_zoo.search.methods.pinas.PiNASMethod`.
    """

    def __init__(
        self, space: SearchSpace, supernet: Supernet, num_classes: int, seed: int, batch_norm_images: int | None = None
    ):
        super().__init__()
        self.space, self.seed, self.batch_norm_images = space, seed, batch_norm_images
        self.supernet = supernet.requires_grad_(False)
        self.fc = new_classifier(supernet.num_features, num_classes)

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """Cross-entropy and accuracy of a random path; batch norms use batch statistics."""
        (path,) = self.space.sample(step_rng(self.seed, step, Stream.LINEAR_PATHS))
        images = batch.views.squeeze(1)  # N x C x H x W
        with torch.no_grad(), batch_statistics(self.supernet):
            features = run_in_groups(
                self.supernet, lambda part: self.supernet(part, path), images, self.batch_norm_images
            )  # N x F
        logits = at_least_fp32(self.fc(features))  # N x num_classes
        return {
            "loss": F.cross_entropy(logits, batch.labels),
            "accuracy": (logits.argmax(1) == batch.labels).float().mean(),
        }
