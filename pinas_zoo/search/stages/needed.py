"""The stages that a run has, which depend on what its score needs."""

from __future__ import annotations

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.score_kinds import score_kind
from pinas_zoo.search.scorers.protocol import CLASSIFIER, LABELS, SUPERNET


def why_left_out(config: SearchConfig, stage: str) -> str | None:
    """The reason why a run does not have a stage; None if it has it.

    Raises:
        UserError: The method is unknown; or ``linear.enabled`` is false although no other stage learns a classifier.
    """
    kind = score_kind(config)
    if stage == "train" and not config.train.enabled:
        return "switched off by train.enabled"
    if stage == "learn" and SUPERNET not in kind.needs:
        return f"left out: {kind.left_out}"
    if stage == "linear" and not _has_linear(config):
        return f"left out: {kind.left_out}"
    return None


def needs_labels(config: SearchConfig) -> bool:
    """Whether the stages up to explore need images of at least two classes."""
    needs = score_kind(config).needs
    return LABELS in needs or (SUPERNET in needs and method_class(config.learn.method).supervised)


def _has_linear(config: SearchConfig) -> bool:
    """Whether the run has a linear stage: by default if the score needs a classifier and the method learns none."""
    kind, enabled = score_kind(config), config.linear.enabled
    if SUPERNET not in kind.needs:
        return False
    if CLASSIFIER not in kind.needs:
        return bool(enabled)
    supervised = method_class(config.learn.method).supervised
    if enabled is False and not supervised:
        raise UserError(
            f"expected linear.enabled to be true, since method {config.learn.method!r} learns no "
            "classifier, got false; or set explore.score to 'probe'"
        )
    return not supervised if enabled is None else enabled
