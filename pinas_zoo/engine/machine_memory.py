"""How much memory this machine has, so that what cannot fit is said before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from pinas_zoo.errors import UserError

_CGROUP = Path("/sys/fs/cgroup/memory.max")  # the limit of a container on Linux


def machine_memory_mib() -> float | None:
    """Memory in MiB of the card that a run computes on, or of this machine or container; None where it is unknown."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory / 2**20
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20
    except (ValueError, OSError, AttributeError):  # Windows
        return None
    try:
        return min(memory, int(_CGROUP.read_text(encoding="utf-8")) / 2**20)
    except (OSError, ValueError):  # no such file, or "max"
        return memory


def check_fits(needed_mib: float, what: str, cure: str) -> None:
    """Check that something can fit in memory at all.

    Args:
        needed_mib: Memory that it takes at least, in MiB.
        what: What takes it.
        cure: What to do when it cannot fit.

    Raises:
        UserError: This machine has less.
    """
    there = machine_memory_mib()
    if there is not None and needed_mib > there:
        raise UserError(
            f"expected {what} to fit in the {there / 1024:.1f} GiB of memory here, got {needed_mib / 1024:.1f} GiB at "
            f"least; {cure}"
        )
