"""Atomic replacement of a model folder: it is complete or absent, also after a killed process."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pinas_zoo.errors import UserError
from pinas_zoo.weights.abandoned import OWNER_FILE, mark_owner, remove_abandoned, temporary_beside

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FACTS_FILE = "provenance.json"
CARD_FILE = "README.md"
PICKLES = (".bin", ".pth", ".pt", ".tar", ".ckpt", ".pkl")  # suffixes of formats that can carry code
_FORMAT_FILES = frozenset({CONFIG_FILE, WEIGHTS_FILE, FACTS_FILE, CARD_FILE})


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` when the block ends without an error.

    An older model folder is replaced by two renames, and its files that are not of this format move into the new one.
    It is deleted once the new one is in place, and restored when that fails. If a process is killed between the
    renames, the next call restores the old folder. A symlink keeps pointing to the folder, which is replaced where it
    lies.

    Raises:
        UserError: ``folder`` is a file, or a folder that is neither empty nor a model folder; or another process wrote
            it at the same time.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"expected a folder, got the file {folder}; give another place")
    for left in _set_aside(folder):
        _settle(left, folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG_FILE).is_file():
        raise UserError(
            f"expected an empty or a model folder to replace, got {folder}, which has no {CONFIG_FILE}; "
            "give another place, or empty it"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder.parent, folder.name)
    temporary = temporary_beside(folder)
    old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}.old")
    temporary.mkdir()  # not tempfile, whose folders other users cannot open: this takes the umask's mode
    try:
        mark_owner(temporary)
        yield temporary
        (temporary / OWNER_FILE).unlink(missing_ok=True)
        try:
            if folder.is_dir():
                os.rename(folder, old)
            os.rename(temporary, folder)
        except OSError as error:
            raise UserError(
                f"expected to put the new model in place at {folder}, got {error}; does another process write it at "
                "the same time? Let one finish, then write again"
            ) from None
    finally:
        _settle(old, folder)
        shutil.rmtree(temporary, ignore_errors=True)


def _set_aside(folder: Path) -> list[Path]:
    """Older versions of a folder that a writer moved aside; the writer was killed or is still at work."""
    if not folder.parent.is_dir():
        return []
    form = re.compile(re.escape(f".{folder.name}.") + r"[0-9a-f]{12}\.old")
    return sorted(path for path in folder.parent.iterdir() if form.fullmatch(path.name))


def _settle(old: Path, folder: Path) -> None:
    """Restore an older version when nothing is in its place; else move its files of other formats over and delete it.

    Changes by other processes raise nothing: files that cannot be moved stay where they are, and so does ``old``.
    """
    if not old.is_dir():
        return
    try:
        if not folder.exists():  # checked after old was seen: a folder that exists now has replaced it
            os.rename(old, folder)
            return
        for path in old.iterdir():
            if path.name not in _FORMAT_FILES and not (folder / path.name).exists():
                os.rename(path, folder / path.name)
        if all(path.name in _FORMAT_FILES for path in old.iterdir()):
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return
