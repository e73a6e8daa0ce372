"""Many workers, one study: who evaluates which architecture, and what becomes of those whose worker was killed.

A worker claims an architecture by a running trial that carries it. Of two claims of the same one the lower trial number
holds: a claim waits until all trials with lower numbers have said what they are, so that no two can both believe that
they hold. Every worker beats: it counts up an attribute of the study that is its own. A claim whose worker is not on
this machine any more, or has not beaten for ``GRACE`` seconds by the clock of the one who looks, is taken up again.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from pinas_zoo.errors import UserError

BEAT = 10.0  # seconds between two beats
GRACE = 60.0  # seconds without a beat, then a worker counts as dead
POLL = 0.5  # seconds between two looks at what others do
HELD = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.WAITING)


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
        study = optuna.create_study(
            storage=_storage(url), study_name=run if storage else "explore", direction="maximize", load_if_exists=True
        )
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


def _storage(url: str) -> optuna.storages.BaseStorage:
    if url.endswith((".journal", ".log")):
        from optuna.storages.journal import JournalFileBackend

        Path(url).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(url))
    if "://" not in url:
        raise UserError("expected a database URL or a path that ends in .journal or .log")
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}  # seconds to wait for a lock
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


class Claims:
    """What one worker knows of a study, and how it claims; use as a context manager, inside which it beats."""

    def __init__(self, study: optuna.Study, goal: int):
        self.study, self.goal = study, goal
        self.place = f"{socket.gethostname()}/{_process_space()}"
        self.worker = f"{self.place}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._beats: dict[str, tuple[Any, float]] = {}  # of others: the last that was seen, and when it changed
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

    def held(self) -> set[str]:
        """Architectures that are scored, being scored, or waiting to be."""
        return {t.user_attrs["arch"] for t in self.trials() if t.state in HELD and "arch" in t.user_attrs}

    def wanted(self, batch: int) -> int:
        """How many to claim now. What was left by others comes first, with what their batch still lacked."""
        held = len(self.held())
        waiting = sum(t.state == TrialState.WAITING for t in self.trials())
        if waiting:
            return min(batch, waiting + min(-held % batch, self.goal - held))
        return max(0, min(batch, self.goal - held))

    def claim(self, trial: Trial, arch: str) -> bool:
        """Whether this worker evaluates the architecture; if not, the trial has been given up."""
        trial.set_user_attr("arch", arch)
        while True:
            lower = [t for t in self.trials() if t.number < trial.number and t.state != TrialState.FAIL]
            claimed = {t.user_attrs["arch"] for t in lower if t.state in HELD and "arch" in t.user_attrs}
            if any(t.user_attrs.get("arch") == arch for t in lower) or len(claimed) >= self.goal:
                trial.set_user_attr("lost", True)
                self.give_up(trial.number)
                return False
            if not any(t.state == TrialState.RUNNING and "arch" not in t.user_attrs for t in lower):
                return True
            self.take_up()
            time.sleep(0.02)

    def give_up(self, number: int) -> None:
        with suppress(UpdateFinishedTrialError):
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def take_up(self) -> None:
        """Fail what dead workers ran, and queue architectures that nobody holds any more."""
        trials = self.trials()
        running = [t for t in trials if t.state == TrialState.RUNNING]
        beats = self.study.user_attrs if any(t.user_attrs.get("worker") != self.worker for t in running) else {}
        for trial in running:
            if self._dead(trial, beats):
                self.give_up(trial.number)
        trials, held = self.trials(), self.held()
        for trial in trials:
            arch = trial.user_attrs.get("arch")
            if trial.state != TrialState.FAIL or arch is None or arch in held or "lost" in trial.user_attrs:
                continue
            held.add(arch)
            kept = {key: value for key, value in trial.user_attrs.items() if key != "worker"}
            self.study.add_trial(
                optuna.create_trial(
                    state=TrialState.WAITING,
                    params=trial.params,
                    distributions=trial.distributions,
                    user_attrs=kept,
                    system_attrs=trial.system_attrs,  # samplers keep the generation there
                )
            )

    def _dead(self, trial: FrozenTrial, beats: dict[str, Any]) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker == self.worker:
            return False
        if worker is not None and os.name == "posix":
            place, pid, _ = worker.rsplit(":", 2)
            if place == self.place and (int(pid) == os.getpid() or not _alive(int(pid))):
                return True
        who = worker or f"trial {trial.number}"  # killed between its making and its signature
        beat, now = beats.get(f"worker {worker}"), time.monotonic()
        if who not in self._beats or self._beats[who][0] != beat:
            self._beats[who] = beat, now
        return now - self._beats[who][1] > GRACE


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
