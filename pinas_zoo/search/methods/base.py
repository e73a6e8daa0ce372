"""What a method is: it learns a supernet, or architecture parameters, or both, from views of images.

A method says in :meth:`~pinas_zoo.engine.trainable.Trainable.losses` what a step minimises. Everything else has a
default: one phase that trains all weights, no teacher, exploration by the configuration's score.
"""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.engine.trainable import Batch, Phase, Trainable
from pinas_zoo.errors import UserError
from pinas_zoo.search.plugins import load_class
from pinas_zoo.search.scorers.protocol import Scorer, ScoringData
from pinas_zoo.search.spaces.base import SearchSpace, Supernet

METHODS = {  # names that ``learn.method`` takes
    "pinas": "pinas_zoo.search.methods.pinas:PiNASMethod",
    "spos": "pinas_zoo.search.methods.spos:SPOSMethod",
    "fairnas": "pinas_zoo.search.methods.fairnas:FairNASMethod",
}


class Method(Trainable, ABC):
    """One way to search; the constructor takes the space, the number of classes, the run's seed and its own options.

    Attributes:
        title: What a person calls the method, such as "Π-NAS".
        supervised: Whether it learns a classifier that all paths share; the linear stage is then left out.
        scores_paths: Whether :meth:`scorer` scores paths, in place of the configuration's ``explore.score``.
    """

    title: str
    supervised = False
    scores_paths = False

    @property
    def learned(self) -> Supernet | None:
        """The supernet that later stages use; None for a method that trains none."""
        return None

    @property
    def classifier(self) -> nn.Linear | None:
        """num_features to num_classes, of a supervised method."""
        return None

    def sample_paths(self, step: int) -> Sequence[Arch]:
        """The paths of a step; they follow from the seed and the step. Empty for a method that mixes all candidates."""
        return ()

    def choose(self) -> Arch | None:
        """The architecture that learning has decided on, such as the largest of its architecture parameters.

        None leaves the choice to exploration.
        """
        return None

    def scorer(self, data: ScoringData) -> Scorer | None:
        """A scorer of the method's own, such as DNA's summed block losses; None takes the configuration's."""
        return None

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        # methods written for version 0.1 have forward(views, labels, step)
        if type(self).forward is not Method.forward:
            return self.forward(batch.views, batch.labels, step)
        raise NotImplementedError(f"{type(self).__name__} says nothing to minimise; give it losses(batch, step, phase)")

    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        """Losses of the first phase, for a loop of one's own: views N x num_views x C x H x W, labels N."""
        return self.losses(Batch(views, labels), step, self.phases[0])


def method_class(name: str) -> type[Method]:
    """The class that ``learn.method`` names: a name of :data:`METHODS`, or a Python file with a subclass of Method.

    Raises:
        UserError: No such method.
    """
    return load_class(name, METHODS, Method, "learn.method")


def build_method(name: str, options: Mapping[str, Any], space: SearchSpace, num_classes: int, seed: int) -> Method:
    """The method that a configuration names.

    Raises:
        UserError: No such method, or options that it does not take.
    """
    kind = method_class(name)
    try:
        method = kind(space, num_classes=num_classes, seed=seed, **options)
    except (TypeError, ValueError) as error:
        raise UserError(f"method {name!r}: {error}") from error
    if kind.forward is not Method.forward:
        warnings.warn(
            f"{kind.__name__} of {name} has forward(views, labels, step), as in version 0.1; "
            "name it losses(batch, step, phase), where batch has views and labels",
            FutureWarning,
            stacklevel=2,
        )
    return method
