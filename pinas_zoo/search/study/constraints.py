"""Limits on the cost of candidates: parameters and multiply-adds from tables, latency by measurement.

Candidates that exceed a limit are not scored.
"""

from __future__ import annotations

import itertools
import statistics
import time

import numpy as np
import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search import config
from pinas_zoo.search.spaces.base import SearchSpace

TRIES = 16_384  # architectures whose cost is checked; a space of at most this size is checked completely
WARM_UP, REPEATS = 3, 15


class Limits:
    """The limits on parameters and multiply-adds in the ``explore`` table of a configuration.

    Args:
        space: The search space.
        options: The ``explore`` table.
        image_size: Height and width in pixels, on which multiply-adds depend.
    """

    def __init__(self, space: SearchSpace, options: config.Explore, image_size: int):
        self.space, self.image_size = space, image_size
        self.max_params_m, self.max_flops_g = options.max_params_m, options.max_flops_g
        self.bounded = self.max_params_m is not None or self.max_flops_g is not None

    def allow(self, arch: Arch) -> bool:
        """Whether an architecture is within the limits."""
        if not self.bounded:
            return True
        params_m, flops_g = self.space.cost(arch, self.image_size)
        return params_m <= (self.max_params_m or np.inf) and flops_g <= (self.max_flops_g or np.inf)

    def reachable(self, seed: int) -> int:
        """Number of architectures within the limits. In a large space this is the upper bound ``space.size``.

        Raises:
            UserError: None of the architectures that were checked is within the limits. The message contains the
                smallest costs found.
        """
        if not self.bounded:
            return self.space.size
        whole = self.space.size <= TRIES
        if whole:
            archs = [Arch(c) for c in itertools.product(*self.space.choices)]
        else:
            counts = [len(choices) for choices in self.space.choices]
            draws = step_rng(seed, 0, Stream.LIMITS).integers(counts, size=(TRIES, len(counts)))  # TRIES x layers
            archs = [
                Arch(tuple(choices[k] for choices, k in zip(self.space.choices, row, strict=True)))
                for row in draws.tolist()
            ]
        found = sum(map(self.allow, archs))
        if not found:
            raise UserError(
                f"expected architectures within {self}, found none in {len(archs):,}{'' if whole else ' random ones'}; "
                f"{self.smallest(archs[0])}; raise the limit"
            )
        return found if whole else self.space.size

    def smallest(self, arch: Arch) -> str:
        """Describe the smallest costs that a coordinate-wise search from ``arch`` finds."""
        least = []
        for cost in (0, 1):
            at = list(arch)
            for layer in range(len(at)):
                options = [Arch((*at[:layer], c, *at[layer + 1 :])) for c in self.space.choices[layer]]
                at[layer] = min(options, key=lambda a: self.space.cost(a, self.image_size)[cost])[layer]
            least.append(self.space.cost(Arch(tuple(at)), self.image_size)[cost])
        return f"the smallest found have {least[0]:.4g} M params and {least[1]:.4g} G multiply-adds"

    def __str__(self) -> str:
        limits = (("explore.max_params_m", self.max_params_m), ("explore.max_flops_g", self.max_flops_g))
        return " and ".join(f"{name}={value:g}" for name, value in limits if value is not None)


@torch.inference_mode()
def latency_ms(network: nn.Module, image_size: int, device: str = "cpu") -> float:
    """Measure the time of a forward pass for one image.

    Args:
        network: The network; it is moved to the device and put into eval mode.
        image_size: Height and width in pixels.
        device: Device to measure on.

    Returns:
        Milliseconds, the median of 15 passes after 3 warm-up passes.
    """
    network = network.eval().to(device)
    image = torch.zeros(1, 3, image_size, image_size, device=device)
    seconds = []
    for turn in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        network(image)
        if device != "cpu":
            torch.cuda.synchronize() if device.startswith("cuda") else None
        if turn >= WARM_UP:
            seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)
