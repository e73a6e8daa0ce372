"""Torch's random numbers go on after some work as if it had drawn none."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch


def kept_generators() -> AbstractContextManager[None]:
    """Context manager after which torch's generators of the CPU and of this process's GPU are what they were before.

    ``torch.manual_seed`` seeds every GPU, so that keeping the CPU's generator alone is not enough. Work on the CPU may
    seed ``torch.default_generator`` instead, which is the CPU's.
    """
    return torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else [])
