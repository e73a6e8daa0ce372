"""Leases: they decide which worker of a study scores which candidate, and recover candidates of killed workers.

A worker leases an architecture by adding a running trial for it in a single write. Storages number trials in the order
of writes. If two workers lease the same architecture, the lower number is valid, which both workers can see.

Each worker sends heartbeats by incrementing its own attribute of the study. A worker is dead if its process no longer
exists on this machine, or if another worker has seen no heartbeat for ``DEAD_AFTER`` seconds of its own clock. The
trials of a dead worker are marked as failed, and other workers lease their architectures again.
"""

from __future__ import annotations

import math
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from pinas_zoo.operating_system import process_exists, process_space

HEARTBEAT = 10.0  # seconds between two heartbeats
DEAD_AFTER = 60.0  # seconds without a heartbeat after which a worker is dead
POLL = 0.5  # seconds between two checks of the other workers' progress
HELD = (TrialState.RUNNING, TrialState.COMPLETE)  # states in which a trial keeps its architecture


class CandidateLeases:
    """The leases of one worker in a study.

    Args:
        study: The study, which other workers may share.
        goal: Total number of architectures to score.
    """

    def __init__(self, study: optuna.Study, goal: int):
        self.study, self.goal = study, goal
        self.place = process_space()
        self.worker = f"{self.place}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._seen: dict[str | None, tuple[Any, float]] = {}  # last heartbeat of other workers, and when it changed
        self._away = -math.inf  # when the storage last took no heartbeat of this worker, and so perhaps of no other
        self._stop = threading.Event()

    @contextmanager
    def heartbeats(self) -> Iterator[CandidateLeases]:
        """Context manager in which the worker sends heartbeats."""
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
            try:
                self.study.set_user_attr(f"worker {self.worker}", count)
            except (StorageInternalError, SQLAlchemyError, OSError):  # busy or away; the next heartbeat suffices
                self._away = time.monotonic()
            if self._stop.wait(HEARTBEAT):
                return

    def trials(self) -> list[FrozenTrial]:
        """All trials of the study, not copied."""
        return self.study.get_trials(deepcopy=False)

    def lease(self, template: FrozenTrial) -> Trial | None:
        """Lease the architecture ``template.user_attrs["arch"]`` by adding a running trial with the same parameters.

        The number of valid leases is limited to the goal; the lowest numbers are valid. Architectures of dead workers
        count towards the goal, so that new architectures cannot displace them.

        Returns:
            The trial; None if another worker has the architecture, or if the goal is reached.
        """
        token, arch = uuid.uuid4().hex, template.user_attrs["arch"]
        kept = {key: value for key, value in template.user_attrs.items() if key != "lost"}
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING,
                params=template.params,
                distributions=template.distributions,
                user_attrs={**kept, "worker": self.worker, "claim": token},
                system_attrs=template.system_attrs,  # NSGA-II stores the generation there
            )
        )
        trials = self.trials()
        mine, *again = [t for t in trials if t.user_attrs.get("claim") == token]
        for repeated in again:  # the write was repeated, as its answer did not come
            Trial(self.study, repeated._trial_id).set_user_attr("lost", True)
            self.give_up(repeated.number)
        earlier = [t for t in trials if t.number < mine.number]
        before, left = held(earlier), {t.user_attrs["arch"] for t in earlier if _left(t)}
        trial = Trial(self.study, mine._trial_id)
        if arch not in before and len((before | left) - {arch}) < self.goal:
            return trial
        trial.set_user_attr("lost", True)
        self.give_up(mine.number)
        return None

    def give_up(self, number: int) -> None:
        """Mark a trial as failed, unless it is finished."""
        with suppress(UpdateFinishedTrialError):
            self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def orphans(self) -> list[FrozenTrial]:
        """Mark trials of dead workers as failed, and return those whose architectures nobody has leased since."""
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
        place, pid, _ = [*str(worker).rsplit(":", 2), "", ""][:3]
        if place == self.place and pid.isdecimal() and (int(pid) == os.getpid() or not process_exists(int(pid))):
            return True
        count, now = heartbeats.get(f"worker {worker}"), time.monotonic()
        if worker not in self._seen or self._seen[worker][0] != count:
            self._seen[worker] = count, now
        return now - max(self._seen[worker][1], self._away) > DEAD_AFTER


def _left(trial: FrozenTrial) -> bool:
    """Whether a trial was a valid lease whose worker died before it reported a score."""
    return trial.state == TrialState.FAIL and "arch" in trial.user_attrs and "lost" not in trial.user_attrs


def held(trials: Iterable[FrozenTrial]) -> set[str]:
    """Text of the architectures that are scored or being scored."""
    return {t.user_attrs["arch"] for t in trials if t.state in HELD and "arch" in t.user_attrs}
