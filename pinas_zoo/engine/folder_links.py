"""Run folders hold files and folders alone: no link, pipe or device, by which a run would write or read elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import kind_of


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Check that a run folder and those of its sub-folders hold files and folders alone.

    What is written into the folder would leave it through a link, and what is read could be without end.

    Args:
        folder: The folder, which may itself be reached through a link.
        names: Sub-folders.

    Raises:
        UserError: There is a symbolic link, named pipe, device or socket.
    """
    for place in (folder, *(folder / name for name in names)):
        if not place.is_dir():
            continue
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                    raise UserError(
                        f"expected files in run folder {folder}, got {kind_of(Path(entry.path))} at {entry.path}; put "
                        "what it stands for in its place"
                    )
