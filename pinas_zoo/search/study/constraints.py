"""What a candidate may cost: parameters and multiply-adds by table, latency by measuring; outside, it is not scored."""

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

TRIES = 16_384  # architectures that are looked at; a space up to this size is looked at whole
WARM_UP, REPEATS = 3, 15


class Limits:
    """The limits of a configuration's ``explore`` table on parameters and multiply-adds."""

    def __init__(self, space: SearchSpace, options: config.Explore, image_size: int):
        self.space, self.image_size = space, image_size
        self.max_params_m, self.max_flops_g = options.max_params_m, options.max_flops_g
        self.bounded = self.max_params_m is not None or self.max_flops_g is not None

    def allow(self, arch: Arch) -> bool:
        if not self.bounded:
            return True
        params_m, flops_g = self.space.cost(arch, self.image_size)
        return params_m <= (self.max_params_m or np.inf) and flops_g <= (self.max_flops_g or np.inf)

    def reachable(self, seed: int) -> int:
        """How many architectures are within the limits: exact in a small space, else the size of the space.

        Raises:
            UserError: None was found, of as many as are looked at; the text has the smallest cost found.
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
        """The smallest of each cost that changing one layer after another finds, in words."""
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
    """Milliseconds for one image of ``image_size`` squared: the median of some runs, after some that do not count."""
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
