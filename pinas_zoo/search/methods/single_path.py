"""The base class of methods that train single paths with labels and warn when they learn nothing."""

from __future__ import annotations

import math
from typing import Any

import torch

from pinas_zoo.engine.diagnostics import CHANCE, PATIENCE
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.search.methods.spos import SPOSMethod
from pinas_zoo.search.spaces.base import SearchSpace


class SinglePathMethod(SPOSMethod):
    """SPOS with a counter of consecutive steps whose cross-entropy is that of guessing.

    SPOS itself has no counter, because its checkpoints have none. The count stays on the device until it is read.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier; guessing has a cross-entropy of its logarithm.
        seed: Seed from which the path of each step derives.
        options: Other arguments of :class:`pinas_zoo.search.methods.spos.SPOSMethod`.
    """

    title = "Single path"
    guessing_steps: torch.Tensor

    def __init__(self, space: SearchSpace, num_classes: int, seed: int = 0, **options: Any):
        super().__init__(space, num_classes, seed, **options)
        self.chance = CHANCE * math.log(num_classes)
        self.register_buffer("guessing_steps", torch.zeros((), dtype=torch.long))

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        values = super().losses(batch, step, phase)
        with torch.no_grad():
            guesses = values["loss"] > self.chance
            self.guessing_steps.copy_(torch.where(guesses, self.guessing_steps + 1, 0))
        return values

    def warning(self) -> str | None:
        steps = int(self.guessing_steps)
        if self.chance <= 0 or steps < PATIENCE:
            return None
        return (
            f"nothing is learned: the loss has been that of guessing for the last {steps} steps, so scores will mean "
            "little; try more steps or another learning rate"
        )
