"""FBNetV2 (Wan et al., CVPR 2020): weights and logits learn by gradient through Gumbel-softmax masks.

A layer computes the sum of its candidates, weighted by gates that the Gumbel-softmax samples from its logits. Towards
the end the temperature is low, and the gates are close to one-hot. Weights learn on training images, logits on held-out
images after a warm-up, with the multiply-adds of the sampled gates in their loss::

    loss of the logits   cross-entropy * α log(1 + M)^β      M: millions of multiply-adds

Where candidates differ in channels, as in the paper's space, gates are masks on shared channels
(:mod:`pinas_zoo.search.spaces.channel_masks`). In NAS-Bench-201 candidates are operations, which share no channels, and
gates weight their outputs, as in FBNet. FBNetV2's search over input resolutions is left out, since the spaces have one.

FBNetV2 builds on FBNet (Wu et al., CVPR 2019), from which we take these values: α = 0.2 and β = 0.6; Adam with a rate
of 0.01 and a weight decay of 5e-4; a temperature of 5 that is multiplied by exp(-0.045) in each of 90 epochs; 10 epochs
of warm-up. Neither paper's search code is public; public reimplementations quote the same values as FBNet's. FBNet's
cost is a latency in microseconds. Ours has the 1 because tiny networks have less than a million multiply-adds. The
weights minimise the cross-entropy alone, because the cost does not depend on them. Public reimplementations of FBNet
add the cost to the cross-entropy; the papers multiply.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.search.methods.architecture_parameters import ArchitectureParameters, CandidateCosts
from pinas_zoo.search.methods.spos import SPOSMethod
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.spaces.channel_masks import copy_shared, pooled_features, use_masks


class FBNetV2Method(SPOSMethod):
    """FBNetV2's differentiable search with masks.

    A step runs all candidates of each layer twice, once for the weights and once for the logits.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which the Gumbel noise of each step derives.
        image_size: Height and width of the images in pixels.
        alpha: α, above 0.
        beta: β, at least 0. 0: the cost does not matter.
        arch_lr: Learning rate of the logits.
        arch_weight_decay: Weight decay of the logits.
        temperature: Temperature of the Gumbel-softmax at the start.
        final_temperature: Temperature at the end. It falls exponentially. The default is 5 exp(-0.045 * 90).
        warmup: Fraction of the steps before the logits start to learn, at least 0 and below 1.
        masks: Whether the candidates of a layer share channels. None: where the space's candidates differ in channels.
        label_smoothing: Label smoothing of the cross-entropy, at least 0 and below 1.

    Raises:
        ValueError: An option is out of range, or the space's candidates cannot share channels.
    """

    title = "FBNetV2"
    takes_image_size = True

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        seed: int = 0,
        image_size: int = 224,
        alpha: float = 0.2,
        beta: float = 0.6,
        arch_lr: float = 0.01,
        arch_weight_decay: float = 5e-4,
        temperature: float = 5.0,
        final_temperature: float = 0.087,
        warmup: float = 10 / 90,
        masks: bool | None = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__(space, num_classes, seed, label_smoothing)
        if not 0 <= warmup < 1:
            raise ValueError(f"expected warmup of at least 0 and below 1, got {warmup}")
        for name, value in dict(
            alpha=alpha, arch_lr=arch_lr, temperature=temperature, final_temperature=final_temperature
        ).items():
            if not 0 < value < math.inf:
                raise ValueError(f"expected a finite {name} above 0, got {value}")
        if not 0 <= beta < math.inf or not 0 <= arch_weight_decay < math.inf:
            raise ValueError(f"expected beta and arch_weight_decay of at least 0, got {beta} and {arch_weight_decay}")
        self.alpha, self.beta = alpha, beta
        self.temperature, self.final_temperature = temperature, final_temperature
        adam = dict(type="Adam", lr=arch_lr, weight_decay=arch_weight_decay)
        self.phases = (Phase("weights"), Phase("arch", split="held_out", optim=adam, start=warmup))
        self.masks = use_masks(self.supernet, masks)
        self.paths_at_once = space.num_candidates  # whose activations a step keeps
        self.arch = ArchitectureParameters(space)
        self.costs = CandidateCosts(space, image_size)

    def parameters_of(self, phase: Phase) -> list[nn.Parameter]:
        if phase.name == "arch":
            return [self.arch.logits]
        return [*self.supernet.parameters(), *self.fc.parameters()]

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """Cross-entropy of the mixture; for the logits, multiplied by the cost term."""
        images = batch.views.squeeze(1)  # N x C x H x W
        place = self.phases.index(phase)
        gates = self.arch.gates(self.temperature_at(batch.progress), self.seed, step, place)  # layers x candidates
        logits = self.fc(pooled_features(self.supernet, images, gates, self.masks))  # N x num_classes
        loss = F.cross_entropy(logits, batch.labels, label_smoothing=self.label_smoothing)
        accuracy = (logits.detach().argmax(1) == batch.labels).float().mean()
        if phase.name == "weights":
            return {"loss": loss, "accuracy": accuracy}
        flops_g = self.costs.expected(gates)
        logged = {"accuracy": accuracy, "flops_g": flops_g.detach(), "entropy": self.arch.entropy().detach()}
        return {"loss": loss * self.cost_term(flops_g), **logged}

    def temperature_at(self, progress: float) -> float:
        """Temperature after a fraction of the steps."""
        return self.temperature * (self.final_temperature / self.temperature) ** progress

    def cost_term(self, flops_g: torch.Tensor) -> torch.Tensor:
        """α log(1 + M)^β, for billions of multiply-adds."""
        return self.alpha * torch.log1p(1e3 * flops_g) ** self.beta

    def after_update(self, step: int, phase: Phase) -> None:
        if phase.name == "arch":
            self.arch.count_flat()
        elif self.masks:
            copy_shared(self.supernet)

    def choose(self) -> Arch:
        return self.arch.best()

    def warning(self) -> str | None:
        return self.arch.warning()
