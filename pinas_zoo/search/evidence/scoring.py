"""The scores of a path on held-out images, of every kind; batch norms use the statistics of the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pinas_zoo.arch import Arch
from pinas_zoo.search.context import Context
from pinas_zoo.search.scorers.classifier import ClassifierScorer
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.probe import ProbeScorer
from pinas_zoo.terminal import progress

TOGETHER = 27  # paths that are scored between two updates of the progress bar


def score_paths(context: Context, archs: Sequence[Arch]) -> list[tuple[float, ...]]:
    """Scores of paths of a learned supernet, each as :data:`pinas_zoo.search.evidence.results.SCORES` names them.

    Accuracy and squared error of a linear probe of the path's own, consistency of two views, and the cross-entropy of a
    supervised method's classifier (NaN if there is none). Probes and classifiers see all held-out images as one batch;
    consistency compares the images of batches of ``explore.batch_size``.
    """
    data = context.scoring_data()
    whole = replace(data, batch_size=len(data.held_out))
    consistency, probe = ConsistencyScorer.build(data), ProbeScorer.build(whole)
    classifier = ClassifierScorer.build(whole) if data.classifier is not None else None
    found: list[tuple[float, ...]] = []
    with progress(len(archs), label="score", unit="arch") as bar:
        for start in range(0, len(archs), TOGETHER):
            some = archs[start : start + TOGETHER]
            known = [math.nan] * len(some) if classifier is None else [s.loss for s in classifier.scores(some)]
            for by_probe, by_views, entropy in zip(probe.scores(some), consistency.scores(some), known, strict=True):
                found.append((by_probe.accuracy, by_probe.loss, by_views.loss, entropy))
            bar.update(len(some))
    return found
