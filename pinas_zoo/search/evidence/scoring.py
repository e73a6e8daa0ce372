"""The scores of a path on held-out images, of every kind; batch norms use the statistics of the batch."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from pinas_zoo.arch import Arch
from pinas_zoo.search.context import Context
from pinas_zoo.search.evidence.results import BY_CLASSIFIER, RANKING_SCORES, SCORES
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.scorers.classifier import ClassifierScorer
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.identification import IdentificationScorer
from pinas_zoo.search.scorers.probe import ProbeScorer
from pinas_zoo.search.scorers.two_views import TwoViewScorer
from pinas_zoo.search.stages.learn import learned_method
from pinas_zoo.terminal import progress

TWO_VIEWS: dict[str, type[TwoViewScorer]] = {"consistency": ConsistencyScorer, "identification": IdentificationScorer}
TOGETHER = 27  # paths that are scored between two updates of the progress bar


def score_paths(
    context: Context, archs: Sequence[Arch], wanted: Collection[str] = tuple(RANKING_SCORES)
) -> list[tuple[float, ...]]:
    """Scores of paths of a learned supernet, each as :data:`pinas_zoo.search.evidence.results.SCORES` names them.

    Accuracy and squared error of a linear probe of the path's own, consistency of two views, cross-entropy and accuracy
    of the classifier that all paths share (NaN if there is none), and identification of images by two views. Probes and
    classifiers see all held-out images as one batch; consistency and identification compare the images of batches of
    ``explore.batch_size``.

    Args:
        context: Context of a run with a supernet.
        archs: The paths.
        wanted: Scores that are measured, of RANKING_SCORES; the others are NaN. A method that scores paths itself has
            its own score alone.
    """
    data = context.scoring_data()
    own = learned_method(context).scorer(data) if method_class(context.config.learn.method).scores_paths else None
    if own is not None:
        wanted = ()
    whole = replace(data, batch_size=len(data.held_out))
    views = {name: kind.build(data) for name, kind in TWO_VIEWS.items() if name in wanted}
    probe = ProbeScorer.build(whole) if "squared_error" in wanted else None
    shares = data.classifier is not None and bool(set(BY_CLASSIFIER) & set(wanted))
    classifier = ClassifierScorer.build(whole) if shares else None
    found: list[tuple[float, ...]] = []
    with progress(len(archs), label="score", unit="arch") as bar:
        for start in range(0, len(archs), TOGETHER):
            some = archs[start : start + TOGETHER]
            columns = {name: [math.nan] * len(some) for name in SCORES}
            if own is not None:
                columns["own"] = [score.loss for score in own.scores(some)]
            if probe is not None:
                probed = probe.scores(some)
                columns["accuracy"] = [score.accuracy for score in probed]
                columns["squared_error"] = [score.loss for score in probed]
            if classifier is not None:
                shared = classifier.scores(some)
                columns["cross_entropy"] = [score.loss for score in shared]
                columns["classifier_accuracy"] = [score.accuracy for score in shared]
            if views:  # the features of both views are computed once
                first, *others = views.values()
                for name, scores in zip(views, first.scores_beside(some, *others), strict=True):
                    columns[name] = [score.loss for score in scores]
            found += zip(*columns.values(), strict=True)
            bar.update(len(some))
    return found


def classifier_accuracies(context: Context, archs: Sequence[Arch]) -> list[float]:
    """Top-1 accuracy of paths by the classifier that they share, as :func:`score_paths` measures it."""
    data = context.scoring_data()
    scorer = ClassifierScorer.build(replace(data, batch_size=len(data.held_out)))
    found: list[float] = []
    with progress(len(archs), label="estimate", unit="arch") as bar:
        for start in range(0, len(archs), TOGETHER):
            found += [score.accuracy for score in scorer.scores(archs[start : start + TOGETHER])]
            bar.update(len(found) - bar.done)
    return found
