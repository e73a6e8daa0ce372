"""FairNAS (Chu et al., ICCV 2021) with strict fairness: a round of paths trains every candidate of every layer once.

A round has as many paths as a layer has candidates, drawn without replacement. ``update`` says when the weights change:

- ``"round"``, as in FairNAS's own paper: one step runs the whole round on the same images and sums its gradients before
  the update. The stem and the classifier receive a gradient from each path. All paths' activations are in memory at
  once, so a step needs about ``num_candidates`` times the time and memory of a step of SPOS.
- ``"path"``, as in the comparison of Π-NAS's authors (``fairnas`` in their SuperClassification): each path is a step
  with images and an update of its own, and a round takes ``num_candidates`` steps. A step costs what one of SPOS costs.
"""

from __future__ import annotations

from typing import Any

from pinas_zoo.arch import Arch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.spos import SPOSMethod
from pinas_zoo.search.spaces.base import SearchSpace


class FairNASMethod(SPOSMethod):
    """FairNAS.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which the paths of each round derive.
        update: "round" for one update after the paths of a round, "path" for one after each path.
        options: Other arguments of :class:`pinas_zoo.search.methods.spos.SPOSMethod`.

    Raises:
        ValueError: ``update`` is unknown, or as SPOSMethod.
    """

    title = "FairNAS"

    def __init__(self, space: SearchSpace, num_classes: int, seed: int = 0, update: str = "round", **options: Any):
        super().__init__(space, num_classes, seed, **options)
        if update not in ("round", "path"):
            raise ValueError(f"expected update to be 'round' or 'path', got {update!r}")
        self.update = update

    def sample_paths(self, step: int) -> list[Arch]:
        """The paths of a step: a whole round, whose paths differ in every layer, or the one whose turn it is in it."""
        if self.update == "round":
            return self.round_of_paths(step)
        number, turn = divmod(step, self.space.num_candidates)
        return [self.round_of_paths(number)[turn]]

    def round_of_paths(self, number: int) -> list[Arch]:
        """The ``num_candidates`` paths of a round, which contain each candidate of each layer exactly once."""
        return self.space.sample(step_rng(self.seed, number, Stream.LEARN_PATHS), self.space.num_candidates)
