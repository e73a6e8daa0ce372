"""The one exception whose text is meant for a user."""

from __future__ import annotations


class UserError(ValueError):
    """Wrong input: one line that says what was expected, what came and what to do; commands exit with 2."""


class WeightsError(UserError, RuntimeError):
    """Weights cannot be loaded, for the reason and with the cure that the text gives; nothing is left random."""


class NotPublished(WeightsError):
    """There are no weights under this name yet, anywhere that was looked."""


class WeightsMissing(WeightsError):
    """A file or folder that should hold weights is not there."""


class NotSafetensors(WeightsError):
    """Weights in another format than safetensors, such as a pickle; never opened."""


class BrokenWeights(WeightsError):
    """A file that is cut short, empty or not what its name says."""


class WrongHash(WeightsError):
    """The bytes are not those that were pinned or announced."""


class WrongShapes(WeightsError):
    """The file is sound, but holds another network's tensors."""


class HubError(WeightsError):
    """The Hub (or the mirror in HF_ENDPOINT) did not give or take a file."""


class HubOffline(HubError):
    """No network, or HF_HUB_OFFLINE is set, and the file is not in the cache."""


class HubNotFound(HubError):
    """No such repo, revision or file."""


class HubForbidden(HubError):
    """The token is missing, wrong, or may not do this (401, 403, gated)."""


class HubBusy(HubError):
    """Too many requests (429) or a fault of the server (5xx)."""
