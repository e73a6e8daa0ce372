"""Scoring goes on after its database has been away for a while; after too long it stops in one line."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from pinas_zoo.errors import UserError
from pinas_zoo.search.study import leases as leases_module
from pinas_zoo.search.study import patient_storage
from pinas_zoo.search.study.leases import CandidateLeases
from pinas_zoo.search.study.patient_storage import PatientStorage
from tests.search.study.test_loop import template


@pytest.fixture
def storage(tmp_path, monkeypatch) -> PatientStorage:
    """A database that a test locks, as a server that is away: the driver raises the same kind of error."""
    monkeypatch.setattr(patient_storage, "PAUSES", (0.05,))
    path = tmp_path / "study.db"
    return PatientStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 0.01}})


def lock(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("begin exclusive")
    return database


def test_a_database_that_is_away_for_a_while(storage, tmp_path, capsys):
    study = optuna.create_study(storage=storage, direction="maximize")
    storage.patience = 60.0
    leases = CandidateLeases(study, goal=4)
    database = lock(tmp_path / "study.db")
    back = threading.Timer(0.5, database.rollback)
    back.start()
    study.set_user_attr("key", 1)  # Optuna itself repeats the creation of a trial, and nothing else
    trial = leases.lease(template("0123"))
    back.join()
    database.close()
    assert trial is not None
    study.tell(trial, 0.5)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE]
    assert capsys.readouterr().err.count("does not answer (database is locked); trying again for 60 s") == 1


def test_a_database_that_stays_away_is_one_line(storage, tmp_path):
    study = optuna.create_study(storage=storage, direction="maximize")
    storage.patience = 0.2
    database = lock(tmp_path / "study.db")
    with pytest.raises(UserError, match=r"has not answered for 0\.2 s \(database is locked\); rerun the same command"):
        study.set_user_attr("key", 1)
    failed: list[BaseException] = []

    def beat() -> None:
        try:
            study.set_user_attr("beat", 1)
        except optuna.exceptions.StorageInternalError as error:
            failed.append(error)

    storage.patience = 60.0
    started = time.monotonic()
    thread = threading.Thread(target=beat, daemon=True)  # a heartbeat, which the next one replaces
    thread.start()
    thread.join()
    assert failed
    assert time.monotonic() - started < 30
    database.close()


def test_a_lease_that_was_written_twice_is_one(monkeypatch):
    """The first attempt was committed, but its answer was lost."""
    study = optuna.create_study(direction="maximize")
    add = study.add_trial
    monkeypatch.setattr(study, "add_trial", lambda trial: [add(trial), add(trial)])
    leases = CandidateLeases(study, goal=4)
    trial = leases.lease(template("0123"))
    assert trial is not None
    assert trial.number == 0
    assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.FAIL]
    study.tell(trial, 0.5)
    assert leases.orphans() == []


@pytest.mark.parametrize(
    "error", [optuna.exceptions.StorageInternalError(), OperationalError("update", {}, Exception())]
)
def test_nobody_dies_while_the_storage_is_away(monkeypatch, error):
    """Heartbeats go on after an error, and the others have time to send theirs before they are judged."""
    monkeypatch.setattr(leases_module, "HEARTBEAT", 0.01)
    monkeypatch.setattr(leases_module, "DEAD_AFTER", 1.0)
    study = optuna.create_study(direction="maximize")
    other, own = CandidateLeases(study, goal=4), CandidateLeases(study, goal=4)
    other.worker = "elsewhere:1:x"
    assert other.lease(template("0123")) is not None
    assert own.orphans() == []  # sees the other for the first time
    write, away = study.set_user_attr, threading.Event()

    def set_user_attr(key, value):
        if away.is_set():
            raise error
        write(key, value)

    monkeypatch.setattr(study, "set_user_attr", set_user_attr)
    away.set()
    with own.heartbeats():
        time.sleep(1.2)
        away.clear()
        time.sleep(0.1)
        assert own.orphans() == []
        assert study.user_attrs[f"worker {own.worker}"] > 1
        time.sleep(1.2)
        assert len(own.orphans()) == 1
