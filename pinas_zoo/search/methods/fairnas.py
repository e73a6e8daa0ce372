"""FairNAS (Chu et al., ICCV 2021) with strict fairness: a step trains every candidate of every layer exactly once.

As many paths as a layer has candidates are drawn without replacement and see the same images. Their gradients are added
up before one update; stem and classifier get a contribution of each path. A step holds the activations of all its paths
at once, so it takes that many times the memory of a step of SPOS.
"""

from __future__ import annotations

from pinas_zoo.arch import Arch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.spos import SPOSMethod


class FairNASMethod(SPOSMethod):
    """FairNAS; arguments as :class:`pinas_zoo.search.methods.spos.SPOSMethod`."""

    title = "FairNAS"

    def sample_paths(self, step: int) -> list[Arch]:
        """Paths that differ in every layer, one for each candidate: together they hold all of them once."""
        return self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS), self.space.num_candidates)
