"""The checkpoint from which a stage resumes: written whole, read without executing code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pinas_zoo.errors import UserError
from pinas_zoo.weights.atomic import replacing

CHECKPOINT = "checkpoint.pth"
FIRST_PHASE = "weights"  # the one phase that versions up to 0.1 had


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    with replacing(folder / CHECKPOINT) as temporary:
        torch.save(state, temporary)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The folder's checkpoint, or None where there is none; tensors and plain values only.

    Returns:
        ``step`` (how many are done), ``seconds``, ``model``, and by phase ``optimizers`` and ``schedulers``.

    Raises:
        UserError: A file that is torn, or that holds anything else.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if "optimizer" in state:  # of version 0.1
            state["optimizers"] = {FIRST_PHASE: state.pop("optimizer")}
            state["schedulers"] = {FIRST_PHASE: state["schedulers"]}
    except Exception as error:  # a torn zip file and a pickle that wants more raise many kinds
        raise UserError(f"checkpoint {path} cannot be read as tensors and plain values; delete it") from error
    return state
