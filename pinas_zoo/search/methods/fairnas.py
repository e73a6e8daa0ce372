"""FairNAS (Chu et al., ICCV 2021) with strict fairness: a step trains every candidate of every layer exactly once.

A step draws as many paths as a layer has candidates, without replacement, and runs all of them on the same images. It
sums their gradients before one update, so the stem and the classifier receive a gradient from each path. All paths'
activations are in memory at once: a step needs about ``num_candidates`` times the memory of a step of SPOS.
"""

from __future__ import annotations

from pinas_zoo.arch import Arch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.spos import SPOSMethod


class FairNASMethod(SPOSMethod):
    """FairNAS. It takes the arguments of :class:`pinas_zoo.search.methods.spos.SPOSMethod`."""

    title = "FairNAS"

    def sample_paths(self, step: int) -> list[Arch]:
        """``num_candidates`` paths that differ in every layer, so that they contain each candidate exactly once."""
        return self.space.sample(step_rng(self.seed, step, Stream.LEARN_PATHS), self.space.num_candidates)
