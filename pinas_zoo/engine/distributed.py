"""Distributed processes of a run: one per GPU, started by torchrun or SLURM with the same command.

The configured batch size is that of all processes together. Each process takes an equal part, and gradients are
averaged. All processes sample the same paths, because paths derive from the seed and the step. Only rank 0 writes files
and prints.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable

import torch
from mmengine import dist

from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.errors import UserError

BUCKET_MIB = 64  # size of the buckets in which gradients are reduced
TIMEOUT = 24 * 3600  # seconds that other ranks wait for rank 0, which tests and writes files


def detect(launcher: str | None) -> str:
    """The launcher: ``pytorch``, ``slurm`` or ``none``. None: detect it from the variables of torchrun and srun."""
    if launcher is not None:
        return launcher
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "pytorch"
    return "slurm" if "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", "1")) > 1 else "none"


def start(launcher: str | None) -> None:
    """Initialise the process group, unless there is a single process.

    Raises:
        UserError: A variable that the launcher sets is missing in the environment.
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
    """Initialise the process group with gloo, for CPUs. mmengine's function requires a GPU for these launchers.

    Args:
        launcher: ``pytorch`` or ``slurm``.
        timeout: Timeout of collective operations in seconds. None: torch's default.

    Raises:
        UserError: MASTER_ADDR is missing in the environment of SLURM's processes.
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
    """Index of this process, from 0."""
    return dist.get_rank()


def world() -> int:
    """Number of processes."""
    return dist.get_world_size()


@torch.no_grad()
def gather(x: torch.Tensor) -> torch.Tensor:
    """Concatenate the rows of all ranks, in the order of ranks, without gradient: n x … to (n * world) x …."""
    return torch.cat(dist.all_gather(x.contiguous()))  # (n * world) x …


def own(x: torch.Tensor) -> torch.Tensor:
    """This rank's part of gathered rows: (n * world) x … to n x …."""
    return x.chunk(world())[rank()]  # n x …


def average_gradients(parameters: Iterable[torch.Tensor]) -> None:
    """Average gradients over ranks, in buckets.

    Parameters that the step's paths do not use have no gradient on any rank. They are neither communicated nor updated,
    as in a single process.
    """
    average(p.grad for p in parameters if p.grad is not None)


def average(tensors: Iterable[torch.Tensor]) -> None:
    """Average tensors over ranks in place, in buckets. All ranks must have the same shapes."""
    dist.all_reduce_params(list(tensors), bucket_size_mb=BUCKET_MIB, op="mean")


def averaged(x: torch.Tensor) -> torch.Tensor:
    """Mean over ranks, in fp32 and without gradient, on the device."""
    x = at_least_fp32(x.detach()).clone()
    dist.all_reduce(x, "mean")
    return x


def mean(value: torch.Tensor) -> float:
    """Mean of a scalar over ranks."""
    return float(averaged(value))


def wait() -> None:
    """Wait until all ranks have reached this call."""
    dist.barrier()
