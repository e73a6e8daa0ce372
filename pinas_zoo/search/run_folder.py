"""What a run's folder keeps of it: which stages are complete, and by which configuration it was made."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig, parse_config

DONE = "done.json"
STAGES = ("learn", "linear", "explore", "winner", "train")
FREE = ("until", "data.workers", "log")  # what may change within a run: no number follows from it


def check_folder(config: SearchConfig, folder: Path) -> None:
    """Make sure that a folder may hold this run.

    Raises:
        UserError: It holds a run of another configuration, or is not a run's folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"expected a folder for the run, got the file {folder}; choose another with --work-dir")
    path = folder / "config.json"
    if not path.is_file():
        if any(not p.name.startswith(".config.json.") for p in folder.iterdir()):
            raise UserError(f"expected an empty folder or a run, got {folder} without config.json; use --work-dir")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"run folder {folder}: config.json cannot be read ({error}); delete the folder") from error
    with contextlib.suppress(UserError):  # keys that were added since have their defaults
        before = parse_config(before).model_dump(mode="json")
    changed = sorted(_differences(before, config.model_dump(mode="json")))
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise UserError(
            f"run folder {folder} was made by another configuration ({'; '.join(changed[:3])}{more}); "
            "choose another with --work-dir, or delete it"
        )


def _differences(before: Any, now: Any, key: str = "") -> list[str]:
    if key in FREE:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = {**before, **now}
        return [d for k in keys for d in _differences(before.get(k), now.get(k), f"{key}.{k}" if key else str(k))]
    return [] if before == now else [f"{key} was {before!r}, is {now!r}"]


def read_done(folder: Path) -> dict[str, Any]:
    """Facts of a complete stage: summary, seconds, peak_memory_mib and its own."""
    return json.loads((folder / DONE).read_text(encoding="utf-8"))
