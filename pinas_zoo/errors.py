"""Exceptions whose messages are written for users."""

from __future__ import annotations

import errno

_FULL_WORDS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "disk is full",
    "PytorchStreamWriter failed writing",
    "iostream error",  # below torch's writer
    "unexpected pos",
)
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)  # disk, quota, limit of a file's size


class UserError(ValueError):
    """Wrong input. The one-line message states what was expected, what was found and what to do.

    Commands print it and exit with status 2.
    """


class WeightsError(UserError, RuntimeError):
    """Weights cannot be loaded. No model with random weights is returned instead."""


class NotPublished(WeightsError):
    """No weights of this name have been published, and none are registered."""


class WeightsMissing(WeightsError):
    """A file or folder of weights does not exist."""


class NotSafetensors(WeightsError):
    """The weights are in a format that is not read, or in a pickle that wants more than tensors; none of it was run."""


class BrokenWeights(WeightsError):
    """A weights file is truncated, empty or not in the format of its name."""


class WrongHash(WeightsError):
    """The hash of a file differs from the expected one."""


class WrongShapes(WeightsError):
    """The file is valid, but its tensors belong to a different network."""


class HubError(WeightsError):
    """A request to the Hub, or to the mirror in HF_ENDPOINT, failed."""


class HubOffline(HubError):
    """The Hub cannot be reached, or HF_HUB_OFFLINE is set, and the file is not in the cache."""


class HubNotFound(HubError):
    """The repository, revision or file does not exist."""


class HubForbidden(HubError):
    """The token is missing, invalid, or lacks permission (status 401 or 403, or a gated repository)."""


class HubBusy(HubError):
    """The Hub rejected a request because of its rate limit (status 429) or a server error (5xx)."""


def disk_error(error: OSError, what: object) -> UserError:
    """The error for a user of one of the operating system: a full disk, or a place that cannot be read or written.

    Args:
        error: Of the operating system.
        what: What was read or written: a path, or words.
    """
    reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if error.errno in _FULL:
        return UserError(f"expected space on the disk for {what}, got: {reason}; free some, then repeat")
    return UserError(f"expected to read or write {what}, got: {reason}; give another place, or change its permissions")


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, says that a disk is full.

    Libraries have forms of their own: safetensors and SQLite put the words of the operating system into their own
    errors, torch's writer says only that it could not write.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(words in str(error) for words in _FULL_WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
