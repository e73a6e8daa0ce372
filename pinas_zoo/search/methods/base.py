"""The base class of search methods. A method learns a supernet, architecture parameters, or both.

A subclass implements :meth:`~pinas_zoo.engine.trainable.Trainable.losses`, which returns the losses of a step. The rest
has defaults: one phase trains all weights, and the configuration's ``explore.score`` ranks the candidates.
"""

from __future__ import annotations

import inspect
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
from pinas_zoo.weights.entry_points import WRONG_ARGUMENTS

METHODS = {  # built-in values of ``learn.method``
    "pinas": "pinas_zoo.search.methods.pinas:PiNASMethod",
    "spos": "pinas_zoo.search.methods.spos:SPOSMethod",
    "fairnas": "pinas_zoo.search.methods.fairnas:FairNASMethod",
    "dna": "pinas_zoo.search.methods.dna:DNAMethod",
    "fbnetv2": "pinas_zoo.search.methods.fbnetv2:FBNetV2Method",
    "tunas": "pinas_zoo.search.methods.tunas:TuNASMethod",
    "proxylessnas": "pinas_zoo.search.methods.proxylessnas:ProxylessNASMethod",
    "gdas": "pinas_zoo.search.methods.gdas:GDASMethod",
    "wpl": "pinas_zoo.search.methods.wpl:WPLMethod",
    "nsas": "pinas_zoo.search.methods.nsas:NSASMethod",
    "gdas_nsas": "pinas_zoo.search.methods.nsas:GDASNSASMethod",
}


class Method(Trainable, ABC):
    """A search method, trained by the learn stage.

    The constructor takes the search space, ``num_classes``, ``seed`` and the options of ``learn.options`` as keyword
    arguments. It raises TypeError or ValueError for wrong options, which :func:`build_method` reports as a UserError.

    Attributes:
        title: Name of the method in reports, such as "Π-NAS".
        supervised: Whether the method learns a classifier that all paths share. If so, the run has no linear stage.
        scores_paths: Whether the method scores paths itself, by :meth:`scorer`, instead of ``explore.score``.
        sums_stages: Whether these scores are sums over stages, which ``explore.sampler="traversal"`` needs.
        takes_image_size: Whether the constructor takes ``image_size``, the height and width of the images in pixels, on
            which the multiply-adds of paths depend. It is that of the configuration's data, not an option.
        paths_at_once: Largest number of paths whose activations a step keeps at the same time, for the plan of a run.
            0: as many as :meth:`sample_paths` returns.

    Example:
        A method that trains the first candidate of every layer, in a file that ``learn.method`` names::

            import torch.nn.functional as F
            from torch import nn

            from pinas_zoo.arch import Arch
            from pinas_zoo.search import Method

            class FirstCandidates(Method):
                title, supervised = "First candidates", True

                def __init__(self, space, num_classes, seed=0):
                    super().__init__()
                    self.path = Arch((0,) * space.num_layers)
                    self.supernet = space.supernet()
                    self.fc = nn.Linear(self.supernet.num_features, num_classes)

                @property
                def learned(self):
                    return self.supernet

                @property
                def classifier(self):
                    return self.fc

                def sample_paths(self, step):
                    return [self.path]

                def losses(self, batch, step, phase):
                    images = batch.views.squeeze(1)  # N x C x H x W
                    logits = self.fc(self.supernet(images, self.path))  # N x num_classes
                    return {"loss": F.cross_entropy(logits, batch.labels)}
    """

    title: str
    supervised = False
    scores_paths = False
    sums_stages = False
    takes_image_size = False
    paths_at_once = 0

    @property
    def learned(self) -> Supernet | None:
        """The trained supernet, which later stages use; None if the method trains none."""
        return None

    @property
    def classifier(self) -> nn.Linear | None:
        """The classifier that all paths share, num_features to num_classes; None if the method learns none."""
        return None

    def sample_paths(self, step: int) -> Sequence[Arch]:
        """The paths that a step trains, as a function of the seed and the step.

        Returns:
            One or more architectures; an empty sequence for a method that mixes all candidates by gates.
        """
        return ()

    def choose(self) -> Arch | None:
        """The architecture that learning selected, such as the argmax of architecture parameters.

        Returns:
            The architecture, which is then the only one that the explore stage scores. None leaves the choice to
            exploration.
        """
        return None

    def scorer(self, data: ScoringData) -> Scorer | None:
        """The method's own scorer, such as DNA's summed block losses. It is used if ``scores_paths`` is true.

        Args:
            data: Supernet, images and options from which a scorer is built.

        Returns:
            The scorer; None if the configuration's ``explore.score`` applies.
        """
        return None

    def warning(self) -> str | None:
        trouble = getattr(self, "trouble", None)  # the name in version 0.1
        return trouble() if callable(trouble) else None

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        # methods written for version 0.1 have forward(views, labels, step)
        if type(self).forward is not Method.forward:
            return self.forward(batch.views, batch.labels, step)
        raise NotImplementedError(f"{type(self).__name__} has no losses; implement losses(batch, step, phase)")

    def forward(self, views: torch.Tensor, labels: torch.Tensor, step: int) -> dict[str, torch.Tensor]:
        """Losses of the first phase, for use in a training loop other than the engine's.

        Args:
            views: N x num_views x C x H x W, augmented and normalised.
            labels: N.
            step: Index of the step, from 0.

        Returns:
            As :meth:`~pinas_zoo.engine.trainable.Trainable.losses`.
        """
        return self.losses(Batch(views, labels), step, self.phases[0])


def method_class(name: str) -> type[Method]:
    """Return the class that ``learn.method`` names, without building it.

    Args:
        name: A key of :data:`METHODS`, or the path of a Python file that defines a subclass of :class:`Method`.

    Raises:
        UserError: The name is unknown, or the file does not define such a class.
    """
    return load_class(name, METHODS, Method, "learn.method")


def option_names(kind: type[Method]) -> frozenset[str]:
    """Names of the options that a method accepts, with those that its constructor passes on to a base class."""
    names: set[str] = set()
    for owner in kind.__mro__[: kind.__mro__.index(Method)]:
        if "__init__" not in vars(owner):
            continue
        parameters = inspect.signature(owner.__init__).parameters.values()  # type: ignore[misc]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    given = {"self", "space", "num_classes", "seed"} | ({"image_size"} if kind.takes_image_size else set())
    return frozenset(names - given)


def build_method(
    name: str, options: Mapping[str, Any], space: SearchSpace, num_classes: int, seed: int, image_size: int = 224
) -> Method:
    """Build the method that a configuration names, with freshly initialised weights.

    Args:
        name: A key of :data:`METHODS`, or the path of a Python file that defines a subclass of :class:`Method`.
        options: Keyword arguments of the method, the table ``learn.options``.
        space: The search space.
        num_classes: Number of classes of the images.
        seed: Seed of the run; paths and other random choices derive from it.
        image_size: Height and width of the images in pixels, for methods that compute costs of paths.

    Raises:
        UserError: The method is unknown, or does not accept an option.

    Example:
        >>> from pinas_zoo.search import build_method, build_space
        >>> space = build_space({"type": "nasbench201", "channels": 4, "cells": 1})
        >>> build_method("pinas", {"queue_size": 64, "dim": 16}, space, num_classes=10, seed=0).title
        'Π-NAS'
    """
    kind = method_class(name)
    given: dict[str, Any] = dict(num_classes=num_classes, seed=seed)
    if kind.takes_image_size:
        given["image_size"] = image_size
    try:
        method = kind(space, **given, **options)
    except WRONG_ARGUMENTS as error:
        known = option_names(kind)
        unknown = [key for key in options if key not in known] if isinstance(error, TypeError) else []
        if unknown:
            names = ", ".join(sorted(known)) or "none"
            raise UserError(f"method {name!r}: expected learn.options of ({names}), got {unknown[0]!r}") from error
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"method {name!r}: {said}") from error
    if kind.forward is not Method.forward:
        warnings.warn(
            f"{kind.__name__} of {name} has forward(views, labels, step), as in version 0.1; "
            "rename it to losses(batch, step, phase), where batch has views and labels",
            FutureWarning,
            stacklevel=2,
        )
    return method
