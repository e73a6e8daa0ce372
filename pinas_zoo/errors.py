"""Exceptions whose messages are written for users."""

from __future__ import annotations


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
