"""TuNAS (Bender et al., CVPR 2020): a policy over paths learns by REINFORCE, with a cost target in its reward.

Each step has two parts. The weights of a sampled path are updated on training images. The same path is then evaluated
on a held-out batch, and its reward updates the policy::

    reward     Q + β |T / T0 - 1|             Q: accuracy; T, T0: multiply-adds of the path and their target; β < 0
    baseline   moving average of the reward   momentum 0.95
    gradient   (reward - baseline) * gradient of log p(path), by Adam

The absolute value makes the policy meet the target instead of staying below it. During the first quarter of the steps
only weights learn. With a probability that falls linearly from 1 to 0, all candidates are then enabled. Warm-up of
operations trains the mean of their outputs. Warm-up of filters trains the widest candidate; it applies where candidates
are channel decisions, which share channels (:mod:`pinas_zoo.search.spaces.channel_masks`).

These values are from the released code (google-research/tunas, Apache 2.0): β = -0.1; Adam with β1 = 0, β2 = 0.999 and
a rate of 0.0003 * batch / 256 that grows tenfold; momentum; warm-ups; no entropy term; label smoothing 0.1. What
differs here:

- The held-out batch has as many images as the training batch; there it has four times as many.
- All processes evaluate the same path, and their accuracies are averaged. There each process samples its own.
- In warm-up of operations, all layers enable their candidates in the same steps; there each layer draws its own steps.
- The moving average is corrected for its start at zero.
- The cost is multiply-adds; there it is a model of the latency on a phone.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.architecture_parameters import ArchitectureParameters, mean_flops_g
from pinas_zoo.search.methods.spos import SPOSMethod
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.spaces.channel_masks import copy_shared, pooled_features, use_masks, widest_path


class TuNASMethod(SPOSMethod):
    """TuNAS.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which the path of each step derives.
        image_size: Height and width of the images in pixels.
        target_flops_g: T0, in billions of multiply-adds without the classifier. None: the mean over all paths.
        beta: β, at most 0. 0: the cost does not matter.
        arch_lr: Learning rate of the policy when it starts. The default is the released code's, for its batch of 4,096.
        arch_lr_growth: The policy's last learning rate as a multiple of its first.
        baseline_momentum: Momentum of the moving average of the reward, at least 0 and below 1.
        entropy: Weight of the policy's entropy, which is maximised.
        warmup: Fraction of the steps in which only weights learn, and in which all candidates are enabled at times.
        masks: Whether the candidates of a layer share channels. None: where the space's candidates differ in channels.
        label_smoothing: Label smoothing of the cross-entropy, at least 0 and below 1.

    Raises:
        ValueError: An option is out of range, or the space's candidates cannot share channels.
    """

    title = "TuNAS"
    takes_image_size = True
    reward_sum: torch.Tensor
    reward_weight: torch.Tensor

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        seed: int = 0,
        image_size: int = 224,
        target_flops_g: float | None = None,
        beta: float = -0.1,
        arch_lr: float = 0.0048,
        arch_lr_growth: float = 10.0,
        baseline_momentum: float = 0.95,
        entropy: float = 0.0,
        warmup: float = 0.25,
        masks: bool | None = None,
        label_smoothing: float = 0.1,
    ):
        super().__init__(space, num_classes, seed, label_smoothing)
        if not 0 <= baseline_momentum < 1 or not 0 <= warmup < 1:
            raise ValueError(
                f"expected baseline_momentum and warmup of at least 0 and below 1, got {baseline_momentum} and {warmup}"
            )
        if not -math.inf < beta <= 0 or not 0 < arch_lr < math.inf or not 0 < arch_lr_growth < math.inf or entropy < 0:
            raise ValueError(
                "expected beta of at most 0, arch_lr and arch_lr_growth above 0, and entropy of at least 0, got "
                f"{beta}, {arch_lr}, {arch_lr_growth} and {entropy}"
            )
        self.image_size = image_size
        self.beta, self.momentum, self.entropy, self.warmup = beta, baseline_momentum, entropy, warmup
        adam = dict(type="Adam", lr=arch_lr, betas=(0.0, 0.999), eps=1e-8)
        self.phases = (
            Phase("weights"),
            Phase("policy", split="held_out", optim=adam, start=warmup, final_lr=arch_lr_growth),
        )
        self.masks = use_masks(self.supernet, masks)
        self.paths_at_once = 1 if self.masks else space.num_candidates  # whose activations a step keeps
        self.arch = ArchitectureParameters(space)
        self.target_flops_g = mean_flops_g(space, image_size) if target_flops_g is None else target_flops_g
        if not 0 < self.target_flops_g < math.inf:
            raise ValueError(f"expected target_flops_g above 0, got {target_flops_g}")
        self.register_buffer("reward_sum", torch.zeros(()))
        self.register_buffer("reward_weight", torch.zeros(()))

    def parameters_of(self, phase: Phase) -> list[nn.Parameter]:
        if phase.name == "policy":
            return [self.arch.logits]
        return [*self.supernet.parameters(), *self.fc.parameters()]

    def sample_paths(self, step: int) -> list[Arch]:
        """The path of a step, sampled from the policy. Both phases of the step use it."""
        if self.arch.logits.is_meta:  # in a dry run
            return self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS))
        return [self.arch.sample(step_rng(self.seed, step, Stream.LEARN_PATHS))]

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """Cross-entropy of the weights, or the loss whose gradient is that of REINFORCE."""
        images = batch.views.squeeze(1)  # N x C x H x W
        (path,) = self.sample_paths(step)
        if phase.name == "weights":
            logits = self.logits(images, self.warmed_up(path, step, batch.progress))
            loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
            return {"loss": loss, "accuracy": (logits.detach().argmax(1) == batch.labels).float().mean()}
        with torch.no_grad(), batch_statistics(self.supernet):
            right = self.logits(images, path).argmax(1) == batch.labels  # N
        reward = self.reward(distributed.averaged(right.float().mean()), path)
        loss = self.policy_loss(path, reward - self.baseline(reward))
        return {"loss": loss, "reward": reward, "entropy": self.arch.entropy().detach()}

    def logits(self, images: torch.Tensor, path: Arch | torch.Tensor) -> torch.Tensor:
        """Outputs of the classifier: N x C x H x W to N x num_classes."""
        logits: torch.Tensor = self.fc(pooled_features(self.supernet, images, path, self.masks))
        return logits

    def warmed_up(self, path: Arch, step: int, progress: float) -> Arch | torch.Tensor:
        """The path whose weights a step trains: in warm-up, all candidates may be enabled.

        Args:
            path: The sampled path.
            step: Index of the step.
            progress: Fraction of the steps that are completed.
        """
        chance = 1 - progress / self.warmup if progress < self.warmup else 0.0
        if chance <= 0:
            return path
        enabled = step_rng(self.seed, step, Stream.GATES).random(len(path)) < chance  # layers
        if self.masks:
            wide = widest_path(self.supernet)
            return Arch(tuple(w if on else c for c, w, on in zip(path, wide, enabled, strict=True)))
        if enabled[0]:  # all layers together, so that other steps run one candidate a layer
            return torch.full_like(self.arch.logits, 1 / self.space.num_candidates, requires_grad=False)
        return path

    def reward(self, accuracy: torch.Tensor, path: Arch) -> torch.Tensor:
        """Q + β |T / T0 - 1|, the absolute reward."""
        cost = self.space.cost(path, self.image_size)[1]
        return accuracy + self.beta * abs(cost / self.target_flops_g - 1)

    @torch.no_grad()
    def baseline(self, reward: torch.Tensor) -> torch.Tensor:
        """Add a reward to the moving average, and return the average."""
        self.reward_sum.mul_(self.momentum).add_(reward, alpha=1 - self.momentum)
        self.reward_weight.mul_(self.momentum).add_(1 - self.momentum)
        return self.reward_sum / self.reward_weight

    def policy_loss(self, path: Arch, advantage: torch.Tensor) -> torch.Tensor:
        """The loss whose expected gradient over paths is that of the expected negative advantage (Williams, 1992)."""
        loss = -advantage * self.arch.log_probability(path)
        return loss - self.entropy * self.arch.entropy() if self.entropy else loss

    def after_update(self, step: int, phase: Phase) -> None:
        if phase.name == "policy":
            self.arch.count_flat()
        elif self.masks:
            copy_shared(self.supernet)

    def choose(self) -> Arch:
        return self.arch.best()

    def warning(self) -> str | None:
        return self.arch.warning()
