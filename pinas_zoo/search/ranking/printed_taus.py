"""The taus that the paper prints for exactly the architectures that a run has ranked, and for no other set.

A printed number stands beside ours only where the supernet has the same operations and the ranked architectures are the
same: all 15,625 of NAS-Bench-201 (Figure 6), or the 729 without ``none`` and ``skip_connect`` that a supernet of all
five operations scores (Figure 3). The paper's scores are accuracies of the shared linear classifier.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pinas_zoo.analysis.paper_tables import METHOD_NAMES, TABLES, TAUS, PrintedTau
from pinas_zoo.models.nasbench201 import OPERATIONS
from pinas_zoo.models.pinas import DEPTHS
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

OTHER_DATA = ("cifar100", "imagenet")  # NAS-Bench-201's other accuracies: the paper has CIFAR-10 alone


@dataclass(frozen=True)
class PapersTaus:
    """What the paper prints for a ranked set of architectures.

    Attributes:
        taus: Of each method, for this set and supernet; empty when the paper prints none.
        text: One line: the numbers and their protocol, or why there are none.
    """

    taus: tuple[PrintedTau, ...]
    text: str

    def to_dict(self) -> dict[str, object]:
        """Plain data for rank.json."""
        figure = self.taus[0].figure if self.taus else None
        return {"figure": figure, "taus": {tau.method: tau.tau for tau in self.taus}, "text": self.text}


def papers_taus(space: SearchSpace, archs: Collection[str], column: str, score: str) -> PapersTaus | None:
    """Look up the printed taus of a ranking.

    Args:
        space: The run's space.
        archs: The ranked architectures, in the space's own digits.
        column: Name of the column of true accuracies.
        score: Kind of the run's scores, as ``explore.score`` names it, or what else a method scores by.

    Returns:
        None for a space that the paper has no experiment on.
    """
    if isinstance(space, ResNeSt50Space) and space.num_layers == sum(DEPTHS):
        tau = TABLES[3].cell("Classification", "Ours")
        return PapersTaus((), f"none for these networks: Table 3's {tau} is over 13, eight of which it does not list")
    if not isinstance(space, NASBench201Space):
        return None
    if set(space.operations) != set(OPERATIONS):
        return PapersTaus((), f"none: its supernets have all five operations, this one has {len(space.operations)}")
    if any(name in column.lower() for name in OTHER_DATA):
        return PapersTaus((), f"none: its accuracies are of CIFAR-10, these are {column}")
    used = {OPERATIONS[code] for arch in archs for code in space.operations_of(space.parse(arch))}
    found = tuple(tau for tau in TAUS if tau.count == len(set(archs)) and not used & set(tau.left_out))
    if found:
        numbers = ", ".join(f"{METHOD_NAMES[tau.method]} {tau.tau}" for tau in found)
        kind = "by accuracy of the linear classifier" + ("" if score == "classifier" else f"; this run by {score}")
        return PapersTaus(found, f"{numbers} (Figure {found[0].figure}, the same {found[0].count:,}, {kind})")
    if len(set(archs)) == 4**6 and "skip_connect" not in used:
        return PapersTaus((), "none as text: Figure 8 has those of these 4,096 in its picture alone")
    counts = " and ".join(f"{count:,}" for count in sorted({tau.count for tau in TAUS}))
    return PapersTaus((), f"none for these {len(set(archs)):,} architectures: it ranks {counts}")
