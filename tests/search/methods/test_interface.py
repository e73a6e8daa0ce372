"""The interface holds what the field needs: gates, phases with data of their own, stages, a choice, a score of its own.

Three methods written in full, each in fewer than 60 lines, go the whole way to a winner that loads by name.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import Images, ViewsOptions
from pinas_zoo.data.loader import BatchPart
from pinas_zoo.data.options import Views
from pinas_zoo.engine import trainer
from pinas_zoo.search import search
from pinas_zoo.search.config import parse_config
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import build_space
from tests.golden import seeded_input

EXAMPLES = Path(__file__).parent / "examples"
SPACES = {
    "resnest50": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1),
}


def configuration(method: str, space: str = "resnest50", **learn: object) -> dict[str, object]:
    return dict(
        name="example",
        space=SPACES[space],
        data=dict(type="digits", image_size=32, val_per_class=8, workers=0),
        views=dict(flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
        learn={
            **dict(method=str(EXAMPLES / f"{method}.py"), steps=6, batch_size=16, log_every=1, checkpoint_every=2),
            **learn,
        },
        linear=dict(steps=2, batch_size=16),
        explore=dict(evaluations=4, recalibration_images=32),
        train=dict(enabled=False),
    )


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "learn" / "curve.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["gdas", "reinforce", "blockwise"])
def test_an_example_is_short(name):
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 60


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", ["gdas", "reinforce"])
def test_a_method_with_a_phase_on_held_out_images_chooses_its_architecture(method, space, tmp_path, zoo_home):
    said: list[str] = []
    result = search(configuration(method, space), work_dir=tmp_path / "run", say=said.append, register_anyway=True)
    rows = curve(tmp_path / "run")
    second = {"gdas": "gates", "reinforce": "controller"}[method]
    assert f"{second}.loss" in rows[-1]
    assert "loss" in rows[-1]
    done = json.loads((tmp_path / "run" / "learn" / "done.json").read_text())
    assert str(result.winner) == done["chosen"]
    assert len(result.ranking) == 1  # no exploration
    assert timm.create_model("example_winner", pretrained=True).num_classes == 10
    again = search(configuration(method, space), work_dir=tmp_path / "run", say=lambda text: None)
    assert again.winner == result.winner


def test_a_late_phase_starts_when_it_says(tmp_path, zoo_home):
    config = {**configuration("reinforce", steps=8), "until": "learn"}
    search(config, work_dir=tmp_path / "run", say=lambda text: None)
    rows = curve(tmp_path / "run")
    # a quarter of the steps is warm-up
    assert [bool(row["controller.loss"]) for row in rows] == [False, False, *[True] * 6]
    assert all(row["loss"] for row in rows)


def test_block_wise_distillation_scores_paths_by_its_own_losses(tmp_path, zoo_home):
    result = search(configuration("blockwise"), work_dir=tmp_path / "run", say=lambda text: None)
    assert len(result.ranking) == 4
    assert all(row.score == pytest.approx(-row.loss, abs=2e-5) for row in result.ranking)
    assert result.winner == result.ranking[0].arch
    assert not (tmp_path / "run" / "linear").exists()


@pytest.mark.parametrize("method", ["gdas", "reinforce"])
def test_a_run_that_was_stopped_ends_where_an_undisturbed_one_does(method, tmp_path, zoo_home, monkeypatch):
    """Both optimisers, the second split's batches and what a phase remembers are in the checkpoint."""
    config = {**configuration(method), "until": "learn"}
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
    files = [f / "learn" / "supernet.safetensors" for f in (tmp_path / "stopped", whole.folder)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_phase_updates_its_own_parameters_alone():
    torch.manual_seed(0)
    method = build_method(str(EXAMPLES / "gdas.py"), {}, build_space(SPACES["resnest50"]), 10, 0)
    views = BatchViews(Views(), (0.5,) * 3, (0.25,) * 3)
    model = trainer.RunnerModel(method, views, steps=2).train()
    made = torch.randint(0, 256, (8, 1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = {"views": made, "labels": torch.arange(8)}
    for phase, frozen in ((method.phases[0], method.gates), (method.phases[1], method.fc.weight)):
        with model.alone(phase):
            model(**data, step=0, phase=phase)["loss"].backward()
        assert frozen.grad is None
        assert all(p.requires_grad for p in method.parameters())
        method.zero_grad(set_to_none=True)


# gates and stages of a supernet -------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
def test_gates_of_one_path_compute_that_path(space):
    torch.manual_seed(0)
    searched = build_space(SPACES[space])
    supernet = searched.supernet().eval()
    x = seeded_input((2, 3, 32, 32), 0)
    for seed in range(3):
        (path,) = searched.sample(np.random.default_rng(seed))
        gates = torch.nn.functional.one_hot(torch.tensor(list(path)), searched.num_candidates).float()
        torch.testing.assert_close(supernet(x, gates), supernet(x, path), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", SPACES)
def test_gradients_reach_every_gate(space):
    torch.manual_seed(0)
    searched = build_space(SPACES[space])
    gates = torch.full((searched.num_layers, searched.num_candidates), 0.5, requires_grad=True)
    searched.supernet()(seeded_input((2, 3, 32, 32), 0), gates).square().sum().backward()
    zero = {"resnest50": 0, "nasbench201": searched.num_layers}[space]  # the gates of `none`, whose output is zero
    assert int((gates.grad == 0).sum()) == zero


@pytest.mark.parametrize("space", SPACES)
def test_stages_chained_are_the_whole_supernet(space):
    torch.manual_seed(0)
    searched = build_space(SPACES[space])
    supernet = searched.supernet().eval()
    (path,) = searched.sample(np.random.default_rng(0))
    x = images = seeded_input((2, 3, 32, 32), 0)
    for k in range(supernet.num_stages):
        x = supernet.stage(k, x, path)
        assert x.shape[1] == supernet.stage_channels[k]
    assert torch.equal(supernet.pool(x), supernet(images, path))


# a step leaves values on the device; tests/search/test_device_reads.py tests it without a GPU --------------------


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["pinas", "spos", "fairnas"])
def test_a_training_step_does_not_wait_for_the_gpu(name):
    space = build_space(SPACES["nasbench201"])
    method = build_method(name, dict(queue_size=16, dim=8) if name == "pinas" else {}, space, 10, 0).cuda()
    model = trainer.RunnerModel(method, BatchViews(Views(), (0.5,) * 3, (0.25,) * 3), steps=4).cuda().train()
    options = parse_config(dict(configuration("gdas", "nasbench201"), learn=dict(method=name, batch_size=8))).learn
    wrapper = trainer.optimisers(model, options)
    pixels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8).pin_memory()
    views = ViewsOptions(Views(), method.num_views, 0)
    images = Images(pixels, torch.arange(8).pin_memory())
    batches = [{"train": images.step_batch(BatchPart(k, 0, list(range(8))), views), "step": k} for k in range(3)]
    for k, batch in enumerate(batches):
        torch.cuda.set_sync_debug_mode("error" if k else "default")  # the first step allocates
        try:
            model.train_step(batch, wrapper)
        finally:
            torch.cuda.set_sync_debug_mode("default")
