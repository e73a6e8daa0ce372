"""Files and folders below a data set's folder, without hidden ones and those deep down."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

DEPTH = 4  # levels of folders


def folders_below(root: Path) -> Iterator[Path]:
    """``root`` and the folders in it, parents first, in the order of their names."""
    for folder, below, _ in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        below[:] = sorted(name for name in below if not name.startswith(".") and depth < DEPTH)
        yield Path(folder)


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder, hidden ones left out, whose names end with one of the suffixes in any case."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name[0] != "." and e.name.lower().endswith(tuple(suffixes))]
    return [folder / name for name in sorted(names) if is_file(folder / name)]


def is_file(path: Path) -> bool:
    """Whether there is a regular file; a link that leads in a circle, or a name that no file can have, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def files_below(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of the suffixes in ``root`` and the folders below it."""
    return [file for folder in folders_below(root) for file in files_in(folder, suffixes)]
