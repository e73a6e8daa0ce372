"""The state of a run in its folder: its configuration, and which stages are complete."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.bounded_reading import read_json
from pinas_zoo.engine.checkpoint import CHECKPOINT
from pinas_zoo.engine.folder_links import refuse_links
from pinas_zoo.engine.folder_lock import LOCK
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig, parse_config, without_password
from pinas_zoo.search.run_files import JSON_LIMIT, read_facts
from pinas_zoo.weights.atomic import write_json

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")  # as pinas_zoo.weights.atomic names them
DONE = "done.json"
STAGES = ("learn", "linear", "explore", "winner", "train")
FOLDERS = (*STAGES, "trained", "train/compare")
FREE = ("until", "streams", "data.workers", "log")  # may differ from the folder; its streams are kept


def check_folder(config: SearchConfig, folder: Path) -> None:
    """Check that a folder can be used for a run: it does not exist, is empty, or contains the same run.

    Raises:
        UserError: The folder contains a run with another configuration, or other files.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"expected a folder for the run, got the file {folder}; choose another with --work-dir")
    refuse_links(folder, FOLDERS)
    path = folder / "config.json"
    if not path.is_file():
        if any(p.name != LOCK and not p.name.startswith(".config.json.") for p in folder.iterdir()):
            raise UserError(f"expected an empty folder or a run, got {folder} without config.json; use --work-dir")
        return
    try:
        before = read_json(path, "the configuration of a run", JSON_LIMIT)
    except UserError as error:
        raise UserError(f"run folder {folder}: {error}; delete the folder") from None
    try:
        before = parse_config(before).model_dump(mode="json")  # keys that a later version added get their defaults
    except UserError as error:
        raise UserError(f"run folder {folder}: its config.json is not valid: {error}") from error
    changed = sorted(_differences(before, config.model_dump(mode="json")))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"run folder {folder} was made by another configuration ({'; '.join(changed[:3])}{more}); "
            f"to go on with its own, run `pinas-zoo search {path}`; or choose another run with --set name=NAME, or its "
            "folder with --work-dir"
        )


def _differences(before: Any, now: Any, key: str = "") -> list[str]:
    if key in FREE:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = {**before, **now}
        return [d for k in keys for d in _differences(before.get(k), now.get(k), f"{key}.{k}" if key else str(k))]
    if before == now:
        return []
    shown = [repr(without_password(value) if isinstance(value, str) else value) for value in (before, now)]
    return [f"{key} was {shown[0]}, is {shown[1]}"]


def with_streams_of(config: SearchConfig, folder: Path) -> SearchConfig:
    """The configuration with the random streams of a run folder: a run that version 0.1 began keeps its splits."""
    try:
        before = read_json(folder / "config.json", "the configuration of a run", JSON_LIMIT)
    except UserError:  # there is none yet
        return config
    return config.model_copy(update={"streams": before.get("streams", 1)}) if isinstance(before, dict) else config


def is_done(folder: Path, stage: str) -> bool:
    """Whether a stage of a run is complete."""
    return (folder / stage / DONE).is_file()


def read_done(folder: Path) -> dict[str, Any]:
    """Read ``done.json`` of a stage: ``summary``, ``seconds``, ``peak_memory_mib`` and facts of its own.

    It is empty for a stage that is not complete.

    Raises:
        UserError: The file is damaged.
    """
    path = folder / DONE
    return read_facts(path, "delete it to repeat the stage") if path.is_file() else {}


def mark_done(folder: Path, stage: str, facts: Mapping[str, Any]) -> None:
    """Mark a stage as complete, and delete its checkpoint and log folders."""
    write_json(folder / stage / DONE, facts)
    remove_attempts(folder, stage)


def remove_attempts(folder: Path, stage: str) -> None:
    """Delete the checkpoint and log folders of a complete stage; a kill just after its end leaves them."""
    (folder / stage / CHECKPOINT).unlink(missing_ok=True)
    for log in (folder / stage).glob("20[0-9][0-9]*_*"):  # logs of mmengine's Runner, one pair per attempt
        remove(log)


def sweep(folder: Path) -> None:
    """Delete temporary files and folders of writes that a kill interrupted."""
    for left in [*folder.glob(".winner.*"), *folder.glob(".trained.*"), *folder.rglob(".*.tmp")]:
        if left.is_dir() or TEMPORARY.fullmatch(left.name):
            remove(left)


def remove(path: Path) -> None:
    """Delete a file, a folder with its content, or a link without what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
