"""ProxylessNAS (Cai et al., "Direct Neural Architecture Search on Target Task and Hardware", ICLR 2019), by gradients.

Each layer has probabilities p = softmax(a) over its candidates. A step has two phases:

- The weights of one path, sampled from p, learn on training images.
- Two candidates of each layer are sampled from p without replacement; the others are left out as if they did not exist.
  With q the softmax over the logits of the two, one of them is open (binary gate 1) and the other closed (gate 0) with
  the probabilities q. Both run, so that each gate has a gradient, and the logits receive (eq. 4 of the paper)::

      dL/da_i = sum over the two j of dL/dg_j * q_j * (1[i = j] - q_i)

  After the update the two logits are shifted together until the sum of their probabilities is what it was. So one of
  them gains what the other loses, and all others keep their probabilities.

The loss of the second phase has the expected cost of the two-candidate network in addition, here multiply-adds in
units of ``target_g``; the paper adds the expected latency in the same way (sec. 3.3). Adam has no momentum (beta 0),
otherwise candidates that are not sampled would move.

These values are those of the released search on ImageNet (mit-han-lab/proxylessnas, MIT,
``search/imagenet_arch_search.py``):

- Adam's rate of 0.001 and betas (0, 0.999), no weight decay, and first logits of standard deviation 0.001. With weight
  decay or momentum the probabilities of the others would change, so neither is an option.
- ``arch_start``: 40 epochs of uniform paths come before 120 epochs of search, a quarter of all.
- ``cost_weight``: 0.1, in its loss ``add#linear``, in units of a target. Its default is another loss, a product with a
  logarithm; the sum is that of the paper.

What differs: there, logits learn in every fifth step, and by default from gates of all candidates; here in every step
and from two, as in sec. 3.2.1 of the paper. The default of ``target_g`` is our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.architecture_parameters import CandidateCosts
from pinas_zoo.search.methods.learned_paths import LearnedPathsMethod
from pinas_zoo.search.spaces.base import SampledGates, SearchSpace

ARCH_PHASE = 1  # position in a step, for its samples


@dataclass(frozen=True)
class SampledPairs:
    """Two candidates of each layer, and which of them is open.

    Attributes:
        candidates: The candidates, layers x 2, for the supernet.
        index: The same as a tensor on the device.
        is_open: One for the open candidate, zero for the closed one; layers x 2.
        logits: Their logits at the time of sampling, layers x 2, without gradient.
    """

    candidates: tuple[tuple[int, ...], ...]
    index: torch.Tensor
    is_open: torch.Tensor
    logits: torch.Tensor


class ProxylessNASMethod(LearnedPathsMethod):
    """ProxylessNAS with binary gates.

    Args:
        space: The search space, of at least two candidates per layer.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which samples derive.
        image_size: Height and width of the images in pixels, for the multiply-adds.
        arch_lr: Adam's learning rate of the logits.
        arch_start: Fraction of the steps after which the logits learn; before, paths are almost uniform.
        cost_weight: Weight of the expected multiply-adds in the loss; 0: none.
        target_g: Multiply-adds in billions that count as one; None: the mean over all paths.
        options: Other arguments of :class:`pinas_zoo.search.methods.spos.SPOSMethod`.

    Raises:
        ValueError: An option is out of range, or the space has one candidate per layer.
    """

    title = "ProxylessNAS"
    takes_image_size = True
    paths_at_once = 2

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        seed: int = 0,
        image_size: int = 224,
        arch_lr: float = 1e-3,
        arch_start: float = 0.25,
        cost_weight: float = 0.1,
        target_g: float | None = None,
        **options: Any,
    ):
        if space.num_candidates < 2:
            raise ValueError(f"expected at least two candidates per layer, got {space.num_candidates}")
        if not 0 < arch_lr < math.inf or not 0 <= cost_weight < math.inf:
            raise ValueError(f"expected arch_lr above 0 and cost_weight of at least 0, got {arch_lr}, {cost_weight}")
        if target_g is not None and not 0 < target_g < math.inf:
            raise ValueError(f"expected target_g above 0, got {target_g}")
        optim = dict(type="Adam", lr=arch_lr, betas=(0.0, 0.999))
        super().__init__(space, num_classes, optim, seed, arch_start, **options)
        self.cost_weight, self.target_g = cost_weight, target_g
        self.costs = CandidateCosts(space, image_size)
        self.sampled: SampledPairs | None = None  # of the architecture phase that is running

    def sample_pairs(self, step: int) -> SampledPairs:
        """Sample two candidates of each layer, and open one of the two."""
        logits = self.arch.logits.detach()
        rng = step_rng(self.seed, step, Stream.GATES, ARCH_PHASE)
        # the two largest of the logits with Gumbel noise are a sample without replacement
        noise = torch.from_numpy(rng.gumbel(size=(2, *logits.shape)))
        on_host = logits.cpu().double()
        pairs = (on_host + noise[0]).topk(2, dim=1).indices  # layers x 2
        opened = (on_host + noise[1]).gather(1, pairs).argmax(1, keepdim=True)  # layers x 1
        is_open = torch.zeros(pairs.shape).scatter_(1, opened, 1.0).to(logits.device)  # layers x 2
        index = pairs.to(logits.device)
        return SampledPairs(tuple(map(tuple, pairs.tolist())), index, is_open, logits.gather(1, index))

    def arch_losses(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        """The cross-entropy through binary gates and the expected cost; both have gradients to the two logits."""
        pairs = self.sampled = self.sample_pairs(step)
        chances = torch.softmax(self.arch.logits.gather(1, pairs.index), 1)  # q, layers x 2
        gates = pairs.is_open + (chances - chances.detach())  # layers x 2
        values = self.path_losses(batch, [SampledGates(pairs.candidates, gates)])
        everywhere = torch.zeros_like(self.arch.logits).scatter(1, pairs.index, chances)  # layers x candidates
        cost_g = self.costs.expected(everywhere)
        if self.cost_weight:
            values["cost_loss"] = self.cost_weight * cost_g / self.reference_g()
        with torch.no_grad():
            values["gmacs"] = self.costs.expected(self.arch.probabilities())
        return values

    def reference_g(self) -> torch.Tensor | float:
        """Multiply-adds in billions that count as one."""
        mean = torch.full_like(self.costs.table_g, 1 / self.space.num_candidates)
        return self.costs.expected(mean) if self.target_g is None else self.target_g

    def after_update(self, step: int, phase: Phase) -> None:
        """Keep the probabilities of the candidates that were not sampled."""
        if phase.name == "arch" and self.sampled is not None:
            self.keep_others(self.sampled)
        super().after_update(step, phase)

    @torch.no_grad()
    def keep_others(self, pairs: SampledPairs) -> None:
        """Shift the two logits of each layer so that the sum of their exponentials is that of before the update."""
        logits = self.arch.logits
        new = logits.gather(1, pairs.index)  # layers x 2
        shift = pairs.logits.logsumexp(1, keepdim=True) - new.logsumexp(1, keepdim=True)  # layers x 1
        logits.scatter_(1, pairs.index, new + shift)
