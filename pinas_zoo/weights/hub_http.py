"""One HTTP exchange with a server that is not trusted: it ends in time, and no more is kept than was asked for.

The HTTP library's timeouts are those of one packet, so a server that sends a byte a second keeps a client for ever, in
the head of its answer as well as in the body. Here every exchange runs in a thread of its own, which is left behind
when its time is over. Bodies are taken as they come, without unpacking: what unpacks to more than it was is never
unpacked. Redirects are the HTTP library's, twenty at most, within the same time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeVar

from huggingface_hub.utils import get_session, hf_raise_for_status

Result = TypeVar("Result")

TIMEOUTS = {"connect": 10.0, "read": 30.0, "write": 60.0, "pool": 10.0}  # seconds
ANSWER_SECONDS = 20.0  # of a whole answer that is no file
ANSWER_BYTES = 16 * 2**20  # of such an answer
ERROR_BYTES = 64 * 2**10  # of an error's text
SLOWEST = 16 * 2**10  # bytes a second on average over WINDOW; slower transfers are given up
WINDOW = 20.0  # seconds
_WATCH = 0.2  # seconds between two looks at a transfer
_REPACKED = ("content-encoding", "content-length", "transfer-encoding")  # of no meaning for a body that was read


class SlowAnswer(Exception):
    """A server did not send all of its answer in time."""


class LongAnswer(Exception):
    """A server sent more than was asked for."""


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """The result of a call, or its error.

    Raises:
        SlowAnswer: It took longer; it goes on in a thread that ends with the process.
    """
    thread, outcome = _started(call)
    thread.join(seconds)
    if thread.is_alive():
        raise SlowAnswer(f"no whole answer within {seconds:g} s")
    return _outcome(outcome)


def exchange(method: str, url: str, headers: Mapping[str, str], limit: int = ANSWER_BYTES, **request: Any) -> Any:
    """One request with its whole answer, of ``limit`` bytes at most; huggingface_hub has found it free of errors.

    Args:
        method: Such as ``POST``.
        url: Redirects are followed.
        headers: Of the request.
        limit: Bytes of the answer.
        request: Of the HTTP library: ``json``, ``content``, ``params``, …; and ``seconds`` for the whole exchange.

    Raises:
        SlowAnswer: The time is over.
        LongAnswer: The answer is longer.
        Exception: What huggingface_hub raises for an answer that is an error, or its HTTP library for none.
    """
    seconds = request.pop("seconds", ANSWER_SECONDS)
    asked = {**headers, "Accept-Encoding": "identity"}

    def ask() -> Any:
        with get_session().stream(
            method, url, headers=asked, timeout=timeouts(), follow_redirects=True, **request
        ) as response:
            return _read(response, limit)

    response = within(seconds, ask)
    hf_raise_for_status(response)
    return response


def receive(
    url: str, file: BinaryIO, headers: Mapping[str, str], limit: int, rate: Rate, watch: Callable[[], None]
) -> None:
    """Append what is missing of a file; all of it where the server does not send parts.

    Args:
        url: Redirects are followed.
        file: Open for appending.
        headers: Of the request.
        limit: Bytes that the file may have afterwards.
        rate: Of the whole transfer, of which this is one try.
        watch: Called several times a second, to show progress.

    Raises:
        SlowAnswer: The transfer is slower than ``rate`` allows.
        LongAnswer: More than ``limit`` bytes.
        Exception: As :func:`exchange`.
    """
    start, stopped = file.tell(), threading.Event()
    asked = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}

    def copy() -> None:
        with get_session().stream(
            "GET", url, headers=asked, timeout=timeouts(rate.window), follow_redirects=True
        ) as response:
            if response.status_code >= 400:
                hf_raise_for_status(_read(response, ERROR_BYTES))
            if start and response.status_code != 206:
                file.seek(0)
                file.truncate()
            position = file.tell()
            for chunk in response.iter_raw():
                position += len(chunk)
                if stopped.is_set():
                    return
                if position > limit:
                    raise LongAnswer(f"more than the {limit} bytes that are expected")
                file.write(chunk)
                rate.add(len(chunk))

    thread, outcome = _started(copy)
    try:
        while thread.is_alive():
            thread.join(_WATCH)
            rate.check()
            watch()
    finally:
        stopped.set()  # after an error of ours the thread may still wait for a packet; it writes nothing more
    _outcome(outcome)


class Rate:
    """Bytes of a transfer, over all tries of it, in the last ``window`` seconds."""

    def __init__(self, window: float = WINDOW):
        self.window, self.total = window, 0
        self._seen = deque([(time.monotonic(), 0)])  # when, and the total then

    def add(self, count: int) -> None:
        """Count bytes that came; called by the thread that receives them."""
        self.total += count

    def check(self) -> None:
        """Raise :class:`SlowAnswer` when too little came; called by the thread that waits."""
        now, total = time.monotonic(), self.total
        while len(self._seen) > 1 and self._seen[1][0] <= now - self.window:
            self._seen.popleft()
        self._seen.append((now, total))
        since, before = self._seen[0]
        if now - since >= self.window and total - before < SLOWEST * self.window:
            raise SlowAnswer(f"{total - before} bytes in {now - since:.0f} s")


def timeouts(read: float = 0.0) -> tuple[float, float, float, float]:
    """:data:`TIMEOUTS` in the order of the HTTP library; ``read`` so many seconds for reading, at least."""
    return TIMEOUTS["connect"], max(TIMEOUTS["read"], read), TIMEOUTS["write"], TIMEOUTS["pool"]


def _read(response: Any, limit: int) -> Any:
    """A copy of a response that is being received, with its body; of an error, what fits in ``limit``."""
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > limit:
            if response.status_code < 400:
                raise LongAnswer(f"more than {limit} bytes")
            break
    headers = [(k, v) for k, v in response.headers.multi_items() if k.lower() not in _REPACKED]
    kept = bytes(body[:limit])
    return type(response)(response.status_code, headers=headers, content=kept, request=response.request)


def _started(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """A thread that runs a call, and the list that holds its result or its error afterwards."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as error:  # raised again in the caller's thread
            outcome.append(_Raised(error))

    thread = threading.Thread(target=run, name="pinas-zoo-http", daemon=True)
    thread.start()
    return thread, outcome


def _outcome(outcome: list[Any]) -> Any:
    (result,) = outcome
    if isinstance(result, _Raised):
        raise result.error
    return result


class _Raised:
    """An error of the thread."""

    def __init__(self, error: BaseException):
        self.error = error
