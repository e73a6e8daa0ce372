"""Scores of many paths together equal those one by one, bit by bit, and what paths share is computed once."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.engine.side_by_side import SideBySide
from pinas_zoo.search.scorers import evaluator as evaluator_module
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.spaces.base import Supernet
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space


class OnePiece(Supernet):
    """The same network to an evaluator that knows nothing of its layers."""

    def __init__(self, supernet: Supernet):
        super().__init__()
        self.net, self.num_features = supernet, supernet.num_features

    def forward(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        return self.net(x, path)

    def path_modules(self, path: Arch):
        return self.net.path_modules(path)


@pytest.fixture
def evaluator() -> PathEvaluator:
    torch.manual_seed(0)
    space = ResNeSt50Space(depths=(2, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8, zero_init_last=False)
    images = Images(torch.randint(0, 256, (24, 3, 32, 32)).to(torch.uint8), torch.arange(24) % 3)
    supernet = space.supernet()
    classifier = nn.Linear(supernet.num_features, 3)
    return PathEvaluator(supernet, classifier, images, images, lambda x: x.float() / 255, batch_size=10)


@torch.no_grad()
def plain_score(evaluator: PathEvaluator, path: Arch, recalibrated_by: int = 10) -> tuple[float, float]:
    """Accuracy and loss by torch alone: training mode for the statistics, then evaluation mode, no tree."""
    supernet, images = copy.deepcopy(evaluator.supernet).train(), evaluator.held_out
    for norm in supernet.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
            norm.momentum = None
    for batch in images.batches(recalibrated_by):
        supernet(batch["pixels"] / 255, path)
    supernet.eval()
    batches = list(images.batches(10))
    logits = torch.cat([evaluator.classifier(supernet(batch["pixels"] / 255, path)) for batch in batches])
    right = (logits.argmax(1) == images.labels).float().mean()
    return float(right), float(F.cross_entropy(logits, images.labels))


def test_scores_equal_those_by_torch_alone(evaluator):
    paths = [Arch((0, 1, 2, 3, 0)), Arch((0, 1, 2, 3, 1)), Arch((3, 1, 2, 3, 0)), Arch((3, 2, 0, 1, 2))]
    for path, score in zip(paths, evaluator.scores(paths), strict=True):
        assert (score.accuracy, score.loss) == pytest.approx(plain_score(evaluator, path), rel=1e-5)


def test_recalibration_may_have_another_batch_size(evaluator):
    """Each of its batches is normalised by its own statistics, so the size is part of the score."""
    path = Arch((0, 1, 2, 3, 0))
    before = evaluator.score(path)
    evaluator.recalibration_batch_size = 6
    score = evaluator.score(path)
    assert (score.accuracy, score.loss) == pytest.approx(plain_score(evaluator, path, 6), rel=1e-5)
    assert abs(score.loss - before.loss) > 1e-5 * before.loss
    evaluator.batch_size = 24  # of scoring, which changes no score but for rounding
    assert evaluator.score(path).loss == pytest.approx(score.loss, rel=1e-5)


def test_images_may_be_read_anew_in_each_pass(evaluator):
    """Recalibration images that do not fit into memory are read once for all paths of a tree."""

    class Stream:
        passes = 0

        def __init__(self, whole: Images):
            self.whole = whole

        def batches(self, size: int):
            self.passes += 1
            yield from self.whole.batches(size)

    paths = [Arch((0, 1, 2, 3, 0)), Arch((3, 1, 2, 3, 0))]
    expected = evaluator.scores(paths)
    evaluator.recalibration, evaluator.held_out = Stream(evaluator.recalibration), Stream(evaluator.held_out)
    assert evaluator.scores(paths) == expected
    assert evaluator.recalibration.passes == evaluator.held_out.passes == 1


def test_company_and_order_change_no_score(evaluator, monkeypatch):
    rng = np.random.default_rng(0)
    paths = [Arch(tuple(rng.integers(4, size=5))) for _ in range(12)]
    alone = {path: evaluator.score(path) for path in paths}
    assert len({score.loss for score in alone.values()}) == len(set(paths))
    for together in (128, 3, 2, 1):
        monkeypatch.setattr(evaluator_module, "TOGETHER", together)
        group = [paths[k] for k in rng.integers(len(paths), size=rng.integers(2, 9))]  # some of them twice
        assert evaluator.scores(group) == [alone[path] for path in group]
    assert evaluator.scores([]) == []


@pytest.mark.parametrize("statistics", ["recalibrated", "batch"])
@pytest.mark.parametrize("probe", [False, True])
def test_trees_side_by_side_change_no_score(evaluator, statistics, probe):
    if probe:
        evaluator.classifier = 3
    evaluator.batch_statistics = statistics == "batch"
    rng = np.random.default_rng(0)
    paths = [Arch(tuple(rng.integers(4, size=5))) for _ in range(7)]
    expected = evaluator.scores(paths)
    assert len({score.loss for score in expected}) == len(set(paths))
    evaluator.side_by_side = SideBySide(evaluator.supernet, 3)
    for _ in range(3):
        assert evaluator.scores(paths) == expected


def test_a_supernet_without_pieces_scores_the_same(evaluator):
    paths = [Arch((0, 1, 2, 3, 0)), Arch((0, 1, 2, 0, 1)), Arch((3, 1, 2, 3, 0))]
    expected = evaluator.scores(paths)
    evaluator.supernet = OnePiece(evaluator.supernet).eval()
    assert evaluator.scores(paths) == expected


def test_common_beginnings_are_computed_once(evaluator):
    runs = dict.fromkeys(["conv1", "layer1.0.0", "layer1.1.1", "layer2.0.3"], 0)

    def count(name: str):
        def hook(*_: object) -> None:
            runs[name] += 1

        return hook

    for name in runs:
        evaluator.supernet.get_submodule(name).register_forward_hook(count(name))
    evaluator.scores([Arch((0, 1, 0, 0, 0)), Arch((0, 1, 3, 0, 0)), Arch((0, 2, 3, 0, 0)), Arch((0, 1, 3, 1, 2))])
    passes = 2 * 3  # three batches to recalibrate, three to score
    assert runs == {"conv1": passes, "layer1.0.0": passes, "layer1.1.1": passes, "layer2.0.3": 2 * passes}


def test_no_trace_is_left(evaluator):
    before = {k: v.clone() for k, v in evaluator.supernet.state_dict().items()}
    modes = [m.training for m in evaluator.supernet.modules()]
    evaluator.scores([Arch((0, 1, 2, 3, 0)), Arch((3, 1, 2, 3, 0))])
    evaluator.classifier = nn.Linear(1, 1)
    with pytest.raises(RuntimeError):  # an error within a walk
        evaluator.scores([Arch((0, 1, 2, 3, 0))])
    assert all(torch.equal(v, before[k]) for k, v in evaluator.supernet.state_dict().items())
    assert [m.training for m in evaluator.supernet.modules()] == modes


def test_half_precision_keeps_fp32_statistics_and_close_scores(evaluator):
    paths = [Arch((0, 1, 2, 3, 0)), Arch((3, 1, 2, 3, 0))]

    def measured():
        with evaluator.recalibrate(paths[0]):
            return evaluator.scores(paths), evaluator.supernet.get_submodule("layer4.0.0.bn3").running_var.clone()

    expected, variance = measured()
    with torch.autocast("cpu", torch.bfloat16):
        rounded, rounded_variance = measured()
    assert rounded != expected
    assert rounded_variance.dtype == torch.float32
    torch.testing.assert_close(rounded_variance, variance, rtol=0.05, atol=0.01)
    assert [s.loss for s in rounded] == pytest.approx([s.loss for s in expected], rel=0.02)
