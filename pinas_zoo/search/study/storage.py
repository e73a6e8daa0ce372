"""Storage of a study: SQLite in the run's folder, a journal file, or a database that several machines share."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from pinas_zoo.errors import UserError, is_full_disk
from pinas_zoo.search.config import without_password
from pinas_zoo.search.study.patient_storage import PATIENCE, PatientStorage

MOST_SHOWN = 400  # characters of a URL, and of what its driver says, in a message
OPENINGS = 5  # attempts to open a storage
LOCK_SECONDS = 60  # that a worker waits for SQLite's lock
CONNECT_SECONDS = 10  # that a server has to answer
SERVERS = ("postgresql", "mysql", "mariadb")  # whose drivers know connect_timeout
JOURNALS = (".journal", ".log")
LOCAL_DISKS = frozenset(
    ["bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "reiserfs", "tmpfs", "xfs", "zfs"]
)


def open_study(
    storage: str, folder: Path, run: str = "explore", digest: str = "", key: str = "explore.storage"
) -> optuna.Study:
    """Open the study of a run; it is created if it does not exist.

    Args:
        storage: Database URL, or path of a journal file (``.journal`` or ``.log``). Empty: SQLite in the folder.
        folder: Folder of the explore stage.
        run: Name of the study in a storage that runs may share.
        digest: Hash of the configuration, which is stored in the study and compared when it is opened again.
        key: The key of the configuration that names the storage, for messages.

    Raises:
        UserError: The storage cannot be opened, or its study of this name has another configuration.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = _create(storage or folder / "study.db", run if storage else "explore")
        kept = study.user_attrs.get("config", digest) if digest else digest
        if digest and "config" not in study.user_attrs:
            study.set_user_attr("config", digest)
    except Exception as error:  # SQLAlchemy, database drivers and the file system raise many types
        raise _not_opened(storage or str(folder / "study.db"), error, key) from None
    if kept != digest:
        raise UserError(
            f"{key} {without_password(storage)} holds a study {run!r} of another configuration; change the "
            "run's name or storage"
        )
    return study


@contextmanager
def storage_errors(storage: str, key: str = "explore.storage") -> Iterator[None]:
    """Context manager that turns errors of a database within the work, such as a full disk, into one line.

    Raises:
        UserError: The database failed. What it holds stays.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        cause = error.__cause__ or error
        said = str(getattr(cause, "orig", cause)).strip().splitlines() or [type(cause).__name__]
        raise UserError(
            f"{key} {without_password(storage)} failed: {said[0]}; what it holds is kept: free "
            "space on its disk or start its server, then rerun the same command to resume"
        ) from None


def check_storage(storage: str) -> None:
    """Check before anything is computed that a storage can be opened: its form, driver, server and password.

    No study is created.

    Raises:
        UserError: It cannot.
    """
    if not storage or storage.endswith(JOURNALS):
        return
    try:
        url = _url(storage)
        if url.get_backend_name() == "sqlite":  # whose file would be created
            _check_sqlite(url.database)
        opened = create_engine(url, connect_args=_connect_arguments(url))
        if opened.dialect.name != "sqlite":
            with opened.connect():
                pass
        opened.dispose()
    except Exception as error:  # as in open_study
        raise _not_opened(storage, error) from None


def _check_sqlite(database: str | None) -> None:
    """Check that a file of SQLite can be there, without creating it.

    Raises:
        UserError: The study would be in memory and end with the process, or its folder cannot be written.
    """
    if not database or ":memory:" in database or "\0" in database:
        raise UserError("expected a file, as in sqlite:///study.db; in memory a study would end with the process")
    folder = Path(database).resolve().parent
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        raise UserError(f"expected a folder that can be written, got {folder}; make it, or give another place")


def _url(storage: str) -> URL:
    if "://" not in storage:
        raise UserError("expected a database URL or a path that ends in .journal or .log")
    return make_url(storage)


def _connect_arguments(url: URL) -> dict[str, Any]:
    """Arguments of a driver that limit the time of connecting."""
    return {"connect_timeout": CONNECT_SECONDS} if url.get_backend_name() in SERVERS else {}


def _not_opened(storage: str, error: Exception, key: str = "explore.storage") -> UserError:
    """The one line for a storage that cannot be opened. A driver's own message may hold the URL with its password."""
    said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    secret = re.search(r"://[^/@:]*:(.*)@", storage)
    for text in (secret[1], unquote(secret[1])) if secret and secret[1] else ():
        said = said.replace(text, "***")
    missing = getattr(error, "name", None) if isinstance(error, ImportError) else None
    cure = f"pip install {missing}" if missing else "see docs/explore.md"
    if is_full_disk(error) or "disk I/O error" in said:  # SQLite's words, also for a limit of file sizes
        cure = "free space on the disk, or raise the limit of file sizes"
    shown = without_password(storage)[:MOST_SHOWN]
    return UserError(f"{key} {shown} cannot be opened: {said[:MOST_SHOWN]}; {cure}")


def _create(storage: str | Path, name: str) -> optuna.Study:
    for attempt in range(OPENINGS):
        try:
            opened = _storage(storage)
            study = optuna.create_study(storage=opened, study_name=name, direction="maximize", load_if_exists=True)
            if isinstance(opened, PatientStorage):
                opened.patience = PATIENCE
            return study
        except (DatabaseError, StorageInternalError):  # another worker is creating the tables
            if attempt + 1 == OPENINGS:
                raise
            time.sleep(0.5 * (attempt + 1))
    raise AssertionError


def _storage(storage: str | Path) -> optuna.storages.BaseStorage:
    if isinstance(storage, Path):
        return _sqlite(storage)
    if storage.endswith(JOURNALS):
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(storage))
    url = _url(storage)
    if url.get_backend_name() == "sqlite":
        arguments: dict[str, Any] = {"timeout": LOCK_SECONDS}
        if on_local_disk(Path(url.database or "").parent):
            arguments["factory"] = WriteAheadConnection
        return optuna.storages.RDBStorage(storage, engine_kwargs={"connect_args": arguments})
    # pool_pre_ping: a connection that a restarted server has closed is replaced
    return PatientStorage(storage, engine_kwargs={"connect_args": _connect_arguments(url), "pool_pre_ping": True})


def _sqlite(path: Path) -> optuna.storages.BaseStorage:
    """SQLite in a file. Its path is no part of a URL, which ``?``, ``#``, ``%`` and ``{}`` in it would change."""
    place = path.resolve()
    kind = WriteAheadConnection if on_local_disk(place.parent) else sqlite3.Connection

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(place, timeout=LOCK_SECONDS, factory=kind, check_same_thread=False)

    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})


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
