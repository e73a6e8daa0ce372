"""The base class of methods that sample paths from architecture parameters, which a second phase learns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.architecture_parameters import ArchitectureParameters
from pinas_zoo.search.methods.single_path import SinglePathMethod
from pinas_zoo.search.spaces.base import SearchSpace, Supernet

INITIAL_STD = 1e-3  # of the logits


class LearnedPathsMethod(SinglePathMethod):
    """Single-path learning in two phases: weights on training images, architecture parameters on held-out ones.

    The first phase trains one path, sampled from the architecture parameters. A subclass implements
    :meth:`arch_losses`. Sampling reads the logits back from the device, because they say which modules run.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        optim: mmengine's arguments of the optimiser of the architecture parameters.
        seed: Seed from which samples derive.
        arch_start: Fraction of the steps after which architecture parameters learn; 0: from the first step.
        options: Other arguments of :class:`pinas_zoo.search.methods.spos.SPOSMethod`.

    Raises:
        ValueError: ``arch_start`` is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        optim: Mapping[str, Any],
        /,
        seed: int = 0,
        arch_start: float = 0.0,
        **options: Any,
    ):
        super().__init__(space, num_classes, seed, **options)
        if not 0 <= arch_start < 1:
            raise ValueError(f"expected arch_start of at least 0 and below 1, got {arch_start}")
        self.arch = ArchitectureParameters(space, std=INITIAL_STD, seed=seed)
        self.phases = (Phase("weights"), Phase("arch", split="held_out", optim=optim, start=arch_start))

    def parameters_of(self, phase: Phase) -> Iterable[nn.Parameter]:
        if phase.name == "arch":
            return [self.arch.logits]
        return [*self.supernet.parameters(), *self.fc.parameters()]

    def sample_paths(self, step: int) -> list[Arch]:
        """The path of the weights phase, sampled from the architecture parameters; a uniform one on the meta device."""
        rng = step_rng(self.seed, step, Stream.LEARN_PATHS)
        return self.space.sample(rng) if self.arch.logits.is_meta else [self.arch.sample(rng)]

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        if phase.name == "weights":
            return super().losses(batch, step, phase)
        return {**self.arch_losses(batch, step), "entropy": self.arch.entropy().detach()}

    @abstractmethod
    def arch_losses(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        """Losses of the architecture parameters on held-out images, and values to log."""

    def after_update(self, step: int, phase: Phase) -> None:
        if phase.name == "arch":
            self.arch.count_flat()
        super().after_update(step, phase)

    def choose(self) -> Arch:
        """The most probable path."""
        return self.arch.best()

    def warning(self) -> str | None:
        found = super().warning() or self.arch.warning()
        if (
            found
            or self.arch.flat_updates
            or has_searched_weights(self.supernet, self.choose(), self.space.num_candidates)
        ):
            return found
        return (
            f"the most probable path, {self.choose()}, has collapsed to candidates without weights, such as skip "
            "connections; try a later start of the architecture parameters (learn.options.arch_start) or a lower "
            "arch_lr"
        )


def has_searched_weights(supernet: Supernet, path: Arch, num_candidates: int) -> bool:
    """Whether a path has weights that some other path lacks. It is true for all if none has such weights."""

    def weights(of: Arch) -> set[int]:
        return {id(p) for _, module in supernet.path_modules(of) for p in module.parameters()}

    same = [weights(Arch((c,) * len(path))) for c in range(num_candidates)]  # one candidate everywhere
    common = set.intersection(*same)
    return bool(weights(path) - common) or all(some == common for some in same)
