"""NSAS (Zhang et al., "Overcoming Multi-Model Forgetting in One-Shot NAS with Diversity Maximization", CVPR 2020).

Training a path makes earlier paths worse, because they share weights. NSAS treats it as continual learning: a step may
not worsen a set of earlier paths, which is chosen to be diverse, since it stands for all of them. The constraint
becomes a term of the loss, with the cross-entropy of the archived paths on the same batch::

    L(path) = (1 - strength) * CE(path) + strength * mean over archived paths c: CE(c)

The paper adds it to two ways of sampling: random paths (``nsas``) and those of GDAS (``gdas_nsas``, "GDAS-NSAS" in
Table 4 of Π-NAS). :class:`pinas_zoo.search.methods.novelty_archive.NoveltyArchive` selects the paths. A step runs all
archived paths beside its own, so learning weights takes ``archive_size + 1`` times the time and memory of one path.

The public scripts of the paper's authors take the archived paths' losses without gradient, so that the term changes the
loss but not the weights. Here it has a gradient. These scripts have no licence and were not read. The form above is a
convex combination, so that a learning rate that suits SPOS suits NSAS. The form, the tie rule of the archive and the
defaults of both options are ours where the paper leaves a choice; ``strength=0`` is the method without NSAS.
"""

from __future__ import annotations

from typing import Any

import torch

from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.search.methods.gdas import GDASMethod
from pinas_zoo.search.methods.novelty_archive import NoveltyArchive
from pinas_zoo.search.methods.single_path import SinglePathMethod
from pinas_zoo.search.spaces.base import SearchSpace

MOST_PATHS = 1000  # in an archive, each of which a step runs


class NoveltyRegularised(SinglePathMethod):
    """Adds the archive and its regulariser to the weights phase of a single-path method.

    Args:
        space: The search space.
        num_classes: Number of outputs of the classifier.
        seed: Seed from which the paths derive.
        archive_size: Largest number of archived paths.
        strength: Weight of the archived paths' mean loss, in 0..1.
        options: Arguments of the single-path method.

    Raises:
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        seed: int = 0,
        archive_size: int = 8,
        strength: float = 0.5,
        **options: Any,
    ):
        super().__init__(space, num_classes, seed, **options)
        if not 1 <= archive_size <= MOST_PATHS or not 0 <= strength <= 1:
            raise ValueError(
                f"expected archive_size in 1..{MOST_PATHS} and strength in 0..1, got {archive_size}, {strength}"
            )
        self.strength = strength
        self.archive = NoveltyArchive(space, archive_size)
        self.paths_at_once = archive_size + 1

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """The losses of the single-path method; in the phase of the weights with the archived paths' cross-entropy."""
        values = super().losses(batch, step, phase)
        if phase.name != self.phases[0].name or not self.archive.paths:
            return values
        archived = self.path_losses(batch, self.archive.paths)["loss"] / len(self.archive.paths)
        loss = (1 - self.strength) * values["loss"] + self.strength * archived
        return {**values, "loss": loss, "archived": archived.detach()}

    def after_update(self, step: int, phase: Phase) -> None:
        if phase.name == self.phases[0].name:
            for path in self.sample_paths(step):
                self.archive.add(path)
        super().after_update(step, phase)


class NSASMethod(NoveltyRegularised):
    """NSAS on uniformly sampled paths. Exploration selects the architecture, as for SPOS."""

    title = "NSAS"


class GDASNSASMethod(NoveltyRegularised, GDASMethod):
    """NSAS on the paths that GDAS samples."""

    title = "GDAS-NSAS"
