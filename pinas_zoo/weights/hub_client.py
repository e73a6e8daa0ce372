"""How the Hub is talked to: where it is, how long to try, and what its errors mean for a user.

huggingface_hub does the talking. It retries with growing pauses, for longer than a user at a prompt waits;
:func:`bounded` ends that after a few seconds. ``HF_ENDPOINT`` (a mirror) and ``HF_HUB_OFFLINE`` are read at each call.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session, hf_raise_for_status, validate_repo_id

from pinas_zoo.errors import HubBusy, HubError, HubForbidden, HubNotFound, HubOffline, UserError, WeightsError

PATIENCE = 5.0  # seconds after a first fault, or asked for by the Hub, that retries may take
TRIES = 3  # of one request without progress
TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 60.0, "pool": 10.0}  # seconds, where huggingface_hub sets none
_HOOKS = threading.Lock()
_TRANSIENT = (408, 429, 500, 502, 503, 504)


def endpoint() -> str:
    """The Hub, or the mirror in ``HF_ENDPOINT``."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in constants.ENV_VARS_TRUE_VALUES or constants.HF_HUB_OFFLINE


def head_timeout() -> float:
    """Seconds to wait for what the Hub says about a file: ``HF_HUB_ETAG_TIMEOUT``, or huggingface_hub's own."""
    asked = os.environ.get("HF_HUB_ETAG_TIMEOUT", "")
    return float(asked) if asked.isdigit() else float(constants.HF_HUB_ETAG_TIMEOUT)


def split_repo(ref: str) -> tuple[str, str]:
    """``owner/name@revision`` as repo and revision (``main`` when none is named).

    Raises:
        UserError: Not a full repo id.
    """
    repo, _, revision = ref.partition("@")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"expected a Hub repo as owner/name or owner/name@revision, got {ref!r}: {error}") from None
    if "/" not in repo or (not revision and "@" in ref):
        raise UserError(f"expected a Hub repo as owner/name or owner/name@revision, got {ref!r}")
    return repo, revision or "main"


@contextmanager
def bounded() -> Iterator[None]:
    """Let huggingface_hub retry within the block, but not for long.

    Requests of this thread get timeouts where they have none. A transient status (408, 429, 5xx) is raised once it has
    come :data:`TRIES` times, has lasted :data:`PATIENCE` seconds or asks for a longer pause. A request that is made
    more than :data:`TRIES` times without asking for a later part of the file is given up.
    """
    client = get_session()
    thread = threading.get_ident()
    made: Counter[tuple[str, str, str]] = Counter()
    faults: list[float] = []

    def on_request(request: Any) -> None:
        if threading.get_ident() != thread:
            return
        if not any((request.extensions.get("timeout") or {}).values()):
            request.extensions["timeout"] = dict(TIMEOUTS)
        key = (request.method, str(request.url), request.headers.get("range", ""))
        made[key] += 1
        if made[key] > TRIES:
            raise HubError(f"gave up after {TRIES} tries that did not get further")

    def on_response(response: Any) -> None:
        if threading.get_ident() != thread or response.status_code not in _TRANSIENT:
            return
        faults.append(time.monotonic())
        pause = _asked_pause(response.headers)
        if len(faults) >= TRIES or faults[-1] - faults[0] + pause > PATIENCE:
            hf_raise_for_status(response)

    with _HOOKS:  # other threads add theirs to the same client
        hooks = client.event_hooks
        client.event_hooks = {
            "request": [*hooks.get("request", []), on_request],
            "response": [*hooks.get("response", []), on_response],
        }
    try:
        yield
    finally:
        with _HOOKS:
            client.event_hooks = {
                name: [hook for hook in found if hook not in (on_request, on_response)]
                for name, found in client.event_hooks.items()
            }


def explain(error: Exception, what: str, writing: bool = False) -> WeightsError:
    """The error of this package for one of huggingface_hub, its HTTP library or the disk."""
    if type(error) in (LocalEntryNotFoundError, RuntimeError) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, what, writing)
    where = endpoint()
    kinds = {c.__name__ for c in type(error).__mro__}  # httpx or httpx2, as huggingface_hub has it
    text = " ".join(str(error).split())
    if isinstance(error, WeightsError):
        return type(error)(f"{what}: {error}; try again later") if type(error) is HubError else error
    if isinstance(error, OfflineModeIsEnabled):
        return HubOffline(f"{what} needs the network, which HF_HUB_OFFLINE forbids; unset it")
    if isinstance(error, GatedRepoError):
        return HubForbidden(
            f"{what} is gated: ask for access on {where}, then run `hf auth login` or set HF_TOKEN to a token of yours"
        )
    if isinstance(error, RevisionNotFoundError):
        return HubNotFound(f"{what}: no such revision; name a branch, tag or commit of the repo")
    if isinstance(error, EntryNotFoundError):
        return HubNotFound(f"{what}: no such file in the repo; name a repo that was pushed with `pinas-zoo push`")
    if isinstance(error, RepositoryNotFoundError):
        return HubNotFound(
            f"{what}: no such repo on {where}, or a private one that your token does not open; check owner/name, "
            "or run `hf auth login`"
        )
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, what, where, writing)
    if "TimeoutException" in kinds or "ConnectError" in kinds:
        return HubOffline(
            f"{what}: no answer from {where} ({text or type(error).__name__}); check the network and HF_ENDPOINT, or "
            "work offline with a folder (`local-dir:FOLDER`)"
        )
    if "TransportError" in kinds or "Consistency check failed" in text:
        return HubError(f"{what}: the connection to {where} ended before all had come ({text}); try again")
    return HubError(f"{what}: {type(error).__name__}: {text or 'no reason given'}")


def _explain_status(error: HfHubHTTPError, what: str, where: str, writing: bool) -> HubError:
    status = error.response.status_code
    said = " ".join((error.server_message or "").split())
    said = f": {said}" if said else ""
    if status in (401, 403):
        need = "a token that may write there" if writing else "a token that may read it"
        return HubForbidden(f"{what}: {where} refused ({status}{said}); run `hf auth login`, or set HF_TOKEN to {need}")
    if status == 429:
        pause = _asked_pause(error.response.headers)
        after = f" in {pause:.0f} s" if pause else " later"
        return HubBusy(
            f"{what}: too many requests to {where} (429{said}); try again{after}, or log in for a higher limit"
        )
    if status >= 500 or status == 408:
        return HubBusy(
            f"{what}: {where} has a fault ({status}{said}); try again later, or another mirror in HF_ENDPOINT"
        )
    kind = HubNotFound if status == 404 else HubError
    return kind(f"{what}: {where} answered {status}{said}; check owner/name and HF_ENDPOINT")


def _asked_pause(headers: Any) -> float:
    """Seconds that a response asks to wait, 0 when it does not say."""
    asked = re.search(r";\s*t\s*=\s*(\d+)", headers.get("ratelimit", "")) or re.fullmatch(
        r"\s*(\d+)\s*", headers.get("retry-after", "")
    )
    return float(asked.group(1)) if asked else 0.0
