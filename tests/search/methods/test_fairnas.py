"""FairNAS: what a round trains, and the two ways of updating, compared with SGD by hand and with a stopped run."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.arch import Arch
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.options import Views
from pinas_zoo.engine import trainer
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from pinas_zoo.search.config import Learn
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import build_space
from tests.search.methods.test_interface import configuration, curve

TWO = ("nor_conv_1x1", "nor_conv_3x3")
LR, MOMENTUM, DECAY = 0.1, 0.9, 1e-3


def make(update: str, operations: tuple[str, ...] = TWO):
    torch.manual_seed(0)
    space = build_space(dict(type="nasbench201", operations=operations, channels=4, cells=1))
    return build_method("fairnas", dict(update=update), space, 10, 0).train()


def batch(step: int) -> dict[str, torch.Tensor]:
    """Eight images of a step, as the loader gives them, and their labels."""
    generator = torch.Generator().manual_seed(step)
    return {
        "views": torch.randint(0, 256, (8, 1, 3, 16, 16), dtype=torch.uint8, generator=generator),
        "labels": torch.arange(8),
    }


def train(method, steps: int):
    """Steps of the trainer itself."""
    model = trainer.RunnerModel(method, BatchViews(Views(), (0.5,) * 3, (0.25,) * 3), steps=steps).train()
    options = Learn(method="fairnas", lr=LR, momentum=MOMENTUM, weight_decay=DECAY, batch_size=8)
    wrappers = trainer.optimisers(model, options)
    for step in range(steps):
        model.train_step({"train": batch(step), "step": step}, wrappers)
    return method


def train_by_hand(method, updates: list[list[tuple[Arch, int]]]):
    """SGD with momentum and weight decay; the gradients of an update's (path, step of the images) are added."""
    views = BatchViews(Views(), (0.5,) * 3, (0.25,) * 3)
    parameters, velocity = list(method.parameters()), {}
    for update in updates:
        total: dict[int, torch.Tensor] = {}
        for path, step in update:
            images = views.normalise(batch(step)["views"])[:, 0]
            loss = F.cross_entropy(method.fc(method.supernet(images, path)), batch(step)["labels"])
            for k, grad in enumerate(torch.autograd.grad(loss, parameters, allow_unused=True)):
                if grad is not None:
                    total[k] = total[k] + grad if k in total else grad
        with torch.no_grad():
            for k, grad in total.items():  # what no path uses stays as it is: no decay, no momentum
                grad = grad + DECAY * parameters[k]
                velocity[k] = MOMENTUM * velocity[k] + grad if k in velocity else grad
                parameters[k] -= LR * velocity[k]
    return method


def assert_same(one, other) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("update", ["path", "round"])
def test_every_candidate_of_every_layer_is_trained_once_a_round(update):
    method = make(update, ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"))
    steps = 5 if update == "path" else 1
    for number in range(30):
        paths = [path for step in range(steps) for path in method.sample_paths(number * steps + step)]
        assert len(paths) == 5
        for layer in range(6):
            assert sorted(path[layer] for path in paths) == [0, 1, 2, 3, 4]
    assert len(method.sample_paths(0)) * steps == 5


def test_an_update_per_path_is_sgd_on_one_path_after_the_other():
    method = make("path")
    by_hand = copy.deepcopy(method)
    paths = [method.sample_paths(step) for step in range(4)]
    assert all(a != b for a, b in zip(paths[0][0], paths[1][0], strict=True))
    train_by_hand(by_hand, [[(path, step)] for step, (path,) in enumerate(paths)])
    assert_same(train(method, 4), by_hand)


def test_an_update_per_round_is_sgd_on_the_sum_of_the_gradients():
    method = make("round")
    by_hand = copy.deepcopy(method)
    updates = [[(path, step) for path in method.sample_paths(step)] for step in range(3)]
    assert [len(update) for update in updates] == [2, 2, 2]
    train_by_hand(by_hand, updates)
    assert_same(train(method, 3), by_hand)


def test_with_one_candidate_both_are_the_same():
    per_path, per_round = make("path", TWO[1:]), make("round", TWO[1:])
    assert [per_path.sample_paths(step) for step in range(3)] == [[Arch((0,) * 6)]] * 3
    assert_same(train(per_path, 3), train(per_round, 3))
    other = train(make("path"), 4).fc.weight, train(make("round"), 2).fc.weight
    assert not torch.allclose(*other)  # with two they differ


def test_a_run_that_stopped_within_a_round_ends_where_an_undisturbed_one_does(tmp_path, zoo_home, monkeypatch):
    config = configuration("gdas", "nasbench201", options=dict(update="path"), checkpoint_every=3)
    config["learn"]["method"] = "fairnas"
    config["until"] = "learn"  # six steps, rounds of five: the checkpoint is inside the first
    whole = search(config, work_dir=tmp_path / "whole", say=lambda text: None)
    save = trainer.StepHook.save

    def save_then_stop(self, runner, step):
        save(self, runner, step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer.StepHook, "save", save_then_stop)
        with pytest.raises(KeyboardInterrupt):
            search(config, work_dir=tmp_path / "stopped", say=lambda text: None)
    search(config, work_dir=tmp_path / "stopped", say=lambda text: None)
    assert curve(tmp_path / "stopped") == curve(whole.folder)
    for name in ("supernet", "classifier"):
        files = [folder / "learn" / f"{name}.safetensors" for folder in (tmp_path / "stopped", whole.folder)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_an_unknown_update_is_named():
    with pytest.raises(UserError, match="expected update to be 'round' or 'path', got 'step'"):
        make("step")
