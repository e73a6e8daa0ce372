"""How scores rank the studied architectures, compared with what each reaches after training: the rows of the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import numpy as np

from pinas_zoo.arch import Arch
from pinas_zoo.search.ranking.kendall import LEAST, RankCorrelation, correlate, tau
from pinas_zoo.search.score_list import in_words
from pinas_zoo.search.scorers.log_ranks import combined
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.trained_study.config import StudyConfig
from pinas_zoo.search.trained_study.jobs import Study
from pinas_zoo.search.trained_study.supernets import OWN, Scores

ACCURACY = "test accuracy"  # the outcome that every study has
MEAN = "mean"  # of the supernets' seeds
FLOPS, PARAMETERS, TRAINED = "multiply-adds", "parameters", "trained accuracy"  # what ranks without a supernet


@dataclass(frozen=True)
class TrainedArch:
    """One architecture of a study, and what is known of it so far.

    Attributes:
        arch: The architecture.
        origin: Why it is studied.
        params_m: Parameters in millions, without classifier.
        flops_g: Multiply-adds in billions, without classifier.
        accuracies: Test accuracy in 0..1 by the training's seed.
    """

    arch: Arch
    origin: str
    params_m: float
    flops_g: float
    accuracies: Mapping[int, float]

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return fmean(self.accuracies.values())

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds; None for one seed."""
        return stdev(self.accuracies.values()) if len(self.accuracies) > 1 else None


@dataclass(frozen=True)
class Predictor:
    """Values that rank architectures.

    Attributes:
        method: The supernet's method, or what ranks without a supernet.
        kind: The kind of score; empty without a supernet.
        seed: Of the supernet, or :data:`MEAN` for mean scores of several; empty without a supernet.
        values: Higher is better.
    """

    method: str
    kind: str
    seed: str
    values: Mapping[Arch, float]


@dataclass(frozen=True)
class StudyRow:
    """A predictor beside an outcome; ``ranking`` is None if they have fewer than three architectures in common."""

    outcome: str
    predictor: Predictor
    count: int
    ranking: RankCorrelation | None

    def to_dict(self) -> dict[str, Any]:
        named = {key: getattr(self.predictor, key) for key in ("method", "kind", "seed")}
        taus = None if self.ranking is None else self.ranking.to_dict()
        return {"outcome": self.outcome, **named, "n": self.count, "ranking": taus}


@dataclass(frozen=True)
class StudyResults:
    """What a study has found so far.

    Attributes:
        architectures: All that are known, in the order in which they are trained.
        predictors: Scores by method, kind and seed, and the baselines.
        outcomes: What is predicted, by name: accuracies of architectures with all trainings, and the user's results.
        rows: Every predictor beside every outcome.
        between_seeds: Kendall's tau between two trainings of the same architectures, the mean over pairs of seeds: what
            a perfect score could hardly exceed. None without two seeds.
        complete: Whether all architectures have all trainings and scores.
    """

    architectures: Sequence[TrainedArch]
    predictors: Sequence[Predictor]
    outcomes: Mapping[str, Mapping[Arch, float]]
    rows: Sequence[StudyRow]
    between_seeds: float | None
    complete: bool


def collect(study: Study, outcomes: Mapping[str, Mapping[Arch, float]]) -> StudyResults:
    """Read the results of a study from its folder, at whatever state it is.

    Args:
        study: The study.
        outcomes: The user's results by name.

    Raises:
        UserError: A file of the folder is damaged.
    """
    config, space, listed = study.config, study.space, study.architectures()
    size = config.recipe_of(space, listed[0].arch, 0).data.image_size
    size = size or config.search_config(next(iter(config.methods)), 0).data.image_size
    archs = []
    for one in listed:
        found = {seed: study.training(one.arch, seed).accuracy() for seed in config.seeds}
        known = {seed: value for seed, value in found.items() if value is not None}
        archs.append(TrainedArch(one.arch, one.origin, *space.cost(one.arch, size), known))
    trained = [one for one in archs if len(one.accuracies) == len(config.seeds)]
    truths = {ACCURACY: {one.arch: one.accuracy for one in trained}, **outcomes}
    scored = list(_scored(study))
    baselines = [
        Predictor(FLOPS, "", "", {one.arch: one.flops_g for one in archs}),
        Predictor(PARAMETERS, "", "", {one.arch: one.params_m for one in archs}),
    ]
    flops = baselines[0].values
    rows = [
        _row(name, truth, predictor, flops)
        for name, truth in truths.items()
        for predictor in [*scored, *baselines, *_of_training(name, truths[ACCURACY])]
    ]
    complete = len(trained) == config.count and all(job.is_complete() for job in study.jobs())
    return StudyResults(archs, [*scored, *baselines], truths, rows, _between_seeds(trained, config.seeds), complete)


def _scored(study: Study) -> Iterator[Predictor]:
    """Scores of every supernet and their sums, and those of each method's supernets together if there are several."""
    for method in study.config.methods:
        of_seeds: dict[str, list[Mapping[Arch, float]]] = {}
        for supernet in study.supernets:
            if supernet.method == method:
                for kind, values in _with_sums(study.config, supernet.scores()).items():
                    of_seeds.setdefault(kind, []).append(values)
                    yield Predictor(method, kind, str(supernet.seed), values)
        for kind, several in of_seeds.items():
            if len(several) > 1:
                common = [arch for arch in several[0] if all(arch in values for values in several)]
                yield Predictor(method, kind, MEAN, {a: fmean(values[a] for values in several) for a in common})


def _with_sums(config: StudyConfig, scores: Scores) -> Scores:
    """What is shown of the scores of a supernet: those that the configuration names, and sums of log places."""
    found = {kind: values for kind, values in scores.items() if kind in (OWN, *config.scores)}
    for parts in config.sums:
        if all(name in scores for name, _ in parts):
            archs = [arch for arch in scores[parts[0][0]] if all(arch in scores[name] for name, _ in parts)]
            single = {a: {name: Score(scores[name][a], -scores[name][a]) for name, _ in parts} for a in archs}
            sums = combined({arch: Score(0.0, 0.0, kinds) for arch, kinds in single.items()}, dict(parts))
            found[in_words(parts)] = {arch: score.accuracy for arch, score in sums.items()}
    return found


def _of_training(outcome: str, accuracies: Mapping[Arch, float]) -> list[Predictor]:
    """The accuracies themselves, which rank another outcome."""
    return [] if outcome == ACCURACY else [Predictor(TRAINED, "", "", accuracies)]


def _row(name: str, truth: Mapping[Arch, float], predictor: Predictor, flops: Mapping[Arch, float]) -> StudyRow:
    values = predictor.values
    rows = [(str(arch), values[arch], flops[arch], truth[arch]) for arch in flops if arch in values and arch in truth]
    return StudyRow(name, predictor, len(rows), correlate(rows) if len(rows) >= LEAST else None)


def _between_seeds(trained: Sequence[TrainedArch], seeds: Sequence[int]) -> float | None:
    if len(trained) < LEAST or len(seeds) < 2:
        return None
    columns = [np.array([one.accuracies[seed] for one in trained]) for seed in seeds]
    return fmean(tau(one, other) for one, other in combinations(columns, 2))
