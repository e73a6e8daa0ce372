"""GDAS (Dong and Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019).

Each layer has a categorical distribution over its candidates. A step has two phases: the weights of a sampled path
learn on training images, then the logits learn on held-out images through another sample. With Gumbel noise G and
logits a, the candidate k = argmax(a + G) is a sample of the distribution. Its gate is one, with the gradient of the
softmax::

    gate_k = 1 + s_k - stop_gradient(s_k),    s = softmax((log softmax(a) + G) / temperature)

Only the sampled candidate runs, so a phase costs what a single path costs, and the gradient of s_k reaches all logits
of its layer.

All defaults are those of the released code for NAS-Bench-201 and for GDAS's own space (D-X-Y/AutoDL-Projects, MIT,
``scripts-search`` and ``exps/NAS-Bench-201-algos/GDAS.py``): the temperature falls linearly from 10 to 0.1; Adam's rate
is 3e-4, its weight decay 1e-3 and its betas (0.5, 0.999); logits start with a standard deviation of 0.001 and learn
from the first step. There, weights learn for 250 epochs of batches of 64, by SGD with a rate that falls from 0.025 to
0.001 by a cosine, Nesterov's momentum 0.9 and weight decay 5e-4; here they have the stage's settings.

The paper has two kinds of cells with two edges per node. Here a layer is a layer of the space. In the released code the
gates of candidates that were not sampled are added to the feature map themselves, as if these candidates put out ones
everywhere; here they contribute nothing, as in the paper.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from pinas_zoo.engine.trainable import Batch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.architecture_parameters import gumbel_softmax
from pinas_zoo.search.methods.learned_paths import LearnedPathsMethod
from pinas_zoo.search.spaces.base import SampledGates, SearchSpace

ARCH_PHASE = 1  # position in a step, for its noise


class GDASMethod(LearnedPathsMethod):
    """GDAS.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which samples derive.
        temperature: Temperature at the start.
        final_temperature: Temperature at the end.
        arch_lr: Adam's learning rate of the logits.
        arch_weight_decay: Adam's weight decay of the logits.
        options: Other arguments of :class:`pinas_zoo.search.methods.spos.SPOSMethod`.

    Raises:
        ValueError: An option is out of range.
    """

    title = "GDAS"

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        seed: int = 0,
        temperature: float = 10.0,
        final_temperature: float = 0.1,
        arch_lr: float = 3e-4,
        arch_weight_decay: float = 1e-3,
        **options: Any,
    ):
        if not all(0 < value < math.inf for value in (temperature, final_temperature, arch_lr)):
            raise ValueError(
                "expected finite temperature, final_temperature and arch_lr above 0, "
                f"got {temperature}, {final_temperature}, {arch_lr}"
            )
        optim = dict(type="Adam", lr=arch_lr, betas=(0.5, 0.999), weight_decay=arch_weight_decay)
        super().__init__(space, num_classes, optim, seed, **options)
        self.first, self.last = temperature, final_temperature

    def temperature(self, progress: float) -> float:
        """Temperature after a fraction of the steps."""
        return self.first + (self.last - self.first) * progress

    def gates(self, step: int, progress: float) -> SampledGates:
        """One candidate per layer, with straight-through gates (layers x 1) whose gradient reaches all logits."""
        logits = self.arch.logits
        noise = torch.from_numpy(step_rng(self.seed, step, Stream.GATES, ARCH_PHASE).gumbel(size=logits.shape))
        sampled = (logits.detach().cpu() + noise).argmax(1)  # layers, on the host
        soft = gumbel_softmax(logits, noise.to(logits), self.temperature(progress))  # layers x candidates
        chosen = soft.gather(1, sampled.unsqueeze(1).to(logits.device))  # layers x 1
        return SampledGates(tuple((k,) for k in sampled.tolist()), 1 + (chosen - chosen.detach()))

    def arch_losses(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        return self.path_losses(batch, [self.gates(step, batch.progress)])
