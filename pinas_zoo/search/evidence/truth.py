"""What scores are compared with: the accuracies of NAS-Bench-201's architectures, each trained from scratch."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS, arch_string
from pinas_zoo.search.evidence.plan import TruthColumns
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.ranking.kendall import KendallTau, RankCorrelation, correlate, tau, tau_of

MANY = 5000  # architectures from which an eighth of the resamples is enough


@dataclass(frozen=True)
class TrainedAlone:
    """One architecture of the truth; accuracies in percent."""

    accuracy: float
    flops: float  # multiply-adds
    others: Mapping[str, float]  # other accuracies, by their words in the configuration
    transfer: Mapping[str, float] = field(default_factory=dict)  # those on other data that the table has, by data set


@dataclass(frozen=True)
class Truth:
    """The architectures by the benchmark's digits; values by the same digits are compared with their accuracies."""

    networks: Mapping[str, TrainedAlone]
    resamples: int  # of the bootstrap

    def archs(self, operations: Sequence[str]) -> list[str]:
        """The architectures that use no other operations."""
        digits = {str(OPERATIONS.index(name)) for name in operations}
        return [arch for arch in self.networks if set(arch) <= digits]

    @property
    def transfer(self) -> list[str]:
        """Other data sets on which all architectures have an accuracy."""
        first = next(iter(self.networks.values()), None)
        names = [] if first is None else list(first.transfer)
        return [name for name in names if all(name in network.transfer for network in self.networks.values())]

    def on(self, data: str) -> Truth:
        """The same architectures with their accuracies on another data set of ``transfer``."""
        networks = {arch: replace(one, accuracy=one.transfer[data]) for arch, one in self.networks.items()}
        return replace(self, networks=networks)

    def better_half(self, archs: Sequence[str]) -> set[str]:
        """Those of the architectures whose accuracy is at least the median of all of them."""
        middle = np.median([self.networks[arch].accuracy for arch in archs]) if archs else 0.0
        return {arch for arch in archs if self.networks[arch].accuracy >= middle}

    def tau(self, values: Mapping[str, float]) -> float:
        """Kendall's tau of values that rank known architectures."""
        known = [arch for arch in values if arch in self.networks]
        accuracies = [self.networks[arch].accuracy for arch in known]
        return tau(np.array([values[arch] for arch in known]), np.array(accuracies))

    def interval(self, values: Mapping[str, float]) -> KendallTau:
        """Kendall's tau of values, with an interval from a quarter of the resamples."""
        known = [arch for arch in values if arch in self.networks]
        accuracies = np.array([self.networks[arch].accuracy for arch in known])
        return tau_of(np.array([values[arch] for arch in known]), accuracies, resamples=max(1, self.resamples // 4))

    def correlation(self, values: Mapping[str, float], among: Container[str] | None = None) -> RankCorrelation:
        """Kendall's tau of values, beside that of multiply-adds; of all architectures that have one, or of some."""
        archs = self.networks if among is None else among
        return self._correlate(values, {a: self.networks[a].flops for a in values if a in archs})

    def difference(self, ours: Mapping[str, float], theirs: Mapping[str, float]) -> KendallTau:
        """Tau of our values less tau of theirs, over the architectures that have both."""
        return self._correlate(ours, theirs).difference

    def _correlate(self, ours: Mapping[str, float], theirs: Mapping[str, float]) -> RankCorrelation:
        rows = [(arch, ours[arch], theirs[arch], self.networks[arch].accuracy) for arch in ours if arch in theirs]
        return correlate(rows, resamples=self.resamples if len(rows) < MANY else max(1, self.resamples // 8))


def load_truth(path: Path, columns: TruthColumns, resamples: int) -> Truth:
    """Read a table of trained networks.

    Raises:
        UserError: The file is not such a table, or lacks a column that the configuration names.
    """
    networks = {}
    for arch, trained in read_table(path).items():
        wanted = [columns.column, *columns.others.values()]
        missing = [name for name in wanted if name not in trained.accuracies]
        if missing or trained.flops is None:
            raise UserError(
                f"expected {', '.join(missing or ['flops_computed'])} of {arch_string(arch)} in {path}, got none; "
                "docs/nasbench201.md says what the table holds"
            )
        others = {label: trained.accuracies[name] for label, name in columns.others.items()}
        known = {label: name for label, name in columns.transfer.items() if name in trained.accuracies}
        transfer = {label: trained.accuracies[name] for label, name in known.items()}
        networks[str(arch)] = TrainedAlone(trained.accuracies[columns.column], trained.flops, others, transfer)
    return Truth(networks, resamples)


def tuned_half(archs: Sequence[str], seed: int) -> set[str]:
    """Half of the architectures, drawn by seed."""
    ordered = sorted(archs)
    return {ordered[k] for k in np.random.default_rng(seed).permutation(len(ordered))[: len(ordered) // 2]}
