"""The loss of a network that guesses: what the learn stage starts from, and what learning has to get below."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence

from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.methods.base import method_class


def chance_loss(
    config: SearchConfig, steps: Sequence[float], num_classes: int | None = None, num_candidates: int = 1
) -> list[float] | None:
    """Loss of guessing at each step of the learn stage, in nats; None for methods of which it is not known.

    For Π-NAS it is 2 ln(1 + negatives): each of the two paths' losses picks one output among the teacher's and the
    negatives (Eqn. 4). For SPOS and FairNAS it is ln(classes), summed over the paths of a step; label smoothing does
    not change it.

    Args:
        config: Configuration of the run.
        steps: Numbers of completed steps, from 1.
        num_classes: Classes of the images. None: the loss of methods with labels is not known.
        num_candidates: Candidates per layer, which are the paths of a step of FairNAS.
    """
    options = config.learn.options
    if config.learn.method in ("spos", "fairnas") and num_classes is not None:
        by_round = config.learn.method == "fairnas" and options.get("update", "round") == "round"
        return [(num_candidates if by_round else 1) * math.log(num_classes)] * len(steps)
    size = queue_size(config)
    if size is None:
        return None
    if not options.get("warm_queue", False):
        return [2 * math.log1p(size)] * len(steps)
    return [2 * math.log1p(min(size, (step - 1) * config.learn.batch_size)) for step in steps]


def queue_size(config: SearchConfig) -> int | None:
    """Number K of negatives of Π-NAS; None for other methods, and without negatives."""
    if config.learn.method != "pinas" or not config.learn.options.get("negatives", True):
        return None
    default = inspect.signature(method_class("pinas")).parameters.get("queue_size")
    size = config.learn.options.get("queue_size", default.default if default else None)
    return size if isinstance(size, int) else None
