"""The checkpoint from which a stage resumes. It is written atomically and read without executing code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pinas_zoo.bounded_reading import is_finite
from pinas_zoo.errors import UserError
from pinas_zoo.terminal import warning
from pinas_zoo.weights.atomic import replacing
from pinas_zoo.weights.checkpoint_reader import check_archive
from pinas_zoo.weights.size_limits import shortened

CHECKPOINT = "checkpoint.pth"
KEYS = {"step", "seconds", "model", "optimizers", "schedulers"}
FIRST_PHASE = "weights"  # the only phase in version 0.1


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the checkpoint of a stage's folder atomically.

    Raises:
        UserError: It cannot be written, such as on a full disk. The one before stays.
    """
    try:
        with replacing(folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)
    except (OSError, RuntimeError) as error:  # torch's archive writer raises RuntimeError for an error of the disk
        reason = getattr(error, "strerror", None) or "an error of the disk, which may be full"
        raise UserError(
            f"expected to write {folder / CHECKPOINT}, got {reason}; the checkpoint before is kept: free space on the "
            "disk, then rerun the same command to resume"
        ) from None


def load_checkpoint(folder: Path, steps: int | None = None) -> dict[str, Any] | None:
    """Read the checkpoint of a stage's folder.

    Args:
        folder: The folder.
        steps: Total number of steps, which a checkpoint does not reach; None for no limit.

    Returns:
        ``step`` (the number of completed steps), ``seconds``, ``model``, and ``optimizers`` and ``schedulers`` by
        phase. None if there is no checkpoint.

    Raises:
        UserError: The file is damaged, contains anything but tensors and plain values, would unpack to more than
            ``torch.save`` writes, or is of a later step.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        check_archive(path)  # before anything is unpacked
        state = torch.load(path, map_location="cpu", weights_only=True)
        if "optimizer" in state:  # format of version 0.1
            state["optimizers"] = {FIRST_PHASE: state.pop("optimizer")}
            state["schedulers"] = {FIRST_PHASE: state["schedulers"]}
            warning(
                f"version 0.1 began {folder}; it resumes with the augmentation of this version, whose crops differ "
                "where images are in memory"
            )
        if not set(state) >= KEYS:
            raise KeyError(*sorted(KEYS - set(state)))
    except Exception as error:  # damaged zip files and forbidden pickles raise many types
        raise UserError(f"checkpoint {path} cannot be read as tensors and plain values; delete it") from error
    step, seconds = state["step"], state["seconds"]
    if type(step) is not int or step < 1 or (steps is not None and step >= steps):
        most = f" before {steps}" if steps is not None else ""
        raise UserError(f"expected a checkpoint of a step{most} in {path}, got step {shortened(step)}; delete it")
    if not is_finite(seconds) or seconds < 0:
        raise UserError(f"expected the seconds of training in {path}, got {shortened(seconds)}; delete it")
    return state


def restore(
    state: Mapping[str, Any], model: nn.Module, optimizers: Mapping[str, Any], schedulers: Mapping[str, Sequence[Any]]
) -> None:
    """Load what :func:`load_checkpoint` has read.

    Args:
        state: The checkpoint.
        model: Gets the weights.
        optimizers: mmengine's optimiser wrappers by phase.
        schedulers: mmengine's schedulers by phase.

    Raises:
        UserError: The checkpoint is that of another run, or damaged.
    """
    try:
        model.load_state_dict(state["model"])
        _same_keys("optimizers", state["optimizers"], optimizers)
        _same_keys("schedulers", state["schedulers"], schedulers)
        for name, wrapper in optimizers.items():
            wrapper.load_state_dict(state["optimizers"][name])
            _check_optimizer(wrapper.optimizer)
        for name, some in schedulers.items():
            if not some:  # the network sets its rates itself; in the last stage of a search it once did not
                continue
            for scheduler, kept in zip(some, state["schedulers"][name], strict=True):
                _check_scheduler(kept, scheduler.state_dict())
                scheduler.load_state_dict(kept)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(
            f"expected a checkpoint of this run as {CHECKPOINT}, got another or a damaged one: {problem}; delete it to "
            "start the stage anew"
        ) from error


def _same_keys(what: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    if found.keys() != expected.keys():
        raise ValueError(f"{what} are {', '.join(map(str, found)) or 'missing'}, not {', '.join(expected)}")


def _check_scheduler(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Check what mmengine sets as attributes as it is: their names, and numbers where there are numbers."""
    _same_keys("a scheduler's values", found, expected)
    for key, value in expected.items():
        if isinstance(value, int | float) and not (isinstance(found[key], bool) or is_finite(found[key])):
            raise ValueError(f"{key} is {shortened(found[key])}")


MOMENTA = {"momentum_buffer", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"}  # of a parameter's shape in every optimiser


def _check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    """Check what torch takes as it is: shapes of momenta, and finite numbers as learning rates."""
    for group in optimizer.param_groups:
        for key, value in group.items():
            text = isinstance(value, str) and not isinstance(optimizer.defaults.get(key), str)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if text or (number and not is_finite(value)):
                raise ValueError(f"{key} is {shortened(value)}")
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            for key in MOMENTA & state.keys():
                value = state[key]
                if isinstance(value, torch.Tensor) and value.shape != parameter.shape:
                    raise ValueError(f"{key} has shape {tuple(value.shape)}, not {tuple(parameter.shape)}")
