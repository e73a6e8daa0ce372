"""Whether learning goes wrong, as far as it can be seen while it runs; counted on the device, read back when asked."""

from __future__ import annotations

import torch

COLLAPSED = 0.1  # spread of outputs below which they count as alike; 1 is uniform on the sphere
CHANCE = 0.99  # part of the loss of guessing above which nothing is learned
PATIENCE = 100  # steps in a row until a warning


def spread(outputs: torch.Tensor) -> torch.Tensor:
    """Standard deviation over a batch of unit vectors, N x dim: 1 when uniform on the sphere, 0 when all are alike."""
    return outputs.detach().float().std(0).mean() * outputs.shape[1] ** 0.5


@torch.no_grad()
def count_low_steps(counts: torch.Tensor, spread: torch.Tensor, loss: torch.Tensor, chance: float) -> None:
    """Count, in place, steps in a row whose outputs are alike, and whose loss is that of guessing.

    Args:
        counts: Two whole numbers, on the device.
        spread: Of the step's outputs.
        loss: Of the step.
        chance: The loss of guessing; 0 where nothing is compared.
    """
    low = torch.stack([spread < COLLAPSED, (loss > CHANCE * chance) & (chance > 0)])
    counts.copy_(torch.where(low, counts + 1, 0))


def learning_warning(counts: torch.Tensor, negatives: bool) -> str | None:
    """What :func:`count_low_steps` has seen, in one line with a cure; reads the counts back from the device."""
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
    """L2 distance of two lists of tensors over the norm of the second; tensors that come twice count once."""
    pairs = list({id(b): (a, b) for a, b in zip(one, other, strict=True)}.values())
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    distance = torch.stack(torch._foreach_norm(torch._foreach_sub(first, second))).norm()
    return float(distance / torch.stack(torch._foreach_norm(second)).norm())
