"""The loop of training steps, which starts at the step from which training resumes, and its batches of all splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.runner import IterBasedTrainLoop
from torch import nn

from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream


class StepLoop(IterBasedTrainLoop):
    """mmengine's iteration loop, for a loader that starts at the step from which training resumes."""

    def run(self) -> nn.Module:
        self.dataloader_iterator = None  # ends the workers of the iterator that the base class started
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        if not self.stop_training:  # a hook may have found out before training that nothing is left to do
            for batch in self.dataloader:
                self.run_iter(batch)
                if self.stop_training:
                    break
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


class SplitStreams:
    """Random streams of a split: one for the order of images, one for their views."""

    def __init__(self, order: Stream, views: Stream):
        self.order, self.views = order, views


SPLIT_STREAMS = {
    "train": SplitStreams(Stream.ORDER, Stream.IMAGE_VIEWS),
    "held_out": SplitStreams(Stream.HELD_OUT_ORDER, Stream.HELD_OUT_VIEWS),
}


class StepLoader:
    """Iterates over the batches of all splits of a step: ``{"train": {...}, "held_out": {...}}``."""

    def __init__(self, loaders: Mapping[str, Any]):
        self.loaders = loaders
        self.dataset = next(iter(loaders.values())).dataset  # mmengine looks for metainfo there

    def __len__(self) -> int:
        return min(map(len, self.loaders.values()))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batches in zip(*self.loaders.values(), strict=True):
            for batch in batches:
                if isinstance(batch, UserError):
                    raise batch
            yield dict(zip(self.loaders, batches, strict=True))
