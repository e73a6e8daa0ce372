"""A database that waits for its server: what fails because nobody answers is tried again for some minutes."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import without_password
from pinas_zoo.terminal import warning

PATIENCE = 300.0  # seconds that a server may be away
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between attempts; the last one repeats

REPEATED = (  # what Optuna's cache calls
    *("_create_new_trial", "_get_trials", "_set_trial_param", "create_new_study", "get_all_studies", "get_trial"),
    *("get_study_directions", "get_study_id_from_name", "get_study_name_from_id", "get_study_system_attrs"),
    *("get_study_user_attrs", "get_trial_id_from_study_id_trial_number", "set_study_system_attr"),
    *("set_study_user_attr", "set_trial_state_values", "set_trial_system_attr", "set_trial_user_attr"),
)


class PatientStorage(RDBStorage):
    """Optuna's storage in a database, whose calls are repeated while the server is away.

    A call may have worked although its answer was lost. A second write of the same value changes nothing; a second
    trial of the same lease is found by its token (:meth:`pinas_zoo.search.study.leases.CandidateLeases.lease`).

    Attributes:
        patience: Seconds for which a call is repeated; 0 until the study is open, whose errors are said at once.
    """

    patience = 0.0


def _repeat(name: str) -> Callable[..., Any]:
    """The method of RDBStorage of this name, repeated."""
    method = getattr(RDBStorage, name)

    @functools.wraps(method)
    def call(self: PatientStorage, *args: Any, **kwargs: Any) -> Any:
        started, failures = time.monotonic(), 0
        while True:
            try:
                return method(self, *args, **kwargs)
            except UpdateFinishedTrialError:
                if failures and name == "set_trial_state_values":  # by the attempt whose answer was lost
                    return True
                raise
            except (StorageInternalError, DBAPIError) as error:
                cause = error.__cause__ if isinstance(error, StorageInternalError) else error
                patience = 0.0 if threading.current_thread().daemon else self.patience  # a heartbeat is not repeated
                if not isinstance(cause, OperationalError | InterfaceError) or not patience:
                    raise
                said = str(cause.orig).strip().splitlines()[0] if str(cause.orig).strip() else type(cause).__name__
                if time.monotonic() - started > patience:
                    raise UserError(
                        f"explore.storage {without_password(self.url)} has not answered for {patience:g} s ({said}); "
                        "rerun the same command to resume"
                    ) from None
                if not failures:
                    warning(f"explore.storage does not answer ({said}); trying again for {patience:g} s")
                time.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1

    return call


for _name in REPEATED:
    setattr(PatientStorage, _name, _repeat(_name))
