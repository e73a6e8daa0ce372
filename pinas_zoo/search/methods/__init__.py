"""Ways to learn a supernet, one file each; a module's ``Method`` is the class that ``learn.method`` names."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pinas_zoo.errors import UserError
from pinas_zoo.search.space import SearchSpace, Supernet


class Method(nn.Module, ABC):
    """Learns a supernet from views of images; what it keeps between steps are parameters and buffers.

    The constructor takes the space, the number of classes, the run's seed and the method's own options.
    """

    num_views: int  # augmented views of an image that a step takes

    @abstractmethod
    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        """Losses of one step, whose sum is minimised; entries without ``loss`` in their name are only logged.

        Args:
            views: N x num_views x C x H x W, normalised.
            labels: N; unsupervised methods leave them alone.
            step: Counts from 0; the paths of the step follow from it and the seed.
        """

    @property
    @abstractmethod
    def learned(self) -> Supernet:
        """The supernet that later stages use."""

    def logged(self, step: int) -> dict[str, float]:
        """What the curve keeps of a step beside its losses; asked for only where a step is logged."""
        return {}


def build_method(name: str, options: Mapping[str, Any], space: SearchSpace, num_classes: int, seed: int) -> Method:
    """The method that a configuration names: a module of this package.

    Raises:
        UserError: No such method, or options that it does not take.
    """
    try:
        module = importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise UserError(f"expected learn.method to be a module of {__name__}, got {name!r}") from error
    try:
        method: Method = module.Method(space, num_classes=num_classes, seed=seed, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"method {name!r}: {error}") from error
    return method
