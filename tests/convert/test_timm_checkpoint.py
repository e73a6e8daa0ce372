"""Checkpoints as timm's train.py writes them, whose arguments are pickled, become model folders."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.utils import CheckpointSaver, ModelEmaV3

import pinas_zoo  # noqa: F401  registers the family
from pinas_zoo.cli import main
from pinas_zoo.convert.timm_checkpoint import class_folders, is_timm_checkpoint
from tests.networks import TINY, same_weights
from tests.train.pictures import picture_folder

NETWORKS = [("test_resnet", {}), ("pinas", {"arch": "3013", **TINY})]


def checkpoint(folder: Path, name: str, kwargs: dict[str, Any], ema: bool = False, **options: Any) -> tuple[Path, Any]:
    """A checkpoint by timm's own saver, and the network whose weights it is to give."""
    torch.manual_seed(0)
    model: Any = timm.create_model(name, num_classes=3, **kwargs).eval()
    average = ModelEmaV3(model) if ema else None
    if average is not None:
        average.module.fc.weight.data.fill_(0.5)
    args = argparse.Namespace(model=name, model_kwargs=kwargs, num_classes=3, lr=0.1, **options)
    saver = CheckpointSaver(
        model, torch.optim.SGD(model.parameters(), 0.1), args=args, model_ema=average, checkpoint_dir=str(folder)
    )
    saver.save_checkpoint(4, metric=50.0)
    return folder / "model_best.pth.tar", model if average is None else average.module


@pytest.mark.parametrize(("name", "kwargs"), NETWORKS, ids=["timm", "ours"])
def test_weights_classes_labels_and_size_are_kept(name, kwargs, tmp_path, capsys):
    root = picture_folder(tmp_path / "images", train=1, test=1)
    (tmp_path / "out").mkdir()
    file, model = checkpoint(
        tmp_path / "out", name, kwargs, img_size=48, mean=[0.5] * 3, data_dir=str(root), dataset=""
    )
    assert main(["convert", str(file), "--out", str(tmp_path / "model")]) == 0
    assert "3 classes with their names" in capsys.readouterr().out
    loaded: Any = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    assert same_weights(loaded, model)
    cfg = loaded.pretrained_cfg
    assert list(cfg["label_names"]) == ["amber", "blue", "cyan"]
    assert tuple(cfg["input_size"]) == (3, 48, 48)
    assert tuple(cfg["mean"]) == (0.5, 0.5, 0.5)


def test_the_moving_average_is_taken_and_missing_data_is_said(tmp_path, capsys):
    file, average = checkpoint(tmp_path, "test_resnet", {}, ema=True, data_dir="gone")
    assert main(["convert", str(file), "--out", str(tmp_path / "model")]) == 0
    out = capsys.readouterr().out
    assert "moving average" in out
    assert "without names" in out
    loaded: Any = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    assert same_weights(loaded, average)


class Runs:
    """Pickled, it asks for a function of the operating system."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_no_code_of_a_checkpoint_is_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args = argparse.Namespace(model="test_resnet", evil=Runs())
    torch.save({"args": args, "state_dict": {}}, tmp_path / "evil.pth.tar")
    assert not is_timm_checkpoint(tmp_path / "evil.pth.tar")
    assert main(["convert", "evil.pth.tar", "--out", "model"]) == 2
    assert "pickle that wants" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"args": argparse.Namespace(model="no_such_net"), "state_dict": {"a": torch.zeros(1)}}, "no_such_net"),
        ({"args": argparse.Namespace(model="test_resnet"), "state_dict": {"a": torch.zeros(1)}}, "classifier"),
        ({"args": argparse.Namespace(model="test_resnet")}, "got neither"),
        (
            {"args": argparse.Namespace(model="pinas", model_kwargs={"arch": 7}), "state_dict": {"a": torch.zeros(1)}},
            "",
        ),
    ],
)
def test_what_is_no_network_is_one_line(content, message, tmp_path, capsys):
    torch.save(content, tmp_path / "file.pth.tar")
    assert main(["convert", str(tmp_path / "file.pth.tar"), "--out", str(tmp_path / "model")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_an_arch_that_timm_made_a_number_is_compared_by_its_digits(tmp_path):
    file, model = checkpoint(tmp_path, "pinas", {"arch": 3013, **TINY})
    assert main(["convert", str(file), "--out", str(tmp_path / "model"), "--arch", "3013"]) == 0
    loaded: Any = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True)
    assert same_weights(loaded, model)


def test_only_class_folders_directly_below_the_split_give_names(tmp_path):
    root = picture_folder(tmp_path / "images", train=1, test=1)
    assert class_folders(root) == ["amber", "blue", "cyan"]
    (root / "train" / "loop").symlink_to(root)  # timm's reader follows it again and again
    assert class_folders(root) == []
    assert class_folders(tmp_path) == []
    assert class_folders(Path("a\0b")) == []


@pytest.mark.parametrize("wrong", [{"mean": "x"}, {"input_size": 3}, {"img_size": 10**9}, {"interpolation": "a|b"}])
@pytest.mark.parametrize(("name", "kwargs"), NETWORKS, ids=["timm", "ours"])
def test_options_that_no_image_can_be_prepared_by_are_one_line(name, kwargs, wrong, tmp_path, capsys):
    file, _ = checkpoint(tmp_path, name, kwargs, **wrong)
    assert main(["convert", str(file), "--out", str(tmp_path / "model")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "model").exists()


def test_only_what_is_refused_is_named(tmp_path, capsys):
    args = argparse.Namespace(model="test_resnet", data=Path("images"))
    torch.save({"args": args, "state_dict": {"a": torch.zeros(1)}}, tmp_path / "file.pth.tar")
    assert main(["convert", str(tmp_path / "file.pth.tar"), "--out", str(tmp_path / "model")]) == 2
    error = capsys.readouterr().err
    assert "a pickle that wants pathlib" in error
    assert "argparse" not in error
