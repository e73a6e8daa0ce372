"""Many workers, one study: who evaluates which architecture, and what becomes of those whose worker was killed.

A worker claims an architecture by adding a running trial that carries it, in one write. Storages number trials in the
order of these writes, so of two claims of the same architecture the lower number holds, and both see it. Every worker
beats: it counts up an attribute of the study that is its own. A claim whose process is gone from this machine, or whose
worker has not beaten for ``GRACE`` seconds by the clock of the one who looks, is failed, and claimed again by another.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from pinas_zoo.errors import UserError

BEAT = 10.0  # seconds between two beats
GRACE = 60.0  # seconds without a beat, then a worker counts as dead
POLL = 0.5  # seconds between two looks at what others do
OPENINGS = 5  # tries to open a storage
HELD = (TrialState.RUNNING, TrialState.COMPLETE)
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
        from optuna.storages.journal import JournalFileBackend

        Path(url).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(url))
    if "://" not in url:
        raise UserError("expected a database URL or a path that ends in .journal or .log")
    arguments: dict[str, Any] = {}
    if url.startswith("sqlite"):
        arguments["timeout"] = 60  # seconds to wait for a lock
        if on_local_disk(Path(make_url(url).database or "").parent):
            arguments["factory"] = WriteAhead
    return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": arguments})


class WriteAhead(sqlite3.Connection):
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


class Claims:
    """What one worker knows of a study, and how it claims; use as a context manager, inside which it beats."""

    def __init__(self, study: optuna.Study, goal: int):
        self.study, self.goal = study, goal
        self.place = f"{socket.gethostname()}/{_process_space()}"
        self.worker = f"{self.place}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._beats: dict[str | None, tuple[Any, float]] = {}  # of others: the last that was seen, and when it changed
        self._stop = threading.Event()

    @contextmanager
    def beating(self) -> Iterator[Claims]:
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _beat(self) -> None:
        count = 0
        while True:
            count += 1
            with suppress(StorageInternalError):  # a database that is busy; the next beat will do
                self.study.set_user_attr(f"worker {self.worker}", count)
            if self._stop.wait(BEAT):
                return

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def claim(self, template: FrozenTrial) -> Trial | None:
        """Add a running trial with the template's parameters and ``user_attrs["arch"]``; None when others have it.

        The goal counts too: as many claims hold as there are architectures to evaluate, those with the lowest numbers.
        What dead workers left has its place among them, so that a new one cannot take it.
        """
        token, arch = uuid.uuid4().hex, template.user_attrs["arch"]
        kept = {key: value for key, value in template.user_attrs.items() if key != "lost"}
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params=template.params,
                distributions=template.distributions,
                user_attrs={**kept, "worker": self.worker, "claim": token},
                system_attrs=template.system_attrs,  # where samplers keep the generation
            )
        )
        trials = self.trials()
        mine = next(t for t in reversed(trials) if t.user_attrs.get("claim") == token)
        earlier = [t for t in trials if t.number < mine.number]
        before, left = held(earlier), {t.user_attrs["arch"] for t in earlier if _left(t)}
        trial = Trial(self.study, mine._trial_id)
        if arch not in before and len((before | left) - {arch}) < self.goal:
            return trial
        trial.set_user_attr("lost", True)
        self.give_up(mine.number)
        return None

    def give_up(self, number: int) -> None:
        with suppress(UpdateFinishedTrialError):
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def orphans(self) -> list[FrozenTrial]:
        """Trials of architectures that a worker claimed and did not live to score; nobody has claimed them since."""
        running = [t for t in self.trials() if t.state == TrialState.RUNNING]
        others = [t for t in running if t.user_attrs.get("worker") != self.worker]
        beats = self.study.user_attrs if others else {}
        for trial in others:
            if self._dead(trial, beats):
                self.give_up(trial.number)
        trials = self.trials()
        left, known = [], held(trials)
        for trial in filter(_left, trials):
            if trial.user_attrs["arch"] not in known:
                known.add(trial.user_attrs["arch"])
                left.append(trial)
        return left

    def _dead(self, trial: FrozenTrial, beats: dict[str, Any]) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker is not None and os.name == "posix":
            place, pid, _ = worker.rsplit(":", 2)
            if place == self.place and (int(pid) == os.getpid() or not _alive(int(pid))):
                return True
        beat, now = beats.get(f"worker {worker}"), time.monotonic()
        if worker not in self._beats or self._beats[worker][0] != beat:
            self._beats[worker] = beat, now
        return now - self._beats[worker][1] > GRACE


def _left(trial: FrozenTrial) -> bool:
    """Whether a worker claimed an architecture and did not live to score it."""
    return trial.state == TrialState.FAIL and "arch" in trial.user_attrs and "lost" not in trial.user_attrs


def held(trials: Iterable[FrozenTrial]) -> set[str]:
    """Architectures that are scored or being scored."""
    return {t.user_attrs["arch"] for t in trials if t.state in HELD and "arch" in t.user_attrs}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _process_space() -> str:
    """What process numbers are unique within: containers of one host name do not share them."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
