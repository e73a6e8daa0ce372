"""What candidates are scored by (``explore.score``): in words, and whether it needs the linear stage."""

from __future__ import annotations

from dataclasses import dataclass

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.methods.base import method_class


@dataclass(frozen=True)
class Kind:
    """Of scores."""

    name: str  # of the quantity
    words: str  # what it is
    left_out: str  # why there is no linear stage, where there is none


KINDS = {
    "classifier": Kind("accuracy", "top-1 accuracy", "the method's own classifier scores candidates"),
    "probe": Kind("accuracy", "top-1 accuracy of a probe of its own", "each candidate has a classifier of its own"),
    "consistency": Kind(
        "consistency",
        "how much more alike two views of one image are than views of two (difference of mean cosines)",
        "candidates are scored without labels",
    ),
}


def needs_linear(config: SearchConfig) -> bool:
    """Whether a run has a linear stage: as it says, or unless candidates are scored by another classifier than its.

    Raises:
        UserError: No such method; or the stage is switched off and nothing else learns a classifier.
    """
    if config.explore.score != "classifier":
        return bool(config.linear.enabled)
    supervised = method_class(config.learn.method).supervised
    enabled = config.linear.enabled
    if enabled is False and not supervised:
        raise UserError(
            f"expected linear.enabled to be true, since method {config.learn.method!r} learns no "
            "classifier, got false; or set explore.score to 'probe'"
        )
    return not supervised if enabled is None else enabled
