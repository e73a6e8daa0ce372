"""Stage 5: the winner is trained as a stand-alone classifier, starting from its supernet weights, and tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.engine import distributed
from pinas_zoo.engine.trainable import Batch, Phase, Trainable
from pinas_zoo.engine.trainer import cosine
from pinas_zoo.search.context import Context
from pinas_zoo.search.stages.network_folder import accuracy, check_network, save_network
from pinas_zoo.search.stages.result import StageResult, fit


def train(context: Context) -> StageResult | None:
    """Train the winner on all training images, test it, and save it as the model folder ``trained``.

    Returns:
        The result of the stage; None in processes other than the first.
    """
    options, images, world = context.config.train, context.splits.trainval, distributed.world()
    batch_size = min(options.batch_size, len(images)) // world * world
    options = options.model_copy(update={"batch_size": batch_size})
    steps = options.epochs * (len(images) // batch_size)
    arch = context.explored_winner()
    check_network(context, "winner", arch)
    torch.manual_seed(context.config.seed)
    model: Any = timm.create_model(f"local-dir:{context.folder / 'winner'}", pretrained=True)
    # the high learning rate of linear evaluation leaves classifier weights that are too large for fine-tuning
    model.reset_classifier(context.splits.num_classes)
    alone = StandAlone(model, options.label_smoothing, options.compile)
    seconds = fit(context, "train", alone, images, options.views, options, steps, cosine(steps))
    if distributed.rank() > 0:
        return None
    value = accuracy(model, context.splits.test, context.views(options.views).normalise)
    save_network(context, "trained", arch, model.state_dict(), {"test_accuracy": value})
    return StageResult(
        f"{options.epochs} epochs stand-alone, test accuracy {value:.1%}", seconds, {"test_accuracy": value}
    )


class StandAlone(Trainable):
    """A timm model that the engine can train by cross-entropy.

    Args:
        model: Classifier, N x C x H x W to N x num_classes.
        label_smoothing: Label smoothing in 0..1.
        compiled: Whether to train with ``torch.compile``. Names in the state dict and calls of ``model`` do not change.
    """

    def __init__(self, model: nn.Module, label_smoothing: float, compiled: bool = False):
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing
        # a bound method, because a module would be registered as a second submodule
        self.run: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(model.forward, dynamic=False) if compiled else model.__call__
        )

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """Cross-entropy and accuracy of the model's outputs."""
        logits = self.run(batch.views.squeeze(1))  # N x num_classes
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "accuracy": (logits.argmax(1) == batch.labels).float().mean()}
