"""A path's own classifier: ridge regression in closed form, in the evaluator, in a run and in its winner."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search.scorers import evaluator as evaluator_module
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.ridge_probe import RIDGE, RidgeProbe
from tests.search.scorers.test_evaluator import evaluator as evaluator  # a fixture


def test_a_probe_is_ridge_regression_on_standardised_features():
    rng = np.random.default_rng(0)
    features = rng.normal(3, [0.1, 1, 10, 100], size=(60, 4))
    labels = (features[:, 1] > 3).astype(int) + 2 * (features[:, 3] > 3)
    scaled = (features - features.mean(0)) / features.std(0)
    peer = Ridge(alpha=RIDGE * len(scaled)).fit(scaled, np.eye(4)[labels])
    probe = RidgeProbe(4)
    for part in (slice(0, 25), slice(25, 60)):
        probe.add(torch.tensor(features[part], dtype=torch.float32), torch.tensor(labels[part]))
    ours = probe.solve()(torch.tensor(features, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(ours, peer.predict(scaled), atol=1e-4)


def test_a_constant_feature_and_an_absent_class_do_no_harm():
    probe = RidgeProbe(3)
    probe.add(torch.tensor([[1.0, 5.0], [-1.0, 5.0]]), torch.tensor([0, 1]))
    outputs = probe.solve()(torch.tensor([[1.0, 5.0], [-1.0, 5.0]]))
    assert outputs.argmax(1).tolist() == [0, 1]
    assert outputs[:, 2].abs().max() < 1e-6


def test_no_features_no_classifier():
    with pytest.raises(ValueError, match="expected features, got none"):
        RidgeProbe(3).solve()


def test_the_memory_of_probes_is_bounded(evaluator, monkeypatch):
    probe = RidgeProbe(1000)
    probe.add(torch.randn(4, 64), torch.arange(4))
    assert probe.sums.nbytes == RidgeProbe.size(64, 1000)
    monkeypatch.setattr(evaluator_module, "PROBES_MIB", 0)
    parts = evaluator.recalibration, evaluator.held_out, evaluator.normalise, evaluator.batch_size
    assert PathEvaluator(evaluator.supernet, 3, *parts).together == 1
    monkeypatch.setattr(evaluator_module, "PROBES_MIB", 512)
    assert PathEvaluator(evaluator.supernet, 3, *parts).together == evaluator_module.TOGETHER
    monkeypatch.setattr(evaluator.supernet, "num_features", 2048)
    assert PathEvaluator(evaluator.supernet, 1000, *parts).together == 10


def test_probes_score_alike_alone_and_together(evaluator):
    evaluator.classifier = 3
    paths = [Arch((0, 1, 2, 3, 0)), Arch((0, 1, 2, 0, 1)), Arch((3, 1, 2, 3, 0))]
    together = evaluator.scores(paths)
    assert together == [evaluator.score(path) for path in paths]
    for path, score in zip(paths, together, strict=True):
        classifier = evaluator.fit(path)
        assert isinstance(classifier, nn.Linear)
        with torch.no_grad(), evaluator.recalibrate(path):
            x = evaluator.held_out.pixels.float() / 255
            outputs = torch.cat([classifier(evaluator.supernet(part, path)) for part in x.split(10)])
        labels = evaluator.held_out.labels
        assert float((outputs.argmax(1) == labels).float().mean()) == pytest.approx(score.accuracy)
        error = (outputs - nn.functional.one_hot(labels, 3)).square().sum(1).mean()
        assert float(error) == pytest.approx(score.loss, rel=1e-4)
