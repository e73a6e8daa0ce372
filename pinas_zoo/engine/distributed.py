"""Processes that share a run: one a GPU, started by torchrun or SLURM, all with the same command.

A batch is the configured one however many processes share it: each takes an equal part, gradients are averaged. All
draw the same paths, because a path follows from the seed and the step. Rank 0 alone writes and speaks.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable

import torch
from mmengine import dist

from pinas_zoo.errors import UserError

BUCKET_MIB = 64  # of gradients that are reduced at once
TIMEOUT = 24 * 3600  # seconds that ranks wait for rank 0, which tests and writes alone


def detect(launcher: str | None) -> str:
    """``pytorch``, ``slurm`` or ``none``: as asked, or else by what torchrun and srun leave in the environment."""
    if launcher is not None:
        return launcher
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "pytorch"
    return "slurm" if "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1 else "none"


def start(launcher: str | None) -> None:
    """Join the other processes; does nothing alone.

    Raises:
        UserError: The launcher's variables are not there.
    """
    launcher = detect(launcher)
    if launcher == "none" or dist.is_distributed():
        return
    needed = {"pytorch": ("RANK", "LOCAL_RANK", "WORLD_SIZE"), "slurm": ("SLURM_PROCID", "SLURM_NTASKS")}[launcher]
    missing = [name for name in needed if name not in os.environ]
    if missing:
        how = "torchrun --nproc-per-node GPUS -m pinas_zoo.cli search …" if launcher == "pytorch" else "srun"
        raise UserError(f"expected {missing[0]} in the environment, found none; start the processes with `{how}`")
    if torch.cuda.is_available():
        dist.init_dist(launcher, backend="nccl", timeout=TIMEOUT)
        return
    start_gloo(launcher, TIMEOUT)


def start_gloo(launcher: str, timeout: float | None = None) -> None:
    """Join the other processes by gloo, for CPUs. mmengine's own function requires a GPU for these launchers.

    Args:
        launcher: ``pytorch`` or ``slurm``.
        timeout: Seconds that a collective operation may wait; None: torch's default.

    Raises:
        UserError: SLURM's processes have no MASTER_ADDR.
    """
    if dist.is_distributed():
        return
    if launcher == "slurm":
        os.environ |= {"RANK": os.environ["SLURM_PROCID"], "WORLD_SIZE": os.environ["SLURM_NTASKS"]}
        os.environ.setdefault("MASTER_PORT", "29500")
        if "MASTER_ADDR" not in os.environ:
            raise UserError("expected MASTER_ADDR in the environment, found none; export it as the first node's name")
    torch.distributed.init_process_group("gloo", timeout=None if timeout is None else datetime.timedelta(0, timeout))


def rank() -> int:
    return dist.get_rank()


def world() -> int:
    """Number of processes."""
    return dist.get_world_size()


@torch.no_grad()
def gather(x: torch.Tensor) -> torch.Tensor:
    """Every rank's rows, in the order of ranks, without gradient: n x … to world * n x …"""
    return torch.cat(dist.all_gather(x.contiguous()))


def own(x: torch.Tensor) -> torch.Tensor:
    """This rank's part of gathered rows."""
    return x.chunk(world())[rank()]


def average_gradients(parameters: Iterable[torch.Tensor]) -> None:
    """Mean over ranks, in buckets. Parameters that the step's paths do not use have no gradient, on no rank: nothing is
    sent for them, and the optimiser leaves them alone as it does on one process."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    dist.all_reduce_params(gradients, bucket_size_mb=BUCKET_MIB, op="mean")


def mean(value: torch.Tensor) -> float:
    """Of a number that each rank has."""
    value = value.detach().float().clone()
    dist.all_reduce(value, "mean")
    return float(value)


def wait() -> None:
    """Until all ranks are here."""
    dist.barrier()
