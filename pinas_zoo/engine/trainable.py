"""What the trainer trains: a module that says what a step minimises, in one phase or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn


class Batch(NamedTuple):
    """Images of one step, on the device, augmented and normalised."""

    views: torch.Tensor  # N x num_views x C x H x W
    labels: torch.Tensor  # N


@dataclass(frozen=True)
class Phase:
    """A part of every step with parameters, an optimiser and a batch of its own.

    Attributes:
        name: Unique among a network's phases; names its optimiser in the checkpoint.
        split: The images that its batch comes from: ``train``, or ``held_out``, which scores candidates later.
        optim: The optimiser's arguments with its ``type``, as in mmengine, at a constant rate; the stage's SGD with its
            schedule when None.
        start: Fraction of the steps before which the phase is left out.
        stop: Fraction of the steps from which on it is left out.
    """

    name: str
    split: str = "train"
    optim: Mapping[str, Any] | None = None
    start: float = 0.0
    stop: float = 1.0

    def is_active(self, step: int, steps: int) -> bool:
        """Whether the phase takes part in a step, counted from 0, of so many."""
        return self.start * steps <= step < self.stop * steps


class Trainable(nn.Module):
    """A network as the trainer sees it; what has to survive between steps are parameters and buffers.

    The phases of a step run in their order. Each takes its losses on a batch of its split, and updates its parameters
    alone.
    """

    num_views = 1  # augmented views of an image that a step takes
    phases: tuple[Phase, ...] = (Phase("weights"),)

    def prepare(self) -> None:
        """Make what is not trained and not kept in checkpoints, such as a teacher from timm.

        The trainer calls this once, on the device, before the first step; also when a run resumes. It is not called for
        a dry run, which builds the network on the meta device.
        """

    def parameters_of(self, phase: Phase) -> Iterable[nn.Parameter]:
        """The parameters that a phase updates; all of them unless a network has several phases."""
        return self.parameters()

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """What a phase minimises: the sum of the entries with ``loss`` in their name; other entries are only logged.

        Args:
            batch: Images of the phase's split.
            step: Counts from 0. Random choices follow from it and from the seed.
            phase: One of ``phases``.
        """
        raise NotImplementedError

    def before_update(self, step: int, phase: Phase) -> None:
        """Called before a phase takes its losses."""

    def after_update(self, step: int, phase: Phase) -> None:
        """Called after a phase's optimiser has stepped."""

    def logged(self, step: int) -> dict[str, float]:
        """What the curve keeps of a step beside its losses; asked for only where a step is logged."""
        return {}

    def warning(self) -> str | None:
        """What went wrong in training so far, in one line; None when nothing did.

        Asked for where a step is logged and at the end, so that it may read values back from the device.
        """
        return None
