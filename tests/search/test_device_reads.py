"""Nothing in a training step, or in scoring a candidate, reads a value back from the device, which would make it wait.

Steps that are logged are an exception (:mod:`pinas_zoo.engine.trainable`). So are methods that sample paths from logits
that they learn, because the host has to know which modules run. The loss scaling of fp16 is one in phases with an
optimiser of their own, whose scaler asks whether all gradients are finite. The forward and backward passes of fp16 are
tested without a scaler, and the stage's SGD with one in tests/engine/test_fused_sgd.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from mmengine.optim import OptimWrapperDict
from torch import nn

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import Images, ViewsOptions
from pinas_zoo.data.loader import BatchPart
from pinas_zoo.data.options import Views
from pinas_zoo.engine.fused_sgd import FusedSGD
from pinas_zoo.engine.optim_wrappers import DistributedOptimWrapper
from pinas_zoo.engine.trainable import Trainable
from pinas_zoo.engine.trainer import RunnerModel
from pinas_zoo.search.methods.base import METHODS, build_method
from pinas_zoo.search.scorers import evaluator, two_views
from pinas_zoo.search.scorers.consistency import ConsistencyScorer
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.identification import IdentificationScorer
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.stages.linear import LinearEvaluation
from pinas_zoo.train.classifier import Classifier
from pinas_zoo.train.config import Recipe
from tests.device_reads import DeviceRead, no_device_reads

SPACES: dict[str, dict[str, Any]] = {
    "resnest50": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1),
}
SMALL = dict(queue_size=16, dim=8)
TRAINED = {  # the network and its options, of every built-in method and of the other stages
    "pinas": ("pinas", SMALL),
    "pinas, warm queue": ("pinas", dict(SMALL, warm_queue=True, head_norm=True)),
    "pinas without negatives": ("pinas", dict(SMALL, negatives=False)),
    "pinas without teacher": ("pinas", dict(SMALL, mean_teacher=False, cross_path=False, augmented_views=False)),
    "pinas in groups": ("pinas", dict(SMALL, batch_norm_images=4)),
    "spos": ("spos", {}),
    "fairnas": ("fairnas", {}),
    "fairnas, a path": ("fairnas", dict(update="path")),
    "fbnetv2": ("fbnetv2", {}),
    "wpl": ("wpl", dict(steps_per_path=2, start=0.0)),
    "nsas": ("nsas", dict(archive_size=2)),
    "linear": ("linear", {}),
    "linear in groups": ("linear", dict(batch_norm_images=4)),
    "train": ("train", {}),
}


# the sampled path says which modules run, and follows from logits on the device
LEARNED_PATHS = {"tunas", "proxylessnas", "gdas", "gdas_nsas"}
NEEDS_A_TEACHER = {"dna"}


def network(name: str, options: dict[str, Any], space_name: str) -> Trainable:
    torch.manual_seed(0)
    space = build_space(SPACES[space_name])
    if name == "linear":
        return LinearEvaluation(space, space.supernet(), 10, 0, **options)
    if name == "train":
        (path,) = space.sample(np.random.default_rng(0))
        alone = timm.create_model(space.architecture, **space.model_args(path), num_classes=10)
        return Classifier(alone, Recipe(), torch.arange(10), 10, 1)
    return build_method(name, options, space, 10, 0)


def run_steps(trained: Trainable, precision: str, channels_last: bool, first: int, count: int) -> None:
    """Steps as the trainer takes them, with views that are made in the step."""
    model = RunnerModel(
        trained, BatchViews(Views(), (0.5,) * 3, (0.25,) * 3), precision, channels_last, steps=8
    ).train()
    wrapper = OptimWrapperDict(
        **{
            phase.name: DistributedOptimWrapper(
                optimizer=FusedSGD(
                    [p for p in trained.parameters_of(phase) if p.requires_grad],
                    lr=0.1,
                    momentum=0.9,
                    weight_decay=1e-4,
                )
            )
            for phase in trained.phases
        }
    )
    images = Images(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8), torch.arange(8))
    views = ViewsOptions(Views(), trained.num_views, 0)
    splits = {phase.split for phase in trained.phases}
    batches = [
        {split: images.step_batch(BatchPart(k, 0, list(range(8))), views) for split in splits} | {"step": k}
        for k in range(8)
    ]
    for batch in batches[first : first + count]:
        with no_device_reads():
            model.train_step(batch, wrapper)


def test_the_table_has_every_built_in_method():
    assert {name for name, _ in TRAINED.values()} | LEARNED_PATHS | NEEDS_A_TEACHER >= set(METHODS)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("case", TRAINED)
def test_a_step_reads_nothing_back(case, space):
    run_steps(network(*TRAINED[case], space), "fp32", False, 0, 3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("case", ["pinas", "pinas in groups", "spos", "fairnas", "linear in groups", "train"])
def test_a_step_reads_nothing_back_in_any_precision(case, precision):
    run_steps(network(*TRAINED[case], "resnest50"), precision, True, 0, 2)


READS = {
    "item": lambda x: x.item(),
    "float": float,
    "int": int,
    "tolist": lambda x: x.tolist(),
    "if": lambda x: 1 if x > 0 else 0,
    "cpu": lambda x: x.cpu(),
    "numpy": lambda x: x.detach().numpy(),
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "text": lambda x: f"{x}",
    "tensor": lambda x: torch.tensor([x, x]),
    "scalar argument": lambda x: torch.add(x, x, alpha=x.detach()),
    "momentum of batch norm": lambda x: nn.BatchNorm1d(1, momentum=None)(x.expand(2, 1)),
    "solve": lambda x: torch.linalg.solve(torch.eye(1), x.view(1, 1)),
}


@pytest.mark.parametrize("read", READS)
def test_the_mode_sees_a_read(read):
    with no_device_reads(), pytest.raises(DeviceRead):
        READS[read](torch.ones((), requires_grad=True))


@pytest.mark.parametrize("read", ["item", "if", "mask"])
@pytest.mark.parametrize("case", ["pinas", "spos", "linear"])
def test_the_mode_sees_a_read_in_a_step(case, read, monkeypatch):
    trained = network(*TRAINED[case], "nasbench201")
    losses = trained.losses

    def reading(*args: Any) -> dict[str, torch.Tensor]:
        found = losses(*args)
        READS[read](found["loss"])
        return found

    monkeypatch.setattr(trained, "losses", reading)
    with pytest.raises(DeviceRead):
        run_steps(trained, "fp32", False, 0, 1)


def test_the_mode_sees_a_read_in_the_backward_pass():
    y = torch.ones(2, requires_grad=True) * 2
    y.register_hook(lambda gradient: None if gradient.sum() > 0 else gradient)
    with no_device_reads(), pytest.raises(DeviceRead):
        y.sum().backward()


# scoring, on the meta device: its tensors have no values, so that a read of one is an error of torch -----------------


class OnMeta:
    """Counts the reads of results, which it answers with zeros."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self, values: list[torch.Tensor]) -> list[float]:
        assert all(value.is_meta for value in values)
        self.reads += 1
        return [0.0] * len(values)


@pytest.fixture
def on_meta(monkeypatch) -> OnMeta:
    reader = OnMeta()
    for module in (evaluator, two_views):
        monkeypatch.setattr(module, "get_device", lambda: "meta")
        monkeypatch.setattr(module, "read_numbers", reader)
    return reader


IMAGES = Images(torch.randint(0, 256, (24, 3, 32, 32), dtype=torch.uint8), torch.arange(24) % 3)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("statistics", ["recalibrated", "batch"])
@pytest.mark.parametrize("probe", [False, True])
def test_scores_are_read_once_for_all_candidates(probe, statistics, count, on_meta):
    space = build_space(SPACES["resnest50"])
    supernet = space.supernet()
    classifier = 3 if probe else nn.Linear(supernet.num_features, 3)
    scorer = PathEvaluator(supernet, classifier, IMAGES, IMAGES, lambda x: x.float(), 8, statistics)
    paths = [space.parse(f"{k % 4}{k // 4}00") for k in range(count)]
    assert len(scorer.scores(paths)) == count
    assert on_meta.reads == 1


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("kind", [ConsistencyScorer, IdentificationScorer])
def test_label_free_scores_are_read_once_for_all_candidates(kind, count, on_meta):
    space = build_space(SPACES["resnest50"])
    scorer = kind(
        space.supernet(), IMAGES, lambda x, generator: x.float().unsqueeze(1).expand(-1, 2, -1, -1, -1), batch_size=8
    )
    paths = [space.parse(f"{k % 4}{k // 4}00") for k in range(count)]
    assert len(scorer.scores(paths)) == count
    assert on_meta.reads == 1
