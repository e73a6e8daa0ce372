"""Resuming a run of OpenMMLab: which checkpoint, whether it is whole, and nothing of it is run as code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.checkpoints import forget_code, read_weights


def checkpoint_to_resume(work_dir: Path, given: str | None) -> str | None:
    """The checkpoint that a run resumes from, read once to see that it is whole.

    Args:
        work_dir: The run's folder.
        given: A checkpoint, or another run's folder; None: the last checkpoint of ``work_dir``.

    Returns:
        None where the folder has no checkpoint: the run then starts at the beginning.

    Raises:
        UserError: The checkpoint is missing or damaged, or is not that of a training.
    """
    folder = work_dir if given is None else Path(given)
    path = _last_of(folder) if given is None or folder.is_dir() else given
    if path is None:
        if given is not None:
            raise UserError(f"expected a checkpoint to resume from in {given}, found none")
        return None
    others = [str(p) for p in _checkpoints(Path(path).parent) if p != Path(path)]
    hint = f"; resume from another one: --resume {others[-1]}" if others else ""
    try:
        content = read_weights(path)
    except UserError as error:
        raise UserError(f"{error}{hint}") from None
    meta = content.get("meta")
    lacking = [key for key in ("epoch", "iter") if not isinstance(meta, Mapping) or key not in meta]
    lacking += [key for key in ("state_dict", "optimizer", "message_hub") if key not in content]
    if lacking:
        raise UserError(
            f"expected the checkpoint of a training to resume from, got {path} without {', '.join(lacking)}; to start "
            f"from its weights alone: --cfg-options load_from={path}{hint}"
        )
    return path


def _last_of(folder: Path) -> str | None:
    """The checkpoint that ``last_checkpoint`` names. It holds an absolute path; of a folder that was moved or copied,
    the file of that name in the folder itself is meant."""
    record, found = folder / "last_checkpoint", _checkpoints(folder)
    if not record.is_file():
        if found:
            raise UserError(
                f"expected the file last_checkpoint in {folder}, found none, but {found[-1].name}; resume from it by "
                f"--resume {found[-1]}, or give another --work-dir"
            )
        return None
    name = record.read_text(encoding="utf-8", errors="replace").strip()
    beside = folder / re.split(r"[/\\]", name)[-1]
    for path in (beside, Path(name)):
        if path.is_file():
            return str(path)
    hint = f"; resume from another one: --resume {found[-1]}" if found else "; start anew without --resume"
    raise UserError(f"expected the checkpoint {name!r}, which {record} names, found neither it nor {beside}{hint}")


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of iterations or epochs in a folder, the latest one last."""
    numbered = [(int(match[1]), p) for p in folder.glob("*.pth") if (match := re.fullmatch(r"\w+_(\d+)", p.stem))]
    return [path for _, path in sorted(numbered)]


@HOOKS.register_module()
class ResumeAsDataHook(Hook):
    """Takes the text of a config out of a loaded checkpoint, which mmengine would run as Python when it resumes."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        forget_code(checkpoint)
