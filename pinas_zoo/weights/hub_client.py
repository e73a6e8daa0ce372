"""Requests to the Hub that end within seconds when it fails, and its errors in the words of a user.

huggingface_hub's own downloads and uploads retry with growing pauses, longer than a user at a prompt waits, and have no
parameter that limits them. The requests of this module go through huggingface_hub's session (its proxies, certificates
and token), each with a timeout and retries of its own; nothing of the session is changed. ``HF_ENDPOINT`` (a mirror)
and ``HF_HUB_OFFLINE`` are read at each call.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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
from huggingface_hub.utils import build_hf_headers, tqdm, validate_repo_id

from pinas_zoo.errors import (
    HubBusy,
    HubError,
    HubForbidden,
    HubNotFound,
    HubOffline,
    UserError,
    WeightsError,
    disk_error,
)
from pinas_zoo.version import __version__
from pinas_zoo.weights.hub_http import TIMEOUTS as TIMEOUTS
from pinas_zoo.weights.hub_http import WINDOW, LongAnswer, Rate, SlowAnswer, exchange, receive
from pinas_zoo.weights.size_limits import shortened

Result = TypeVar("Result")

LIBRARY: dict[str, Any] = {"library_name": "pinas-zoo", "library_version": __version__}
PATIENCE = 5.0  # seconds after the first failed try within which the next may begin
TRIES = 3  # of one request without progress
CHUNK = 2**20  # bytes of a file that are read at once; a try that receives so many has made progress
FILE_LIMIT = 16 * 2**20  # bytes of a file whose size nothing says
SHOWN_FROM = 10 * 2**20  # bytes; smaller files have no progress bar
_REVISION = re.compile(r"[\w][\w.+-]*(/[\w][\w.+-]*)*", re.ASCII)  # git's names, as paths
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
    return float(asked) if asked.isascii() and asked.isdigit() else float(constants.HF_HUB_ETAG_TIMEOUT)


def split_repo(ref: str) -> tuple[str, str]:
    """``owner/name@revision`` as repo and revision (``main`` when none is named).

    Raises:
        UserError: Not a full repo id.
    """
    repo, _, revision = ref.partition("@")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(
            f"expected a Hub repo as owner/name or owner/name@revision, got {shortened(ref)}: {str(error)[:300]}"
        ) from None
    if "/" not in repo or (not revision and "@" in ref):
        raise UserError(f"expected a Hub repo as owner/name or owner/name@revision, got {shortened(ref)}")
    if revision and (_REVISION.fullmatch(revision) is None or ".." in revision or len(revision) > 200):
        raise UserError(f"expected a branch, tag or commit after '@', got {shortened(revision)}; try {repo}@main")
    return repo, revision or "main"


def retrying(call: Callable[[], Result]) -> Result:
    """The result of a request that is tried again when the Hub is busy or cuts the connection.

    Raises:
        HubError: The connection was cut at each of :data:`TRIES` tries.
        Exception: What ``call`` raises at the last try, or at once where another try would not help.
    """
    tries = _Tries()
    while True:
        try:
            return call()
        except Exception as error:
            tries.wait_after(error)


def send(method: str, url: str, *, token: str | bool | None = None, **request: Any) -> Any:
    """One request without retries, bounded in time and length (:func:`pinas_zoo.weights.hub_http.exchange`).

    Args:
        method: Such as ``POST``.
        url: Redirects are followed.
        token: For the Hub. None: the user's own, where there is one; False: none.
        request: Of the HTTP library: ``json``, ``content``, ``headers``, …; ``seconds`` for the whole of it.

    Returns:
        The response, which huggingface_hub has found free of errors.
    """
    headers = {**build_hf_headers(token=token, **LIBRARY), **request.pop("headers", {})}
    return exchange(method, url, headers, **request)


def fetch(url: str, path: Path, size: int | None = None, limit: int | None = None) -> None:
    """Download a file. A cut connection, and a file that is there in part, are resumed where they ended.

    Args:
        url: On the Hub; redirects to its storage are followed, without the token.
        path: Written; left half written when this raises.
        size: Bytes that must come, where that is known.
        limit: Bytes that may come, where ``size`` is not known.

    Raises:
        HubError: Fewer or more bytes came, or :data:`TRIES` tries in a row received nothing.
        SlowAnswer: Less than :data:`pinas_zoo.weights.hub_http.SLOWEST` came.
        Exception: What huggingface_hub raises for an answer that is an error, or its HTTP library for none.
    """
    tries, rate = _Tries(), Rate(max(WINDOW, float(constants.HF_HUB_DOWNLOAD_TIMEOUT)))
    small = size is None or size < SHOWN_FROM
    most = size if size is not None else limit if limit is not None else FILE_LIMIT
    with (
        path.open("ab" if size is not None else "wb") as file,
        tqdm(total=size, unit="B", unit_scale=True, desc=url.rpartition("/")[2], disable=small or None) as bar,
    ):

        def show() -> None:
            bar.update(file.tell() - bar.n)

        if size is not None and file.tell() > size:
            file.truncate(0)
            file.seek(0)
        show()
        while size is None or file.tell() != size:
            start = file.tell()
            try:
                receive(url, file, build_hf_headers(**LIBRARY), most, rate, show)
                break
            except Exception as error:
                if file.tell() >= start + CHUNK and "TransportError" in _kinds(error):
                    tries = _Tries()
                else:
                    tries.wait_after(error)
        got = file.tell()
    if size is not None and got != size:
        raise HubError(f"the connection to {endpoint()} ended before all had come ({got} of {size} bytes)")


class _Tries:
    """Failed tries of one request in a row."""

    def __init__(self) -> None:
        self.failed = 0
        self.first = 0.0  # when the first one failed

    def wait_after(self, error: Exception) -> None:
        """Pause before the next try, or raise when there should be none.

        A missing answer is not asked for again: it has taken a timeout already.
        """
        busy = isinstance(error, HfHubHTTPError) and error.response.status_code in _TRANSIENT
        kinds = _kinds(error)
        cut = "TransportError" in kinds and not kinds & {"TimeoutException", "ConnectError"}
        if not busy and not cut:
            raise error
        self.failed += 1
        self.first = self.first or time.monotonic()
        asked = _asked_pause(error.response.headers) if isinstance(error, HfHubHTTPError) else 0.0
        pause = max(asked, 2.0 ** (self.failed - 1))
        if self.failed >= TRIES or time.monotonic() - self.first + pause > PATIENCE:
            if busy:
                raise error
            raise HubError(f"gave up after {self.failed} tries that did not get further") from error
        time.sleep(pause)


def explain(error: Exception, what: str, writing: bool = False) -> UserError:
    """The error of this package for one of huggingface_hub, its HTTP library or the disk."""
    if type(error) in (LocalEntryNotFoundError, RuntimeError) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, what, writing)
    where = endpoint()
    kinds = _kinds(error)
    text = " ".join(str(error).split())
    if isinstance(error, WeightsError):
        return type(error)(f"{what}: {error}; try again later") if type(error) is HubError else error
    if isinstance(error, UserError):
        return error
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
    if isinstance(error, SlowAnswer):
        return HubBusy(f"{what}: {where} sends too slowly ({text}); try again later, or another mirror in HF_ENDPOINT")
    if isinstance(error, LongAnswer):
        return HubError(f"{what}: {where} sent {text}; name another repo, or check HF_ENDPOINT")
    if isinstance(error, KeyError | TypeError | AttributeError | ValueError | RecursionError):
        return HubError(
            f"{what}: {where} answered in another form than a Hub does ({type(error).__name__}: {text[:200]}); "
            "check HF_ENDPOINT"
        )
    if isinstance(error, OSError) and not kinds & {"TransportError", "HTTPError"}:
        return disk_error(error, what)
    if "TimeoutException" in kinds or "ConnectError" in kinds:
        return HubOffline(
            f"{what}: no answer from {where} ({text or type(error).__name__}); check the network and HF_ENDPOINT, or "
            "work offline with a folder (`local-dir:FOLDER`)"
        )
    if "TransportError" in kinds:
        return HubError(f"{what}: the connection to {where} ended before all had come ({text}); try again")
    return HubError(f"{what}: {type(error).__name__}: {text or 'no reason given'}")


def _kinds(error: Exception) -> set[str]:
    """Names of an error's classes. huggingface_hub's HTTP library is httpx or httpx2, depending on its version."""
    return {c.__name__ for c in type(error).__mro__}


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
    asked = re.search(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)", headers.get("ratelimit", "")) or re.fullmatch(
        r"\s*(\d+)\s*", headers.get("retry-after", "")
    )
    return float(asked.group(1)) if asked else 0.0
