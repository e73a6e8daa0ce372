"""Detection of collapse and of lack of progress during learning. Counters stay on the device until they are read."""

from __future__ import annotations

import torch

from pinas_zoo.engine.precision import at_least_fp32

COLLAPSED = 0.1  # spread below which outputs count as collapsed; outputs uniform on the sphere have 1
CHANCE = 0.99  # fraction of the chance-level loss above which a step counts as no progress
PATIENCE = 100  # consecutive steps before a warning


def spread(outputs: torch.Tensor) -> torch.Tensor:
    """Standard deviation of unit vectors, N x dim, over a batch: 1 if uniform on the sphere, 0 if all are equal."""
    return at_least_fp32(outputs.detach()).std(0).mean() * outputs.shape[1] ** 0.5


@torch.no_grad()
def count_low_steps(counts: torch.Tensor, spread: torch.Tensor, loss: torch.Tensor, chance: float) -> None:
    """Update the numbers of consecutive steps with collapsed outputs, and with a loss at chance level.

    Args:
        counts: The two numbers, updated in place on the device.
        spread: Spread of the step's outputs.
        loss: Loss of the step.
        chance: Chance-level loss, of guessing among the negatives; 0 if there is nothing to guess among.
    """
    low = torch.stack([spread < COLLAPSED, (loss > CHANCE * chance) & (chance > 0)])
    counts.copy_(torch.where(low, counts + 1, 0))


def learning_warning(counts: torch.Tensor, negatives: bool) -> str | None:
    """A one-line warning with a remedy, from the numbers of :func:`count_low_steps`; None if there is no problem."""
    collapsed, at_chance = counts.tolist()
    if collapsed >= PATIENCE:
        cure = "a lower learning rate, or warm_queue" if negatives else "negatives=True"
        return (
            f"outputs have collapsed: all images have looked alike (spread below {COLLAPSED}, where 1 is uniform) "
            f"for the last {collapsed} steps, so scores will mean nothing; try {cure}"
        )
    if at_chance >= PATIENCE:
        return (
            f"nothing is learned: the loss has been that of guessing for the last {at_chance} steps, so scores "
            "will mean little; try more steps, a lower temperature, or another learning rate"
        )
    return None


@torch.no_grad()
def relative_distance(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """L2 distance of two lists of tensors over the norm of the second. Repeated tensors count once."""
    pairs = list({id(b): (a, b) for a, b in zip(one, other, strict=True)}.values())
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    distance = torch.stack(torch._foreach_norm(torch._foreach_sub(first, second))).norm()
    return float(distance / torch.stack(torch._foreach_norm(second)).norm())
