"""Where a study is kept: SQLite in the run's folder, a journal, or a database that many machines share."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from pinas_zoo.errors import UserError

OPENINGS = 5  # tries to open a storage
LOCAL_DISKS = frozenset(
    ["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "reiserfs", "tmpfs", "xfs", "zfs"]
)


def open_study(storage: str, folder: Path, run: str = "explore", digest: str = "") -> optuna.Study:
    """The study of a run, made when missing.

    Args:
        storage: A database URL, the path of a journal (``.journal`` or ``.log``), or empty: SQLite in the folder.
        folder: The run's ``explore``.
        run: The study's name where the storage is shared with other runs.
        digest: Of the configuration; a study keeps that of the run that made it.

    Raises:
        UserError: The storage cannot be opened, or holds another run's study of this name.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = storage or f"sqlite:///{(folder / 'study.db').resolve()}"
    try:
        study = _create(url, run if storage else "explore")
    except Exception as error:  # whatever SQLAlchemy, a driver or the file system says
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"explore.storage {url} cannot be opened: {said[0]}; see docs/explore.md") from error
    if digest and study.user_attrs.get("config", digest) != digest:
        raise UserError(
            f"explore.storage {url} holds a study {run!r} of another configuration; change the run's name or storage"
        )
    if digest and "config" not in study.user_attrs:
        study.set_user_attr("config", digest)
    return study


def _create(url: str, name: str) -> optuna.Study:
    for attempt in range(OPENINGS):
        try:
            return optuna.create_study(
                storage=_storage(url), study_name=name, direction="maximize", load_if_exists=True
            )
        except (DatabaseError, StorageInternalError):  # another worker makes the tables at this moment
            if attempt + 1 == OPENINGS:
                raise
            time.sleep(0.5 * (attempt + 1))
    raise AssertionError


def _storage(url: str) -> optuna.storages.BaseStorage:
    if url.endswith((".journal", ".log")):
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(url))
    if "://" not in url:
        raise UserError("expected a database URL or a path that ends in .journal or .log")
    arguments: dict[str, Any] = {}
    if url.startswith("sqlite"):
        arguments["timeout"] = 60  # seconds to wait for a lock
        if on_local_disk(Path(make_url(url).database or "").parent):
            arguments["factory"] = WriteAheadConnection
    return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": arguments})


class WriteAheadConnection(sqlite3.Connection):
    """A connection whose commits append to a log and do not wait for the disk.

    Any number of processes of one machine may use the file so, and be killed; a power failure may take the last commits
    with it and leaves the file sound, so that a few candidates are scored again. The log's index is shared memory,
    which machines that share a network disk do not have.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        with suppress(sqlite3.OperationalError):  # another process is at it; the file keeps what the first one sets
            self.execute("PRAGMA journal_mode = WAL").close()
        if self.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            self.execute("PRAGMA synchronous = NORMAL").close()


def on_local_disk(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether a folder is on a disk of this machine alone, for all that Linux says; False where that is not known."""
    try:
        lines = [line.split(" ") for line in mounts.read_text("utf-8", "surrogateescape").splitlines()]
    except OSError:
        return False
    found = {Path(fields[4].replace("\\040", " ")): fields[fields.index("-") + 1] for fields in lines}
    return next((found[p] in LOCAL_DISKS for p in (folder.resolve(), *folder.resolve().parents) if p in found), False)
