"""Leases: which worker scores which candidate of a study, and what becomes of those whose worker was killed.

A worker leases an architecture by adding a running trial that carries it, in one write. Storages number trials in the
order of these writes, so of two leases of the same architecture the lower number holds, and both workers see it. Every
worker sends heartbeats: it counts up an attribute of the study that is its own. A lease whose process is gone from this
machine, or whose worker has sent no heartbeat for ``DEAD_AFTER`` seconds by the clock of the one who looks, is failed,
and another worker leases the architecture anew.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

HEARTBEAT = 10.0  # seconds between two heartbeats
DEAD_AFTER = 60.0  # seconds without a heartbeat
POLL = 0.5  # seconds between two looks at what other workers do
HELD = (TrialState.RUNNING, TrialState.COMPLETE)


class CandidateLeases:
    """One worker's leases of candidates in a study.

    Args:
        study: Shared with other workers.
        goal: Architectures to score in all.
    """

    def __init__(self, study: optuna.Study, goal: int):
        self.study, self.goal = study, goal
        self.place = f"{socket.gethostname()}/{_process_space()}"
        self.worker = f"{self.place}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._seen: dict[str | None, tuple[Any, float]] = {}  # of others: the last that was seen, and when it changed
        self._stop = threading.Event()

    @contextmanager
    def heartbeats(self) -> Iterator[CandidateLeases]:
        """Context manager: inside, the worker sends heartbeats."""
        thread = threading.Thread(target=self._send_heartbeats, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _send_heartbeats(self) -> None:
        count = 0
        while True:
            count += 1
            with suppress(StorageInternalError):  # a database that is busy; the next heartbeat will do
                self.study.set_user_attr(f"worker {self.worker}", count)
            if self._stop.wait(HEARTBEAT):
                return

    def trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def lease(self, template: FrozenTrial) -> Trial | None:
        """Add a running trial with the template's parameters and ``user_attrs["arch"]``; None when others have it.

        The goal counts too: as many leases hold as there are architectures to score, those with the lowest numbers.
        What dead workers left has its place among them, so that a new architecture cannot take it.
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
        """Trials of architectures that a worker leased and did not live to score; nobody has claimed them since."""
        running = [t for t in self.trials() if t.state == TrialState.RUNNING]
        others = [t for t in running if t.user_attrs.get("worker") != self.worker]
        heartbeats = self.study.user_attrs if others else {}
        for trial in others:
            if self._is_dead(trial, heartbeats):
                self.give_up(trial.number)
        trials = self.trials()
        left, known = [], held(trials)
        for trial in filter(_left, trials):
            if trial.user_attrs["arch"] not in known:
                known.add(trial.user_attrs["arch"])
                left.append(trial)
        return left

    def _is_dead(self, trial: FrozenTrial, heartbeats: dict[str, Any]) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker is not None and os.name == "posix":
            place, pid, _ = worker.rsplit(":", 2)
            if place == self.place and (int(pid) == os.getpid() or not _alive(int(pid))):
                return True
        count, now = heartbeats.get(f"worker {worker}"), time.monotonic()
        if worker not in self._seen or self._seen[worker][0] != count:
            self._seen[worker] = count, now
        return now - self._seen[worker][1] > DEAD_AFTER


def _left(trial: FrozenTrial) -> bool:
    """Whether a worker leased an architecture and did not live to score it."""
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
