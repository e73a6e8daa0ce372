"""The checkpoint from which a stage resumes. It is written atomically and read without executing code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pinas_zoo.errors import UserError
from pinas_zoo.terminal import warning
from pinas_zoo.weights.atomic import replacing

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
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(
            f"expected to write {folder / CHECKPOINT}, got {reason}; the checkpoint before is kept: free space on the "
            "disk, then rerun the same command to resume"
        ) from None


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Read the checkpoint of a stage's folder.

    Returns:
        ``step`` (the number of completed steps), ``seconds``, ``model``, and ``optimizers`` and ``schedulers`` by
        phase. None if there is no checkpoint.

    Raises:
        UserError: The file is damaged, or contains anything but tensors and plain values.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
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
    return state
