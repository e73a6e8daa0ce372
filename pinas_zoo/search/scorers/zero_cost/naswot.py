"""NASWOT: how differently a fresh network's rectifiers respond to different images (Mellor et al., ICML 2021).

Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", ICML 2021, Eqn. 2: each image has a
binary code, which says for every rectifier's input whether it is positive. K holds, for each two images, the number of
rectifiers minus the Hamming distance of their codes. The score is log |det K|.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pinas_zoo.search.scorers.zero_cost.base import ZeroCostScorer
from pinas_zoo.search.scorers.zero_cost.networks import as_scored

SMALLEST = 1e-3  # lower bound of an eigenvalue of K, so that images with equal codes give a finite, low score


def naswot(model: nn.Module, images: torch.Tensor) -> float:
    """The log-determinant of the kernel of activation codes, in nats. Higher is better.

    Activations that are no rectifiers, such as GELU and SiLU, count by the sign of their input too; this is ours.

    Args:
        model: The network; it is not changed.
        images: A normalised batch, N x C x H x W. The released code takes 128 images.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from pinas_zoo.search.scorers.zero_cost import naswot
        >>> round(naswot(nn.ReLU(), torch.eye(2)), 3)  # K = [[2, 0], [0, 2]]
        1.386
    """
    with as_scored(model), activation_per_layer(model), torch.no_grad(), ActivationKernel(len(images)) as found:
        model(images)
    return float(torch.linalg.eigvalsh(found.kernel).clamp(min=SMALLEST).log().sum())


@contextmanager
def activation_per_layer(model: nn.Module) -> Iterator[None]:
    """Context manager in which modules compute the activation of each layer, though several have the same.

    It concerns modules with an attribute ``reuses_activations``, such as NAS-Bench-201's cells.
    """
    reusing = [module for module in model.modules() if getattr(module, "reuses_activations", False)]
    try:
        for module in reusing:
            module.reuses_activations = False  # type: ignore[assignment]
        yield
    finally:
        for module in reusing:
            module.reuses_activations = True  # type: ignore[assignment]


class ActivationKernel(TorchDispatchMode):
    """Context manager that sums K over all activations that run within it, whether modules or functions.

    Args:
        count: Number of images N. Tensors of another first dimension are skipped.
    """

    def __init__(self, count: int):
        super().__init__()
        self.count, self.kernel = count, torch.zeros(count, count, dtype=torch.float64)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket in ACTIVATIONS and len(args[0]) == self.count:
            code = (args[0] > 0).flatten(1).float()  # N x units
            different = code @ (1 - code).T  # N x N, units on in one image and off in the other
            agreeing = code.shape[1] - different - different.T
            self.kernel += agreeing.to(self.kernel)
        return func(*args, **(kwargs or {}))


ACTIVATIONS = {
    getattr(torch.ops.aten, name)
    for name in (
        "relu", "relu_", "leaky_relu", "leaky_relu_", "prelu", "_prelu_kernel", "elu", "elu_", "gelu", "gelu_", "silu",
        "silu_", "mish", "mish_", "hardswish", "hardswish_", "hardtanh", "hardtanh_",
    )
}  # fmt: skip


class NASWOTScorer(ZeroCostScorer):
    """Scores by :func:`naswot`."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def score_network(self, model: nn.Module, images: torch.Tensor, labels: torch.Tensor, seed: int) -> float:
        return naswot(model, images)
