"""Architecture parameters: one logit per candidate of each layer, and what methods compute from them.

Methods share the parts here: probabilities and samples, gates by the Gumbel-softmax (Jang et al., ICLR 2017; Maddison
et al., ICLR 2017), and the multiply-adds that a mixture of candidates is expected to have.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.spaces.base import SearchSpace

PATIENCE = 100  # consecutive phases of architecture parameters that barely moved before a warning
FLAT = 0.99  # fraction of the largest entropy above which no candidate is preferred


class ArchitectureParameters(nn.Module):
    """Logits of a categorical distribution over the candidates of each layer; layers are independent.

    Args:
        space: The search space.
        std: Standard deviation of the logits at the start. 0: all candidates are equally probable.
        seed: Seed of the initial logits.

    Attributes:
        flat_updates: Number of consecutive updates after which no candidate was preferred, a tensor on the device.
    """

    flat_updates: torch.Tensor

    def __init__(self, space: SearchSpace, std: float = 0.0, seed: int = 0):
        super().__init__()
        self.space = space
        shape = (space.num_layers, space.num_candidates)
        start = std * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        self.logits = nn.Parameter(start)  # layers x candidates
        self.register_buffer("flat_updates", torch.zeros((), dtype=torch.long))

    def log_probabilities(self) -> torch.Tensor:
        return torch.log_softmax(at_least_fp32(self.logits), 1)  # layers x candidates

    def probabilities(self) -> torch.Tensor:
        return torch.softmax(at_least_fp32(self.logits), 1)  # layers x candidates

    def entropy(self) -> torch.Tensor:
        """Entropy of the distribution over paths, in nats; it is the sum over layers."""
        logs = self.log_probabilities()
        return -(logs.exp() * logs).sum()

    def log_probability(self, path: Arch) -> torch.Tensor:
        """Logarithm of the probability of a path, with gradients to the logits."""
        chosen = torch.tensor(list(path), device=self.logits.device).unsqueeze(1)  # layers x 1
        return self.log_probabilities().gather(1, chosen).sum()

    def sample(self, rng: np.random.Generator) -> Arch:
        """Sample a path. It reads the logits back from the device, since the path says which modules run."""
        logits = self.logits.detach().double().cpu().numpy()
        return Arch(tuple((logits + rng.gumbel(size=logits.shape)).argmax(1)))

    def best(self) -> Arch:
        """The most probable path among those that may be scored (``space.choices``)."""
        rows = self.logits.detach().cpu().tolist()
        return Arch(
            tuple(max(allowed, key=row.__getitem__) for row, allowed in zip(rows, self.space.choices, strict=True))
        )

    def gates(self, temperature: float, seed: int, step: int, phase: int = 0) -> torch.Tensor:
        """Gates of a step by :func:`gumbel_softmax`, with gradients to the logits.

        Args:
            temperature: Divisor of the perturbed logits; the lower it is, the closer a row is to one-hot.
            seed: Seed of the run.
            step: Index of the step.
            phase: Position of the phase in the step. Phases with the same position share the noise.

        Returns:
            Layers x candidates; rows sum to 1.
        """
        noise = step_rng(seed, step, Stream.GATES, phase).gumbel(size=self.logits.shape)
        return gumbel_softmax(self.logits, torch.from_numpy(noise).to(self.logits), temperature)

    def count_flat(self) -> None:
        """Count an update of the logits; call it after each."""
        self.flat_updates.copy_(torch.where(self.is_flat(), self.flat_updates + 1, 0))

    def warning(self) -> str | None:
        """A warning in one line if no candidate has been preferred for many updates, so that an argmax says nothing."""
        flat_updates = int(self.flat_updates)
        if flat_updates < PATIENCE:
            return None
        return (
            f"the architecture parameters prefer no candidate: their entropy has been above {FLAT:.0%} of the largest "
            f"for the last {flat_updates} updates, so the chosen architecture means nothing; try more steps or a "
            "higher arch_lr"
        )

    @torch.no_grad()
    def is_flat(self) -> torch.Tensor:
        """Whether the entropy is close to the largest, that of equal probabilities; a tensor on the device."""
        return self.entropy() > FLAT * self.space.num_layers * math.log(self.space.num_candidates)


def gumbel_softmax(logits: torch.Tensor, noise: torch.Tensor, temperature: float) -> torch.Tensor:
    """Softmax of logits plus Gumbel noise: a continuous relaxation of samples of the categorical distribution.

    Args:
        logits: Layers x candidates.
        noise: Samples of the standard Gumbel distribution, layers x candidates.
        temperature: Divisor; towards 0 rows become one-hot samples.

    Returns:
        Layers x candidates, in fp32 at least; rows sum to 1.
    """
    return torch.softmax((torch.log_softmax(at_least_fp32(logits), 1) + noise) / temperature, 1)


def one_hot_straight_through(soft: torch.Tensor) -> torch.Tensor:
    """One-hot rows of the largest gates, whose gradient is that of the soft gates: layers x candidates to the same."""
    hard = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1.0)
    return hard + soft - soft.detach()


def mean_flops_g(space: SearchSpace, image_size: int) -> float:
    """Multiply-adds in billions, the mean over all paths of the supernet, for images of ``image_size`` pixels."""
    base, rows = space.cost_table(image_size)
    return (base.macs + sum(sum(cost.macs for cost in row) / len(row) for row in rows)) / 1e9


class CandidateCosts(nn.Module):
    """Multiply-adds of the candidates, for costs that gates make differentiable.

    Args:
        space: The search space.
        image_size: Height and width of the images in pixels.

    Attributes:
        base_g: Multiply-adds outside of the candidates, in billions; see :meth:`SearchSpace.cost_table`.
        table_g: Multiply-adds of each candidate, in billions; layers x candidates.
    """

    table_g: torch.Tensor

    def __init__(self, space: SearchSpace, image_size: int):
        super().__init__()
        base, rows = space.cost_table(image_size)
        self.base_g = base.macs / 1e9
        table = torch.tensor([[cost.macs / 1e9 for cost in row] for row in rows])
        self.register_buffer("table_g", table, persistent=False)  # it follows from the space

    def expected(self, gates: torch.Tensor) -> torch.Tensor:
        """Multiply-adds in billions of a mixture: the mean over paths if gates are probabilities, layers x candidates.

        A row of gates of a path selects its candidates, and the result is the cost of the path.
        """
        return self.base_g + (gates * self.table_g).sum()
