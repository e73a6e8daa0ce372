"""A run of stand-alone training: it learns, resumes after a kill with equal results, and ends in a model folder."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import pinas_zoo  # noqa: F401  registers the family
from pinas_zoo.engine.folder_lock import LOCK, Holder
from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import process_space
from pinas_zoo.train.config import Recipe
from pinas_zoo.train.images import TransformedImages, open_images
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import check_folder, train
from pinas_zoo.weights.tensors import load_tensors
from tests.networks import TINY, python, tiny_folder
from tests.train.pictures import picture_folder

ARCH: dict[str, Any] = {"arch": "3013", **TINY}
START = Start("3013", "pinas", "pinas", ARCH)
LEARNS: dict[str, Any] = dict(
    schedule=dict(epochs=6, warmup_epochs=1), batch_size=8, optim=dict(lr=0.02, lr_batch=None), keep="last"
)
NOISY = dict(  # everything that draws random numbers
    batch_size=8,
    augment=dict(auto_augment="rand-m6-n2-mstd0.5", re_prob=0.5, re_mode="pixel", color_jitter=0.4),
    mix=dict(mixup_alpha=0.2, cutmix_alpha=1.0),
    optim=dict(opt="lamb", lr=5e-3, clip_grad=1.0),
    ema=dict(enabled=True, decay=0.9),
    model_args=dict(drop_path_rate=0.2, drop_rate=0.2),
    checkpoint_every=2,
    log_every=1,
)


def recipe(root: Path, **values: Any) -> Recipe:
    table = dict(
        data=dict(root=str(root), image_size=32),
        batch_size=12,
        augment=dict(scale=(0.5, 1.0), color_jitter=0.0),
        optim=dict(lr=0.1, lr_batch=None),
        schedule=dict(epochs=3, warmup_epochs=1),
        log=dict(tensorboard=False),
    )
    return Recipe.model_validate({**table, **values})


def test_it_learns_and_ends_in_a_model_folder(tmp_path):
    root, lines = picture_folder(tmp_path / "images", train=16), []
    done = train(recipe(root, **LEARNS), START, tmp_path / "run", lines.append)
    assert done is not None
    assert done["top1"] > 0.9
    assert done["warnings"] == []
    assert json.loads((tmp_path / "run" / "done.json").read_text())["top1"] == done["top1"]
    model: Any = timm.create_model(f"local-dir:{tmp_path / 'run' / 'trained'}", pretrained=True)
    assert model.pretrained_cfg["label_names"] == ["amber", "blue", "cyan"]
    assert tuple(model.pretrained_cfg["input_size"]) == (3, 32, 32)
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 6
    assert all("images/s" in line and "left" in line and "best" in line for line in epochs)
    assert (tmp_path / "run" / "train.log").read_text().splitlines() == lines
    assert not list((tmp_path / "run").rglob("*.pth"))
    again: list[str] = []
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    killed = Holder(pid=ended.pid, place=process_space(), started="", token="x")  # after its work was complete
    (tmp_path / "run" / LOCK).write_text(killed.model_dump_json())
    assert train(recipe(root, **LEARNS), START, tmp_path / "run", again.append) == done | {
        "training_peak_memory_mib": json.loads((tmp_path / "run" / "done.json").read_text())["training_peak_memory_mib"]
    }
    assert again[0].startswith("complete already")
    assert not (tmp_path / "run" / LOCK).exists()


def test_a_killed_run_resumes_with_equal_results(tmp_path):
    """Killed in the middle of an epoch, with every source of random numbers on, of timm's network with dropout."""
    root = picture_folder(tmp_path / "images")
    table = recipe(root, **NOISY)
    start = Start("test_resnet", "test_resnet", "test_resnet")
    whole = train(table, start, tmp_path / "whole", lambda text: None)
    code = f"""
import os, signal
from pathlib import Path
from pinas_zoo.train.config import Recipe
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import train

def say(text):
    if text.startswith("epoch 2"):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    recipe = Recipe.model_validate_json({table.model_dump_json()!r})
    train(recipe, Start("test_resnet", "test_resnet", "test_resnet"), Path({str(tmp_path / "killed")!r}), say)
"""
    process = python(code)
    assert process.returncode == -signal.SIGKILL, process.stderr
    step = torch.load(tmp_path / "killed" / "train" / "checkpoint.pth", weights_only=True)["step"]
    assert step % 3, "the checkpoint is of the middle of an epoch of 3 updates"
    resumed = train(table, start, tmp_path / "killed", lambda text: None)
    assert whole is not None
    assert resumed is not None
    assert (resumed["top1"], resumed["loss"]) == (whole["top1"], whole["loss"])
    one, other = (load_tensors(tmp_path / name / "trained" / "model.safetensors") for name in ("whole", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    for name in ("curve.csv", "epochs.csv"):
        assert (tmp_path / "whole" / "train" / name).read_text() == (tmp_path / "killed" / "train" / name).read_text()


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path):
    """The size of files is limited after the first epoch, as a full disk limits it; then there is room again."""
    root = picture_folder(tmp_path / "images")
    table = recipe(root, batch_size=8)
    code = f"""
import resource, signal
from pathlib import Path
from pinas_zoo.errors import UserError
from pinas_zoo.train.config import Recipe
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import train

def say(text):
    if text.startswith("epoch 2"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    recipe = Recipe.model_validate_json({table.model_dump_json()!r})
    try:
        train(recipe, Start("3013", "pinas", "pinas", {ARCH!r}), Path({str(tmp_path / "run")!r}), say)
    except UserError as error:
        print(error)
"""
    process = python(code)
    assert process.returncode == 0, process.stderr
    assert len(process.stdout.splitlines()) == 1
    assert "expected to write" in process.stdout
    assert torch.load(tmp_path / "run" / "train" / "checkpoint.pth", weights_only=True)["step"] == 3
    done = train(table, START, tmp_path / "run", lambda text: None)
    assert done is not None
    whole = train(table, START, tmp_path / "whole", lambda text: None)
    assert whole is not None
    assert whole["loss"] == done["loss"]


def test_fine_tuning_resets_the_head_and_keeps_it_for_the_same_classes(tmp_path):
    root = picture_folder(tmp_path / "images")
    folder, model = tiny_folder(tmp_path / "model", num_classes=10)
    start = Start(str(folder), f"local-dir:{folder}", "pinas", ARCH, own_weights=True)
    table = recipe(root, optim=dict(lr=0.0, lr_batch=None), schedule=dict(epochs=1, warmup_epochs=0), keep="last")
    lines: list[str] = []
    train(table, start, tmp_path / "run", lines.append)
    assert "with a new classifier" in lines[0]
    trained = load_tensors(tmp_path / "run" / "trained" / "model.safetensors")
    assert trained["fc.weight"].shape[0] == 3
    assert all(torch.equal(trained[name], value) for name, value in model.named_parameters() if "fc." not in name)
    place = tmp_path / "run" / "trained"
    again = Start(str(place), f"local-dir:{place}", "pinas", ARCH, own_weights=True)
    train(table, again, tmp_path / "again", lines.append)
    assert any("with its classifier" in line for line in lines)
    kept = load_tensors(tmp_path / "again" / "trained" / "model.safetensors")
    assert torch.equal(kept["fc.weight"], trained["fc.weight"])


def test_patience_begins_after_the_warm_up_and_the_summary_counts_what_was_trained(tmp_path):
    root, lines = picture_folder(tmp_path / "images"), []
    table = recipe(root, optim=dict(lr=0.0, lr_batch=None), schedule=dict(epochs=20, warmup_epochs=3), patience=1)
    done = train(table, START, tmp_path / "run", lines.append)
    assert done is not None
    assert done["epochs"] == sum(line.startswith("epoch") for line in lines) == 4
    assert done["summary"].startswith("4 of 20 epochs, test accuracy ")
    assert "top-5" not in done["summary"]  # of three classes
    assert "note: 40 updates in all are few to learn from; a smaller batch_size (now 12)" in "\n".join(lines)
    (warning,) = done["warnings"]
    assert "where guessing has 33.3%; try a smaller batch_size (now 12) or more schedule.epochs (now 20)" in warning
    assert lines[-1] == f"warning: {warning}"


def test_it_stops_early_and_a_rerun_does_not_go_on(tmp_path):
    root, lines = picture_folder(tmp_path / "images"), []
    table = recipe(root, optim=dict(lr=0.0, lr_batch=None), schedule=dict(epochs=20, warmup_epochs=0), patience=2)
    train(table, START, tmp_path / "run", lines.append)
    assert sum(line.startswith("epoch") for line in lines) == 3
    assert any(line.startswith("stopped early") for line in lines)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_leaves_no_network(tmp_path):
    root = picture_folder(tmp_path / "images")
    table = recipe(root, optim=dict(lr=1e30, lr_batch=None), schedule=dict(epochs=4, warmup_epochs=0), log_every=1)
    with pytest.raises(UserError, match=r"finite loss, got (nan|inf) in step \d+ \(no checkpoint .* rate .*--work-dir"):
        train(table, START, tmp_path / "run", lambda text: None)
    assert not (tmp_path / "run" / "trained").exists()
    assert not (tmp_path / "run" / "done.json").exists()


def test_weights_that_the_last_step_ruined_stop_with_advice_for_training(tmp_path):
    root = picture_folder(tmp_path / "images")
    optim = dict(lr=1e38, lr_batch=None, weight_decay=1e6)  # decay alone overflows
    table = recipe(root, optim=optim, schedule=dict(epochs=1, warmup_epochs=0), batch_size=24)
    with pytest.raises(UserError, match=r"expected finite outputs after epoch 1.*optim\.lr") as error:
        train(table, START, tmp_path / "run", lambda text: None)
    assert "search" not in str(error.value).split("/")[0]
    assert not (tmp_path / "run" / "trained").exists()


@pytest.mark.parametrize(
    "values",
    [
        dict(accumulate=2, batch_size=12, channels_last=True),
        dict(precision="bf16", loss=dict(type="bce", bce_target_thresh=0.2), mix=dict(mixup_alpha=0.2)),
        dict(augment=dict(auto_augment="augmix-m3-w3"), loss=dict(type="jsd")),
        dict(loss=dict(class_weight="inv_freq"), optim=dict(opt="adamw", lr=1e-3, layer_decay=0.7)),
    ],
    ids=["accumulate", "bf16 and bce", "augmix", "class weights and layer decay"],
)
def test_settings_train(values, tmp_path):
    root = picture_folder(tmp_path / "images", train=12)
    done = train(
        recipe(root, **{"schedule": dict(epochs=2, warmup_epochs=0), **values}), START, tmp_path / "run", print
    )
    assert done is not None
    assert 0 <= done["top1"] <= 1


def test_a_folder_of_another_recipe_or_of_something_else_is_refused(tmp_path):
    table = recipe(tmp_path)
    check_folder(table, tmp_path / "new")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(table.model_dump_json())
    check_folder(table, tmp_path / "run")
    with pytest.raises(UserError, match=r"made by another recipe \(seed was 0, is 1.* with --name NAME"):
        check_folder(recipe(tmp_path, seed=1), tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"expected the recipe of a training run in .*config\.json"):
        check_folder(table, tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").touch()
    with pytest.raises(UserError, match="expected an empty folder or a run"):
        check_folder(table, tmp_path / "other")


def test_what_kills_at_the_beginning_and_just_after_the_end_leave(tmp_path):
    """Killed while config.json is written: the folder is that of a new run. After done.json: the rest is removed."""
    root, run = picture_folder(tmp_path / "images"), tmp_path / "run"
    run.mkdir()
    (run / ".config.json.0123456789ab.tmp").touch()
    table = recipe(root, schedule=dict(epochs=1, warmup_epochs=0))
    train(table, START, run, lambda text: None)
    for name in ("checkpoint.pth", "best.safetensors", "20261127_041938.py"):
        (run / "train" / name).touch()
    train(table, START, run, lambda text: None)
    assert sorted(path.name for path in (run / "train").iterdir()) == ["curve.csv", "epochs.csv"]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_finite_weights_of_which_outputs_overflow_are_not_kept(keep, tmp_path):
    """One update of a rate that leaves weights of 1e30, whose loss is still that of the first weights."""
    root = picture_folder(tmp_path / "images")
    table = recipe(
        root, batch_size=24, optim=dict(lr=1e33, lr_batch=None), schedule=dict(epochs=1, warmup_epochs=0), keep=keep
    )
    with pytest.raises(UserError, match=r"finite outputs after epoch 1.* optim\.lr"):
        train(table, START, tmp_path / "run", lambda text: None)
    assert not (tmp_path / "run" / "trained").exists()


@pytest.mark.parametrize("values", [dict(keep="last", channels_last=True), dict(keep="best"), LEARNS])
def test_no_epoch_is_tested_twice(tmp_path, monkeypatch, values):
    """The results of the last epoch are those of its test; only an earlier epoch that is kept is tested again."""
    tests: list[int] = []
    batches = TransformedImages.batches

    def counted(images: TransformedImages, size: int) -> Any:
        tests.append(size)
        return batches(images, size)

    monkeypatch.setattr(TransformedImages, "batches", counted)
    done = train(recipe(picture_folder(tmp_path / "images"), **values), START, tmp_path / "run", lambda text: None)
    assert done is not None
    rows = list(csv.DictReader((tmp_path / "run" / "train" / "epochs.csv").open()))
    accuracies = [float(row["test_accuracy"]) for row in rows]
    earlier = values["keep"] == "best" and accuracies.index(max(accuracies)) < len(rows) - 1
    assert len(tests) == len(rows) + earlier
    assert done["top1"] == pytest.approx(max(accuracies) if values["keep"] == "best" else accuracies[-1], abs=1e-6)


def test_a_limit_of_test_images_holds_for_held_out_ones_too(tmp_path):
    root = picture_folder(tmp_path / "images")
    table = recipe(root, holdout=0.5, data=dict(root=str(root), max_test=3))
    assert len(open_images(table).test) == 3
