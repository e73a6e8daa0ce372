"""The contract of methods that learn more than weights: each phase moves its own, and a run ends in an architecture."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.options import Views
from pinas_zoo.engine import trainer
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from pinas_zoo.search.methods.base import Method, build_method
from pinas_zoo.search.spaces.base import build_space

ROOT = Path(__file__).resolve().parents[3]
SPACES: dict[str, dict[str, Any]] = {
    "resnest50": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1),
}
CASES: dict[str, dict[str, Any]] = {  # learn.options
    "dna": dict(pretrained=False),
    "fbnetv2": {},
    "tunas": {},
}
TEACHERS = {"resnest50": "test_resnet", "nasbench201": "nasbench201"}  # with maps of the supernet's strides
CHOOSE = ("fbnetv2", "tunas")


def options_of(name: str, space: str) -> dict[str, Any]:
    return {**CASES[name], **(dict(teacher=TEACHERS[space]) if name == "dna" else {})}


def configuration(method: str, space: str, **more: Any) -> dict[str, Any]:
    return dict(
        name="contract",
        space=SPACES[space],
        data=dict(type="digits", image_size=32, val_per_class=8, workers=0),
        views=dict(flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0),
        learn=dict(
            method=method,
            options=options_of(method, space),
            steps=8,
            batch_size=16,
            lr=0.01,
            log_every=1,
            checkpoint_every=5,
        ),
        explore=dict(evaluations=4, recalibration_images=32),
        train=dict(enabled=False),
        **more,
    )


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / "learn" / "curve.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def make(name: str, space: str) -> Method:
    torch.manual_seed(0)
    return build_method(name, options_of(name, space), build_space(SPACES[space]), 10, 0, image_size=32).train()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", CASES)
def test_a_phase_moves_its_own_parameters_alone(name, space):
    method = make(name, space)
    method.prepare()
    model = trainer.RunnerModel(method, BatchViews(Views(), (0.5,) * 3, (0.25,) * 3), steps=8).train()
    made = torch.randint(0, 256, (8, 1, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    owners: dict[str, str] = {}
    for phase in method.phases:
        own = {id(p) for p in method.parameters_of(phase)}
        for key, p in method.named_parameters():
            if id(p) in own:
                assert key not in owners  # two phases do not share a parameter
                owners[key] = phase.name
        with model.alone(phase):
            losses = model(views=made, labels=torch.arange(8), step=7, phase=phase)
            sum(value for key, value in losses.items() if "loss" in key).backward()
        moved = {id(p) for p in method.parameters() if p.grad is not None}
        assert moved, phase
        assert moved <= own, phase
        method.zero_grad(set_to_none=True)
    assert set(owners) == {key for key, p in method.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("name", "space"), [("dna", "nasbench201"), ("fbnetv2", "resnest50"), ("tunas", "nasbench201")]
)
def test_a_run_ends_in_an_architecture(name, space, tmp_path, zoo_home):
    run = tmp_path / "run"  # of so few steps that the search may say that it learned nothing
    result = search(configuration(name, space), work_dir=run, say=lambda text: None, register_anyway=True)
    searched = build_space(SPACES[space])
    assert searched.parse(str(result.winner)) == result.winner
    done = json.loads((run / "learn" / "done.json").read_text())
    if name in CHOOSE:
        assert done["chosen"] == str(result.winner)
        assert len(result.ranking) == 1
    assert timm.create_model("contract_winner", pretrained=True).num_classes == 10


def test_the_best_within_the_limits_are_listed_by_traversal(tmp_path, zoo_home):
    config = configuration("dna", "resnest50")
    searched = build_space(SPACES["resnest50"])
    limit = sorted(searched.cost(searched.parse(f"{c}000"), 32)[1] for c in range(4))[1]
    config["explore"] |= dict(sampler="traversal", evaluations=6, max_flops_g=limit)
    result = search(config, work_dir=tmp_path / "run", say=lambda text: None)
    assert len(result.ranking) == 6
    assert all(searched.cost(row.arch, 32)[1] <= limit for row in result.ranking)
    assert result.winner == result.ranking[0].arch
    assert (tmp_path / "run" / "report.html").is_file()
    config["learn"] |= dict(method="spos", options={})
    with pytest.raises(UserError, match="sums over stages"):
        search(config, work_dir=tmp_path / "other", say=lambda text: None)


@pytest.mark.parametrize(("name", "space"), [("dna", "resnest50"), ("fbnetv2", "nasbench201"), ("tunas", "resnest50")])
def test_a_stopped_run_ends_bitwise_where_an_undisturbed_one_does(name, space, tmp_path, zoo_home, monkeypatch):
    config = configuration(name, space, until="learn")
    search(config, work_dir=tmp_path / "whole", say=lambda text: None)
    save = trainer.StepHook.save

    def save_then_stop(self, runner, step):
        save(self, runner, step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer.StepHook, "save", save_then_stop)
        with pytest.raises(KeyboardInterrupt):
            search(config, work_dir=tmp_path / "stopped", say=lambda text: None)
    search(config, work_dir=tmp_path / "stopped", say=lambda text: None)
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")
    for file in (tmp_path / "whole" / "learn").glob("*.safetensors"):
        assert (tmp_path / "stopped" / "learn" / file.name).read_bytes() == file.read_bytes()
    chosen = [
        json.loads((tmp_path / run / "learn" / "done.json").read_text()).get("chosen") for run in ("whole", "stopped")
    ]
    assert chosen[0] == chosen[1]


@pytest.mark.slow  # a process group for each method
@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_as_one_where_no_norm_sees_a_batch(name, tmp_path, zoo_home):
    space = str(Path(__file__).parent / "norm_free.py")
    config = configuration(name, "resnest50", until="learn")
    config["space"] = dict(type=space)
    file = tmp_path / "two.py"
    file.write_text("\n".join(f"{key} = {value!r}" for key, value in config.items()))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    for count in (1, 2):
        words = ["--nproc-per-node", str(count), "-m", "pinas_zoo.cli", "search", str(file)]
        run = subprocess.run(
            [*command, *words, "--work-dir", str(tmp_path / str(count))],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
    one, two = (curve(tmp_path / count) for count in "12")
    assert [row.keys() for row in one] == [row.keys() for row in two]
    for a, b in zip(one, two, strict=True):
        assert {k: float(v) for k, v in a.items() if v} == pytest.approx(
            {k: float(v) for k, v in b.items() if v}, rel=1e-3, abs=1e-5
        )
    for path in (tmp_path / "1" / "learn").glob("*.safetensors"):
        for key, value in load_file(path).items():
            torch.testing.assert_close(
                load_file(tmp_path / "2" / "learn" / path.name)[key], value, rtol=1e-3, atol=1e-5, msg=key
            )
