"""Weight plasticity loss, WPL (Benyahia et al., "Overcoming Multi-Model Forgetting", ICML 2019), on random paths.

A path is trained for several steps, then the next one. Training the next one moves weights that both share, and the
earlier path forgets. The loss pulls these weights to where they were before, the more the earlier paths need them::

    L(path) = CE(path) + strength / 2 * sum over weights i of the path: F_i * (w_i - a_i)^2

``a`` are the weights at the end of the path before, and ``F`` is the diagonal of the Fisher information of the paths
before, each taken at the weights with which its training ended. Weights that no earlier path has used have F = 0 and
move freely.

The paper derives the loss for two networks and applies it to ENAS and NAO. Here paths are uniform samples of the space,
since Table 4 of Π-NAS compares supernets. The numbers of the options come from the commands in the README of the
released code. That code has no licence, so it was not read. The rest is ours: the norm that is clipped is that of the
whole F, and F of a path is that of one batch.

The pull is a spring of stiffness strength * F, and F is at most ``fisher_norm``. SGD overshoots, and what was learned
is lost, where ``learn.lr * strength * F`` is above 2 (1 + momentum). With ``fisher_norm`` in place of F it should be
below 1. With the released values, 60 and 10, and a rate of 0.2 it is 120, and a supernet on NAS-Bench-201 lost after
1,350 steps what it had learned. ``configs/search/nasbench201_wpl.py`` has a lower norm.

With one step per path the loss would do nothing: the pull to the weights that a step starts from has no gradient.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.engine.diagnostics import PATIENCE
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.single_path import SinglePathMethod
from pinas_zoo.search.spaces.base import SearchSpace

OVERSHOT = 100  # times the cross-entropy
SMALL_LOSS = 0.1  # a smaller cross-entropy, as of an overfit batch, counts as this


class WPLMethod(SinglePathMethod):
    """WPL on random paths.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which the paths derive.
        strength: Weight α of the weight plasticity loss.
        steps_per_path: Number of consecutive steps that train the same path, at least 2.
        paths_remembered: Number of paths after which F starts again from zero.
        fisher_norm: Largest L2 norm of F, to which it is scaled down.
        fisher_groups: Number of equal parts of a batch whose gradients are squared; F is the mean of the squares. With
            as many parts as images this is the definition of the (empirical) Fisher information, one backward pass per
            image. With one part it is the square of the batch's gradient, which costs one pass and is smaller.
        start: Fraction of the steps after which the loss is added. Early weights are not worth keeping.
        options: Other arguments of :class:`pinas_zoo.search.methods.spos.SPOSMethod`.

    Raises:
        ValueError: An option is out of range.
    """

    title = "WPL"
    fisher: torch.Tensor
    anchor: torch.Tensor
    stiff_steps: torch.Tensor  # in a row, whose plasticity loss exceeded the cross-entropy; -1 once weights overshot

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        seed: int = 0,
        strength: float = 60.0,
        steps_per_path: int = 7,
        paths_remembered: int = 3,
        fisher_norm: float = 10.0,
        fisher_groups: int = 1,
        start: float = 1 / 30,
        **options: Any,
    ):
        super().__init__(space, num_classes, seed, **options)
        if not 0 <= strength < math.inf or not 0 < fisher_norm < math.inf or not 0 <= start <= 1:
            raise ValueError(
                "expected strength of at least 0, fisher_norm above 0 and start in 0..1, "
                f"got {strength}, {fisher_norm}, {start}"
            )
        if min(steps_per_path - 1, paths_remembered, fisher_groups) < 1:
            raise ValueError(
                "expected steps_per_path of at least 2, paths_remembered and fisher_groups of at least 1, "
                f"got {steps_per_path}, {paths_remembered}, {fisher_groups}"
            )
        self.strength, self.steps_per_path, self.paths_remembered = strength, steps_per_path, paths_remembered
        self.fisher_norm, self.fisher_groups, self.start = fisher_norm, fisher_groups, start
        count = sum(p.numel() for p in self.shared())
        self.register_buffer("fisher", torch.zeros(count))  # weights of the supernet and the classifier in one vector
        self.register_buffer("anchor", torch.zeros(count))
        self.register_buffer("stiff_steps", torch.zeros((), dtype=torch.long))
        self.consolidated = -1  # step that has updated F, which takes the first part of a batch alone

    def sample_paths(self, step: int) -> list[Arch]:
        """The single path of a step, sampled uniformly; it is the same in ``steps_per_path`` consecutive steps."""
        return self.path_number(step // self.steps_per_path)

    def path_number(self, number: int) -> list[Arch]:
        return self.space.sample(step_rng(self.seed, number, Stream.LEARN_PATHS))

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """The cross-entropy of the step's path, its accuracy, and the weight plasticity loss."""
        number, turn = divmod(step, self.steps_per_path)
        if turn == 0 and number > 0 and self.consolidated != step:
            self.consolidate(batch, number - 1)
            self.consolidated = step
        values = super().losses(batch, step, phase)
        if turn == 0 or batch.progress < self.start:
            return {**values, "plasticity_loss": torch.zeros_like(values["loss"])}
        (path,) = self.sample_paths(step)
        pull = self.strength * self.plasticity(path)
        with torch.no_grad():
            ratio, known = pull / values["loss"].clamp_min(SMALL_LOSS), self.stiff_steps
            count = torch.where(ratio > 1, known + 1, 0)
            self.stiff_steps.copy_(torch.where((known < 0) | (ratio > OVERSHOT), -1, count))
        return {**values, "plasticity_loss": pull}

    def plasticity(self, path: Arch) -> torch.Tensor:
        """Half the sum over a path's weights of their Fisher information times their squared distance to the anchor."""
        held = self.used_by(path)
        fisher, anchor = self.split(self.fisher), self.split(self.anchor)
        terms = [
            (f * (p.float() - a).square()).sum()
            for p, f, a in zip(self.shared(), fisher, anchor, strict=True)
            if id(p) in held
        ]
        return torch.stack(terms).sum() / 2

    @torch.no_grad()
    def consolidate(self, batch: Batch, number: int) -> None:
        """Add the Fisher information of a path whose training has ended, and anchor the weights where they are.

        Args:
            batch: Images of which the information is estimated.
            number: Index of the path. F starts again from zero when this is a multiple of ``paths_remembered``.
        """
        if number % self.paths_remembered == 0:
            self.fisher.zero_()
        (path,) = self.path_number(number)
        for total, part in zip(self.split(self.fisher), self.information(batch, path), strict=True):
            if part is not None:
                total += part
        self.fisher *= (self.fisher_norm / self.fisher.norm().clamp_min(1e-12)).clamp_max(1.0)
        for anchor, p in zip(self.split(self.anchor), self.shared(), strict=True):
            anchor.copy_(p)

    def information(self, batch: Batch, path: Arch) -> list[torch.Tensor | None]:
        """Diagonal of the Fisher information of a path, for each tensor of :meth:`shared`; None where it uses none.

        It is the mean over groups of images of the squared gradient of their mean negative log-likelihood.

        Raises:
            UserError: ``fisher_groups`` does not divide the images.
        """
        weights, images = self.shared(), batch.views.squeeze(1)  # N x C x H x W
        world = distributed.world()
        groups = max(self.fisher_groups // world, 1)
        if self.fisher_groups > 1 and (self.fisher_groups % world or len(images) % groups):
            raise UserError(
                f"expected learn.options.fisher_groups to divide {len(images) * world} images on {world} processes, "
                f"got {self.fisher_groups}; try 1 or {len(images) * world}"
            )
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            logits = self.fc(self.supernet(images, path))  # N x num_classes
            each = F.cross_entropy(logits, batch.labels, reduction="none")  # N
            losses = each.view(groups, -1).mean(1).unbind(0)  # groups scalars
        total: list[torch.Tensor | None] = [None] * len(weights)
        for k, loss in enumerate(losses):
            gradients = torch.autograd.grad(loss, weights, retain_graph=k + 1 < groups, allow_unused=True)
            if self.fisher_groups == 1:  # the batch is that of all processes
                distributed.average(g for g in gradients if g is not None)
            for index, gradient in enumerate(gradients):
                if gradient is not None:
                    square, before = gradient.square() / groups, total[index]
                    total[index] = square if before is None else before + square
        if self.fisher_groups > 1:
            distributed.average(part for part in total if part is not None)
        return total

    def shared(self) -> list[nn.Parameter]:
        """The weights that paths may share, in the order of :attr:`fisher` and :attr:`anchor`."""
        return [*self.supernet.parameters(), *self.fc.parameters()]

    def used_by(self, path: Arch) -> set[int]:
        """Identities of the weights that a path uses, the classifier's among them."""
        modules = [*(module for _, module in self.supernet.path_modules(path)), self.fc]
        return {id(p) for module in modules for p in module.parameters()}

    def split(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Views of a vector in the shapes of :meth:`shared`."""
        weights = self.shared()
        parts = vector.split([p.numel() for p in weights])
        return [part.view(p.shape) for part, p in zip(parts, weights, strict=True)]

    def warning(self) -> str | None:
        steps = int(self.stiff_steps)
        if steps < 0:
            return (
                f"the weight plasticity loss was more than {OVERSHOT} times the cross-entropy in a step: weights have "
                "overshot; make learn.lr x learn.options.strength x learn.options.fisher_norm smaller, below 1"
            )
        if steps >= PATIENCE:
            return (
                f"the weight plasticity loss has exceeded the cross-entropy in the last {steps} steps that have one, "
                "so weights are kept rather than learned, or overshoot; try a lower learn.options.strength"
            )
        return super().warning()
