"""Ways to learn a supernet, one file each; a module's ``Method`` is the class that ``learn.method`` names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pinas_zoo.errors import UserError
from pinas_zoo.search.plugins import load_class
from pinas_zoo.search.spaces.base import SearchSpace, Supernet


class Method(nn.Module, ABC):
    """Learns a supernet from views of images; what it keeps between steps are parameters and buffers.

    The constructor takes the space, the number of classes, the run's seed and the method's own options.
    """

    title: str  # what a person calls the method, such as "Π-NAS"
    supervised: bool = False  # whether it learns a classifier that all paths share
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

    @property
    def classifier(self) -> nn.Linear | None:
        """num_features to num_classes, of a supervised method; the linear stage is then left out."""
        return None

    def trouble(self) -> str | None:
        """What went wrong in learning, in one line, as far as the method can see; None when nothing did."""
        return None

    def logged(self, step: int) -> dict[str, float]:
        """What the curve keeps of a step beside its losses; asked for only where a step is logged."""
        return {}


def method_class(name: str) -> type[Method]:
    """The class that ``learn.method`` names: of a module of this package or of a Python file.

    Raises:
        UserError: No such method.
    """
    kind: type[Method] = load_class(name, "pinas_zoo.search.methods", "Method", "learn.method")
    return kind


def build_method(name: str, options: Mapping[str, Any], space: SearchSpace, num_classes: int, seed: int) -> Method:
    """The method that a configuration names.

    Raises:
        UserError: No such method, or options that it does not take.
    """
    kind = method_class(name)
    try:
        return kind(space, num_classes=num_classes, seed=seed, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"method {name!r}: {error}") from error
