"""Storage of a study: SQLite in the run's folder, a journal file, or a database that several machines share."""

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

OPENINGS = 5  # attempts to open a storage
LOCAL_DISKS = frozenset(
    ["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "reiserfs", "tmpfs", "xfs", "zfs"]
)


def open_study(storage: str, folder: Path, run: str = "explore", digest: str = "") -> optuna.Study:
    """Open the study of a run; it is created if it does not exist.

    Args:
        storage: Database URL, or path of a journal file (``.journal`` or ``.log``). Empty: SQLite in the folder.
        folder: Folder of the explore stage.
        run: Name of the study in a storage that runs may share.
        digest: Hash of the configuration, which is stored in the study and compared when it is opened again.

    Raises:
        UserError: The storage cannot be opened, or its study of this name has another configuration.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = storage or f"sqlite:///{(folder / 'study.db').resolve()}"
    try:
        study = _create(url, run if storage else "explore")
    except Exception as error:  # SQLAlchemy, database drivers and the file system raise many types
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
        except (DatabaseError, StorageInternalError):  # another worker is creating the tables
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
    """A SQLite connection in write-ahead-log mode, whose commits do not wait for the disk.

    Processes of one machine can share the file and be killed at any time. A power failure can lose the last commits,
    but does not corrupt the file; the lost candidates are scored again. The mode requires shared memory, so it is not
    used on network disks, which several machines may share.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        with suppress(sqlite3.OperationalError):  # another process is setting the mode, which the file stores
            self.execute("PRAGMA journal_mode = WAL").close()
        if self.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            self.execute("PRAGMA synchronous = NORMAL").close()


def on_local_disk(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether Linux lists a folder's file system as local; False if that is unknown."""
    try:
        lines = [line.split(" ") for line in mounts.read_text("utf-8", "surrogateescape").splitlines()]
    except OSError:
        return False
    found = {Path(fields[4].replace("\\040", " ")): fields[fields.index("-") + 1] for fields in lines}
    return next((found[p] in LOCAL_DISKS for p in (folder.resolve(), *folder.resolve().parents) if p in found), False)
