"""The contract of methods that train single paths: what a step moves, how a run ends and resumes, what it warns of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.options import Views
from pinas_zoo.engine import trainer
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from pinas_zoo.search.config import Learn, parse_config
from pinas_zoo.search.methods import architecture_parameters, learned_paths, single_path
from pinas_zoo.search.methods.base import build_method, method_class
from pinas_zoo.search.plan import plan
from pinas_zoo.search.spaces.base import build_space
from tests.search.methods.test_interface import SPACES, configuration, curve

OPTIONS: dict[str, dict[str, Any]] = {
    "proxylessnas": dict(arch_start=0.0, arch_lr=0.1),
    "gdas": dict(arch_lr=0.1),
    "wpl": dict(steps_per_path=2, start=0.0),
    "nsas": dict(archive_size=2),
    "gdas_nsas": dict(archive_size=2, arch_lr=0.1),
}
CHOOSE = ("proxylessnas", "gdas", "gdas_nsas")
SPLITS = ("train", "held_out")


def make(name: str, space: str = "nasbench201", **options: Any):
    torch.manual_seed(0)
    return build_method(name, {**OPTIONS[name], **options}, build_space(SPACES[space]), 10, 0, 16).train()


def batches(step: int) -> dict[str, Any]:
    """Eight images of each split, as the loaders give them."""
    found: dict[str, Any] = {"step": step}
    for k, split in enumerate(SPLITS):
        generator = torch.Generator().manual_seed(2 * step + k)
        views = torch.randint(0, 256, (8, 1, 3, 16, 16), dtype=torch.uint8, generator=generator)
        found[split] = {"views": views, "labels": torch.arange(8)}
    return found


def used(method, paths) -> set[str]:
    """Names of the parameters of paths and of the classifier."""
    own = {id(p) for path in paths for _, module in method.supernet.path_modules(path) for p in module.parameters()}
    own |= {id(p) for p in method.fc.parameters()}
    return {name for name, p in method.named_parameters(remove_duplicate=False) if id(p) in own}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("name", OPTIONS)
def test_a_step_moves_the_weights_of_its_paths_and_the_logits_alone(name, space):
    method = make(name, space)
    model = trainer.RunnerModel(method, BatchViews(Views(), (0.5,) * 3, (0.25,) * 3), steps=6).train()
    wrappers = trainer.optimisers(model, Learn(method=name, lr=0.05, weight_decay=1e-3, batch_size=8))
    for step in range(5):
        paths = [*method.sample_paths(step), *(method.archive.paths if "nsas" in name else ())]
        before = {key: p.detach().clone() for key, p in method.named_parameters(remove_duplicate=False)}
        model.train_step(batches(step), wrappers)
        moved = {key for key, p in method.named_parameters(remove_duplicate=False) if not torch.equal(p, before[key])}
        logits = {"arch.logits"} & set(before)
        assert logits <= moved
        assert moved - logits <= used(method, paths)
        assert {"fc.weight", "fc.bias"} <= moved


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_ends_in_an_architecture_and_a_stopped_one_in_the_same(name, tmp_path, zoo_home, monkeypatch):
    """The checkpoint of step 3 lies within a path of WPL, and holds the archive and the logits."""
    config = configuration("gdas", "nasbench201", options=OPTIONS[name], steps=6, checkpoint_every=3)
    config["learn"]["method"] = name
    whole = search(config, work_dir=tmp_path / "whole", say=lambda text: None)
    assert build_space(SPACES["nasbench201"]).parse(str(whole.winner)) == whole.winner
    chosen = json.loads((tmp_path / "whole" / "learn" / "done.json").read_text()).get("chosen")
    assert (chosen == str(whole.winner) and len(whole.ranking) == 1) if name in CHOOSE else chosen is None
    save = trainer.StepHook.save

    def save_then_stop(self, runner, step):
        save(self, runner, step)
        raise KeyboardInterrupt

    config["until"] = "learn"
    with monkeypatch.context() as patch:
        patch.setattr(trainer.StepHook, "save", save_then_stop)
        with pytest.raises(KeyboardInterrupt):
            search(config, work_dir=tmp_path / "stopped", say=lambda text: None)
    search(config, work_dir=tmp_path / "stopped", say=lambda text: None)
    assert curve(tmp_path / "stopped") == curve(tmp_path / "whole")
    for file in ("supernet.safetensors", "classifier.safetensors"):
        whole_bytes, bytes_after = ((tmp_path / run / "learn" / file).read_bytes() for run in ("whole", "stopped"))
        assert bytes_after == whole_bytes
    assert json.loads((tmp_path / "stopped" / "learn" / "done.json").read_text()).get("chosen") == chosen


@pytest.mark.parametrize("name", OPTIONS)
def test_a_loss_at_chance_is_reported_kept_by_the_checkpoint_and_forgotten_after_it(name, monkeypatch):
    monkeypatch.setattr(single_path, "PATIENCE", 3)
    method = make(name)
    torch.nn.init.zeros_(method.fc.weight)  # all classes are equally probable
    batch = Batch(torch.zeros(4, 1, 3, 16, 16), torch.zeros(4, dtype=torch.long))
    for step in range(3):
        assert "nothing is learned" not in (method.warning() or "")
        method.losses(batch, step, method.phases[0])
    assert "nothing is learned" in (method.warning() or "")
    again = make(name)
    again.load_state_dict(method.state_dict())
    assert again.warning() == method.warning()
    with torch.no_grad():
        method.fc.bias[0] = 5.0  # the right class
    method.losses(batch, 3, method.phases[0])
    assert "nothing is learned" not in (method.warning() or "")


@pytest.mark.parametrize("name", CHOOSE)
def test_a_choice_without_preference_or_without_weights_is_reported(name, monkeypatch):
    monkeypatch.setattr(architecture_parameters, "PATIENCE", 1)
    method = make(name)
    phase = method.phases[1]
    method.after_update(0, phase)
    assert "prefer no candidate" in method.warning()
    with torch.no_grad():
        method.arch.logits[:, 3] = 9.0  # 3x3 convolutions
    method.after_update(1, phase)
    assert method.warning() is None
    with torch.no_grad():
        method.arch.logits[:, 1] = 99.0  # skip connections
    method.after_update(2, phase)
    assert "111111, has collapsed to candidates without weights" in (method.warning() or "")


def test_every_path_of_the_papers_space_has_weights():
    method = make("gdas", "resnest50")
    assert all(learned_paths.has_searched_weights(method.supernet, method.space.parse(f"{k}012"), 4) for k in range(4))


@pytest.mark.parametrize(
    ("name", "paths"), [("proxylessnas", 2), ("gdas", 1), ("wpl", 1), ("nsas", 3), ("gdas_nsas", 3)]
)
def test_a_dry_run_counts_the_activations_of_all_paths_of_a_step(name, paths, tmp_path):
    config = configuration("gdas", "resnest50", options=OPTIONS[name])
    config["learn"]["method"] = name
    found = plan(parse_config(config), tmp_path / "run")
    assert found.paths_per_step == paths
    assert found.activations_mib > 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("wpl", dict(steps_per_path=1), "expected steps_per_path of at least 2"),
        ("wpl", dict(strength=-1.0), "expected strength of at least 0"),
        ("nsas", dict(archive_size=0), "expected archive_size in 1..1000"),
        ("gdas", dict(final_temperature=0.0), "expected finite temperature, final_temperature"),
        ("gdas", dict(arch_start=1.0), "expected arch_start of at least 0 and below 1, got 1.0"),
        ("proxylessnas", dict(target_g=0.0), "expected target_g above 0"),
        ("proxylessnas", dict(optim={}), "expected learn.options of .*, got 'optim'"),
        ("gdas_nsas", dict(image_size=8), "expected learn.options of .*, got 'image_size'"),
    ],
)
def test_wrong_options_are_named(name, options, said):
    with pytest.raises(UserError, match=said):
        make(name, **options)


def test_options_of_combined_methods_are_those_of_both():
    from pinas_zoo.search.methods.base import option_names

    both = option_names(method_class("gdas")) | option_names(method_class("nsas"))
    assert option_names(method_class("gdas_nsas")) == both
    assert {"temperature", "archive_size", "label_smoothing", "arch_start"} < both


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OPTIONS, "wpl by images"])
def test_two_processes_learn_what_one_does(name, tmp_path):
    """On a space without batch norm, whose statistics are those of a process's images."""
    for world in (1, 2):
        script = Path(__file__).with_name("two_processes.py")
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)] if world > 1 else []
        words = [sys.executable, *launch, str(script), name, str(tmp_path / f"{world}.pt")]
        done = subprocess.run(words, cwd=script.parents[3], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / f"{world}.pt", weights_only=True) for world in (1, 2))
    assert one.keys() == two.keys()
    assert not torch.equal(one["fc.weight"], one["start"])
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=1e-4, atol=1e-6, msg=key)
