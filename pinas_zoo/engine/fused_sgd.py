"""SGD whose update reads and writes the tensors of a parameter once, on CPUs as on GPUs.

torch's fused kernel does that, but it asks for more than a supernet's parameters have. They get their first gradients
in different steps, while the kernel expects momentum for all of a step's parameters or for none. On CPUs it also takes
elements in the order of memory and does not look at strides. A momentum that was saved in another memory format would
be added to other weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

DEVICES = frozenset({"cpu", "cuda", "mps", "xpu"})  # that have the fused kernel


class FusedSGD(torch.optim.SGD):
    """SGD with momentum, fused where each parameter is dense and its device has the kernel; elsewhere torch's default.

    State and update are those of :class:`torch.optim.SGD` but for rounding, and it resumes from the state of one. A
    parameter without gradient is left alone, and its momentum too.

    Args:
        params: Parameters.
        lr: Learning rate.
        momentum: Factor of the moving sum of gradients; 0: none is kept.
        weight_decay: Factor of the weight that is added to its gradient.
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.0, weight_decay: float = 0.0):
        params = list(params)
        fused = all(p.device.type in DEVICES and p.is_floating_point() and _is_dense(p) for p in params)
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay, fused=fused or None)
        if fused:
            self.register_step_pre_hook(_prepare)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state; whether the update is fused does not follow from it."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["fused"], group["foreach"] = self.defaults["fused"], None


def _prepare(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Give parameters with their first gradient a momentum of zero, and gradients and momenta the parameters' strides.

    From zero, the update is the first one of torch's SGD, whose momentum is then the gradient.
    """
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.grad.stride() != p.stride():
                p.grad = _with_strides_of(p, p.grad)
            if group["momentum"] == 0:
                continue
            state = optimizer.state[p]
            momentum = state.get("momentum_buffer")
            if momentum is None:
                state["momentum_buffer"] = torch.zeros_like(p)
            elif momentum.stride() != p.stride():
                state["momentum_buffer"] = _with_strides_of(p, momentum)


def _with_strides_of(p: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(p, requires_grad=False).copy_(x)


def _is_dense(p: torch.Tensor) -> bool:
    """Whether the elements fill their memory without gaps or overlaps, in any order."""
    return p.layout == torch.strided and torch.empty_like(p, device="meta").stride() == p.stride()
