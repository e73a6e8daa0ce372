"""The interface between the trainer and the networks that it trains: batches, phases of a step, losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from pinas_zoo.engine.kept_generators import kept_generators


class Batch(NamedTuple):
    """The images of one step on the training device, augmented and normalised."""

    views: torch.Tensor  # N x num_views x C x H x W
    labels: torch.Tensor  # N
    progress: float = 0.0  # fraction of the stage's steps that are completed, for schedules of a method's own


@dataclass(frozen=True)
class Phase:
    """A part of every step that has its own parameters, optimiser and batch.

    Attributes:
        name: Name of the phase, unique in the network. It identifies the optimiser in the checkpoint.
        split: Images from which the batch is drawn: ``train``, or ``held_out``, on which candidates are scored later.
        optim: mmengine's arguments of the optimiser with its ``type``. None: the stage's SGD with its schedule.
        start: Fraction of the stage's steps after which the phase becomes active.
        stop: Fraction of the stage's steps after which the phase ends.
        final_lr: Learning rate of ``optim`` at the end of the phase, as a multiple of the first one. It changes
            exponentially, by the same factor in each step of the phase. 1: it is constant.

    Example:
        Architecture parameters trained by Adam on held-out images, in the second half of the stage::

            phases = (
                Phase("weights"),
                Phase("arch", split="held_out", optim=dict(type="Adam", lr=3e-4), start=0.5),
            )
    """

    name: str
    split: str = "train"
    optim: Mapping[str, Any] | None = None
    start: float = 0.0
    stop: float = 1.0
    final_lr: float = 1.0

    def is_active(self, step: int, steps: int) -> bool:
        """Whether the phase is active in step ``step`` (from 0) of ``steps`` steps."""
        return self.start * steps <= step < self.stop * steps

    def schedule(self, steps: int) -> list[dict[str, Any]]:
        """mmengine's schedulers of ``optim`` in a stage of ``steps`` steps, in units of steps."""
        begin, end = math.ceil(self.start * steps), math.ceil(self.stop * steps)
        if self.final_lr == 1 or end <= begin:
            return []
        return [dict(type="ExponentialLR", gamma=self.final_lr ** (1 / (end - begin)), begin=begin, end=end)]


class Trainable(nn.Module):
    """A module that the trainer can train. Subclasses implement :meth:`losses`.

    A step runs the active phases in order. Each phase computes its losses on a batch of its split and updates only its
    own parameters. State that must survive an interruption has to be a parameter or a buffer, because checkpoints
    contain nothing else of the network.

    Attributes:
        num_views: Number of augmented views of each image in a batch.
        phases: Phases of a step, in the order in which they run.
    """

    num_views = 1
    phases: tuple[Phase, ...] = (Phase("weights"),)

    def prepare(self) -> None:
        """Create what is neither trained nor saved in checkpoints, such as a pretrained teacher from timm.

        It is called once on the training device, before the first step of a new or resumed run, and before a method
        scores paths. torch's random numbers follow from the run's seed then, so each call creates the same. A dry run,
        which builds the network on the meta device, does not call it.
        """

    def parameters_of(self, phase: Phase) -> Iterable[nn.Parameter]:
        """The parameters that a phase updates: all of them, unless a network with several phases overrides this."""
        return self.parameters()

    def optimizer(self, phase: Phase) -> torch.optim.Optimizer | None:
        """An optimiser that the network builds itself; None: the phase's or the stage's."""
        return None

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """Compute the losses of one phase.

        Args:
            batch: Images of the phase's split.
            step: Index of the step, from 0. Random choices should derive from it and from the seed, so that a resumed
                run repeats them.
            phase: One of :attr:`phases`.

        Returns:
            Scalar tensors by name. The phase minimises the sum of the entries with ``loss`` in their name. The others
            are only logged.
        """
        raise NotImplementedError

    def before_update(self, step: int, phase: Phase) -> None:
        """Hook that runs before a phase computes its losses."""

    def after_update(self, step: int, phase: Phase) -> None:
        """Hook that runs after a phase's optimiser step."""

    def logged(self, step: int) -> dict[str, float]:
        """Additional columns of the curve for a step. It is called only for steps that are logged."""
        return {}

    def warning(self) -> str | None:
        """A warning about training so far, in one line; None if there is none.

        It is called for logged steps and at the end of training, so it may read values back from the device.
        """
        return None


def prepare(network: Trainable, seed: int) -> None:
    """Call ``network.prepare()`` with torch seeded; the state of torch's random numbers is restored."""
    with kept_generators():
        torch.manual_seed(seed)
        network.prepare()
