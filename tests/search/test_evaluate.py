"""Scores of candidates together: equal to those of each alone by plain passes, to the bit in any group and order."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.search import evaluate
from pinas_zoo.search.batchnorm import Statistics, recalibrated, restored
from pinas_zoo.search.data import Images
from pinas_zoo.search.evaluate import Evaluator, PathTree, Score
from pinas_zoo.search.space import Supernet, step_rng
from pinas_zoo.search.spaces.resnest50 import Space

TINY = dict(depths=(1, 2, 1, 1), widths=(16, 16, 16, 16), stem_width=8, zero_init_last=False)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float().div(128) - 1


def images(count: int, seed: int) -> Images:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.randint(0, 5, (count,), generator=generator))


@pytest.fixture
def space() -> Space:
    return Space(**TINY)


@pytest.fixture
def evaluator(space) -> Evaluator:
    torch.manual_seed(0)
    supernet = space.supernet()
    with torch.no_grad():
        for module in supernet.modules():
            if isinstance(module, nn.BatchNorm2d):  # as learning would have left them: no two alike
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.3)
    classifier = nn.Linear(supernet.num_features, 5)
    return Evaluator(supernet, classifier, images(21, 1), images(19, 2), normalise, batch_size=8)


def paths(space: Space, count: int, seed: int) -> list[Arch]:
    """Neighbours of each other and strangers, some of them twice."""
    rng = step_rng(seed, 0, 0)
    found = [Arch(tuple(rng.integers(4, size=space.num_layers))) for _ in range(count // 2)]
    for arch in found[: count - len(found)]:
        choices = list(arch)
        choices[int(rng.integers(len(choices)))] = int(rng.integers(4))
        found.append(Arch(tuple(choices)))
    return found


@torch.no_grad()
def plain_score(evaluator: Evaluator, path: Arch) -> Score:
    """By torch alone: training mode for the statistics, then evaluation mode, the whole network at a time."""
    supernet, correct, loss = evaluator.supernet, 0, 0.0
    state = {key: value.clone() for key, value in supernet.state_dict().items()}
    norms = [m for m in supernet.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    supernet.train()
    for batch in evaluator.recalibration.batches(8):
        supernet(normalise(batch["pixels"]), path)
    supernet.eval()
    for batch in evaluator.held_out.batches(8):
        logits = evaluator.classifier(supernet(normalise(batch["pixels"]), path))
        correct += int((logits.argmax(1) == batch["labels"]).sum())
        loss += float(F.cross_entropy(logits, batch["labels"], reduction="sum"))
    supernet.load_state_dict(state)
    for norm in norms:
        norm.momentum = 0.1
    return Score(correct / 19, loss / 19)


def test_scores_equal_plain_passes(space, evaluator):
    some = paths(space, 12, seed=0)
    for path, score in zip(some, evaluator.scores(some), strict=True):
        plain = plain_score(evaluator, path)
        assert score.accuracy == plain.accuracy
        assert score.loss == pytest.approx(plain.loss, rel=1e-5)
    assert len({score.loss for score in evaluator.scores(some)}) == len(set(some))


def test_scores_are_the_same_to_the_bit_in_any_group_and_order(space, evaluator, monkeypatch):
    some = paths(space, 16, seed=1)
    alone = {path: evaluator.score(path) for path in some}
    for trial in range(6):
        rng = step_rng(trial, 0, 0)
        group = [some[k] for k in rng.choice(len(some), size=int(rng.integers(2, 17)))]  # with repeats
        monkeypatch.setattr(evaluate, "TOGETHER", int(rng.integers(1, 9)))
        assert evaluator.scores(group) == [alone[path] for path in group]
    assert evaluator.scores([]) == []


def test_a_space_without_a_tree_scores_the_same(space, evaluator, monkeypatch):
    some = paths(space, 6, seed=2)
    expected = evaluator.scores(some)
    monkeypatch.setattr(type(evaluator.supernet), "pieces", Supernet.pieces)  # the default: a path in one piece
    assert len(PathTree(evaluator.supernet, some)) == len(set(some))
    assert evaluator.scores(some) == expected


def test_shared_prefixes_are_computed_once(space, evaluator, monkeypatch):
    some = [Arch.parse(text) for text in ("00000", "00001", "00011", "10000", "00000")]
    calls: Counter[str] = Counter()
    for name, module in evaluator.supernet.named_modules():
        if name.count(".") == 2 and name.startswith("layer"):
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
    evaluator.supernet.conv1.register_forward_hook(lambda *_: calls.update(["stem"]))
    evaluator.scores(some)
    batches = 3 + 3  # 21 and 19 images in batches of 8, in one pass each
    prefixes = {(name, str(path)[: depth + 1]) for path in some for depth, name in enumerate("abcde")}
    assert calls.pop("stem") == batches
    assert sum(calls.values()) == batches * len(prefixes)
    assert len(PathTree(evaluator.supernet, some)) == len(prefixes) + 1 + 4  # the stem, and a pooling a path


def test_scoring_leaves_no_trace_and_an_error_neither(space, evaluator):
    supernet = evaluator.supernet
    before = {key: (value.data_ptr(), value.clone()) for key, value in supernet.state_dict().items()}
    evaluator.scores(paths(space, 4, seed=3))
    evaluator.classifier = nn.Linear(1, 1)
    with pytest.raises(RuntimeError):
        evaluator.scores(paths(space, 4, seed=3))
    for key, value in supernet.state_dict().items():
        assert value.data_ptr() == before[key][0], key
        assert torch.equal(value, before[key][1]), key
    assert not any(m.training for m in supernet.modules())
    assert {m.momentum for m in supernet.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


def test_images_may_be_read_anew_in_each_pass(space, evaluator):
    """Streamed batches, as for recalibration images that do not fit into memory, give the same scores."""

    class Stream:
        def __init__(self, whole: Images):
            self.whole, self.passes, self.held = whole, 0, 0

        def batches(self, size: int):
            self.passes += 1
            for start in range(0, len(self.whole), size):
                yield self.whole.subset(range(start, min(start + size, len(self.whole)))).batch()

    some = paths(space, 4, seed=4)
    expected = evaluator.scores(some)
    evaluator.recalibration = stream = Stream(evaluator.recalibration)
    assert evaluator.scores(some) == expected
    assert stream.passes == 1


def test_statistics_under_bf16_autocast_are_fp32_and_close(space, evaluator):
    supernet, path = evaluator.supernet, Arch.parse("01231")
    x = normalise(images(32, 5).pixels)
    modules = [module for _, module in supernet.path_modules(path)]

    def run(enabled: bool):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            yield supernet(x, path)

    found = []
    for enabled in (False, True):
        with recalibrated(modules, run(enabled)):
            buffers = dict(supernet.named_buffers())
            found.append({k: v.clone() for k, v in buffers.items() if "running" in k and v.abs().sum() > 0})
    for key, value in found[1].items():
        assert value.dtype == torch.float32
        assert not torch.equal(value, found[0][key])
        spread = found[0][key.replace("running_mean", "running_var")].mean()
        error = (value - found[0][key]).pow(2).mean().sqrt() / (spread.sqrt() if "mean" in key else spread)
        assert error < 0.05, key


def test_statistics_of_a_half_precision_norm_are_fp32():
    norm = nn.BatchNorm2d(3).half()
    assert Statistics(norm).mean.dtype == torch.float32
    assert Statistics(nn.BatchNorm2d(3).double()).var.dtype == torch.float64
    with pytest.raises(ValueError, match="running statistics"):
        Statistics(nn.BatchNorm2d(3, track_running_stats=False))
    with restored(norm):
        Statistics(norm).install(calibrate=True)
        assert norm.running_mean.dtype == torch.float32
    assert norm.running_mean.dtype == torch.float16
