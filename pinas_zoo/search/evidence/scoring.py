"""The scores of a path on held-out images, of every kind; batch norms use the statistics of the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pinas_zoo.arch import Arch
from pinas_zoo.search.context import Context
from pinas_zoo.search.scorers.classifier import ClassifierScorer
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.identification import IdentificationScorer
from pinas_zoo.search.scorers.probe import ProbeScorer
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.terminal import progress

TOGETHER = 27  # paths that are scored between two updates of the progress bar


def score_paths(context: Context, archs: Sequence[Arch]) -> list[tuple[float, ...]]:
    """Scores of paths of a learned supernet, each as :data:`pinas_zoo.search.evidence.results.SCORES` names them.

    Accuracy and squared error of a linear probe of the path's own, consistency of two views, cross-entropy and accuracy
    of the classifier that all paths share (NaN if there is none), and identification of images by two views. Probes and
    classifiers see all held-out images as one batch; consistency and identification compare the images of batches of
    ``explore.batch_size``.
    """
    data = context.scoring_data()
    whole = replace(data, batch_size=len(data.held_out))
    consistency, probe = ConsistencyScorer.build(data), ProbeScorer.build(whole)
    identification = IdentificationScorer.build(data)
    classifier = ClassifierScorer.build(whole) if data.classifier is not None else None
    unknown = Score(math.nan, math.nan)
    found: list[tuple[float, ...]] = []
    with progress(len(archs), label="score", unit="arch") as bar:
        for start in range(0, len(archs), TOGETHER):
            some = archs[start : start + TOGETHER]
            shared = [unknown] * len(some) if classifier is None else classifier.scores(some)
            alike, found_again = consistency.scores_beside(some, identification)
            for own, views, image, head in zip(probe.scores(some), alike, found_again, shared, strict=True):
                found.append((own.accuracy, own.loss, views.loss, head.loss, head.accuracy, image.loss))
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
