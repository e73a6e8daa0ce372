"""``pinas-zoo train`` and ``pinas-zoo eval``: from a folder of images to a registered network and its accuracy."""

from __future__ import annotations

import json
from typing import Any

import pytest
import timm
import torch

from pinas_zoo.cli import main
from pinas_zoo.config_files import config_names
from pinas_zoo.operating_system import peak_memory_mib
from pinas_zoo.search import search
from pinas_zoo.train.config import Recipe
from pinas_zoo.weights.model_folder import save_model_folder
from pinas_zoo.weights.tensors import load_tensors
from tests.networks import TINY, tiny_folder
from tests.train.pictures import picture_folder

FAST = ["schedule.epochs=1", "schedule.warmup_epochs=0", "data.image_size=32", "log.tensorboard=False"]


def run(*words: object, code: int = 0) -> None:
    assert main([str(word) for word in words]) == code


def settings(*more: str) -> list[str]:
    return [word for change in (*FAST, *more) for word in ("--set", change)]


def test_a_folder_is_fine_tuned_registered_and_evaluated(tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images", train=8)
    folder, _ = tiny_folder(tmp_path / "model")
    run("train", folder, "--data", root, "--name", "mine", "--register-anyway", *settings("schedule.epochs=3"))
    out = capsys.readouterr().out
    assert "weights of" in out
    assert out.count("\nepoch ") == 3
    assert 'timm.create_model("mine", pretrained=True)' in out
    model: Any = timm.create_model("mine", pretrained=True)
    assert model.num_classes == 3
    card = (tmp_path / "work_dirs" / "mine" / "trained" / "README.md").read_text()
    assert 'timm.create_model("mine", pretrained=True)' in card
    assert "top1" in card
    run("eval", "mine", "--data", root, "--json", "--html", tmp_path / "page.html")
    facts = json.loads(capsys.readouterr().out)
    done = json.loads((tmp_path / "work_dirs" / "mine" / "done.json").read_text())
    assert facts["top1"] == done["top1"]
    assert [c["label"] for c in facts["per_class"]] == ["amber", "blue", "cyan"]
    assert "Calibration" in (tmp_path / "page.html").read_text()
    run("eval", tmp_path / "work_dirs" / "mine", "--data", root / "validation")  # the run, and the classes alone
    out = capsys.readouterr().out
    assert f"top-1    {done['top1']:.2%} of 12 images, mean of classes" in out  # top-5 of 3 classes is always 100%
    run("train", folder, "--data", root, "--name", "mine", "--register-anyway", *settings("schedule.epochs=3"))
    assert "complete already" in capsys.readouterr().out


def test_a_network_that_learned_nothing_is_not_registered_unless_asked(tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images")
    folder, _ = tiny_folder(tmp_path / "model")
    words = ["train", folder, "--data", root, "--name", "blind", *settings("optim.lr=0.0")]
    run(*words)
    captured = capsys.readouterr()
    assert "warning: the test accuracy is" in captured.out
    assert "blind is not registered, because the network learned nothing; repeat with --register-anyway" in captured.err
    assert 'timm.create_model("local-dir:work_dirs/blind/trained", pretrained=True)' in captured.out
    run("eval", "blind", "--data", root, code=2)
    run(*words, "--register-anyway")  # a complete run
    assert 'timm.create_model("blind", pretrained=True)' in capsys.readouterr().out


def test_a_network_of_timm_becomes_a_folder_without_a_name(tmp_path, monkeypatch, zoo_home, capsys):
    """Its classes are in folders that nobody has split."""
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images", train=10) / "train"
    (tmp_path / "images" / "validation").rename(tmp_path / "elsewhere")
    run("train", "test_resnet", "--data", root, "--config", "finetune", "--json", *settings("start=scratch"))
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts["images"] == 6  # a fifth of each class
    assert "test_resnet is no network of this package" in captured.err
    run("eval", facts["folder"], "--data", tmp_path / "elsewhere")
    again = capsys.readouterr().out
    assert "amber" in again
    run("train", facts["folder"], "--data", root, "--name", "again", *settings())  # and can be fine-tuned
    assert "with its classifier" in capsys.readouterr().out


def test_weights_of_another_network_of_the_same_layers(tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images")
    folder, model = tiny_folder(tmp_path / "model")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "checkpoint.pth.tar")
    sizes = [f"model_args.{key}={value}" for key, value in TINY.items()]
    fixed = ["precision=fp32", "data.workers=0", "optim.lr=0.0", "batch_size=8"]
    words = ["--data", root, "--name", "other", *settings(*sizes, *fixed)]
    run("train", "3013", "--weights", tmp_path / "checkpoint.pth.tar", *words)
    trained = load_tensors(tmp_path / "work_dirs" / "other" / "trained" / "model.safetensors")
    assert torch.equal(trained["layer1.0.conv1.weight"], model.state_dict()["layer1.0.conv1.weight"])
    run("train", "0000", "--weights", folder, *words, "--work-dir", tmp_path / "wrong", code=2)
    assert "got those of another" in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()


def test_an_architecture_starts_from_a_supernet(tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images")
    table: dict[str, Any] = dict(
        name="net",
        until="learn",
        space={"type": "resnest50", **TINY},
        log={"tensorboard": False},
        data={"root": str(root), "image_size": 32, "val_per_class": 1},
        learn={"steps": 2, "batch_size": 6, "options": {"queue_size": 12, "dim": 8}},
        linear={"batch_size": 6},
    )
    search(table, work_dir=tmp_path / "net", say=lambda text: None)
    fixed = ["optim.lr=0.0", "precision=fp32", "data.workers=0", "batch_size=8"]
    words = ["--weights", tmp_path / "net", "--data", root, *settings(*fixed)]
    run("train", "3013", *words, "--name", "cut")
    assert "given weights, with a new classifier" in capsys.readouterr().out
    trained = load_tensors(tmp_path / "work_dirs" / "cut" / "trained" / "model.safetensors")
    supernet = load_tensors(tmp_path / "net" / "learn" / "supernet.safetensors")
    stem = next(name for name in supernet if name.endswith("conv1.0.weight"))
    assert torch.equal(trained["conv1.0.weight"], supernet[stem])
    run("train", "30133", *words, "--name", "wrong", code=2)
    assert "architecture of the space" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "found no folder 'nowhere'"),
        (["--set", "batch_size=1"], "'batch_size'"),
        (["--set", "batchsize=8"], "did you mean 'batch_size'"),
        (["--set", "optim.opt=foo"], "optimiser of timm for optim.opt='foo'"),
        (["--set", "augment.auto_augment=foo"], "augmentation that timm knows"),
        (["--set", "loss.type=jsd"], "loss.type='jsd' and an augment.auto_augment of augmix together"),
        (["--set", "accumulate=40"], "lower accumulate"),
        (["--set", "loss.class_weight=(1.0, 2.0)"], "a number for each of 3 classes, got 2"),
        (["--set", "precision=fp16"], "GPU for precision='fp16'"),
        (["--set", "optim.lr=nan"], "finite number"),
        (["--name", "resnet50"], "already a timm model"),
        (["--config", "nosuch"], "finetune"),
    ],
)
def test_wrong_input_is_one_line_before_anything_is_written(words, message, tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images")
    folder, _ = tiny_folder(tmp_path / "model")
    run("train", folder, "--data", root, *settings(), *words, code=2)
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "work_dirs").exists()


@pytest.mark.parametrize("name", sorted(config_names("cls")))
def test_a_recipe_is_valid(name, capsys):
    run("train", "pinas_alpha", "--config", name, "--dry-run")
    recipe = Recipe.model_validate_json(capsys.readouterr().out)
    if name == "imagenet_fast":  # Table 1, and ResNeSt's recipe in PyTorch-Encoding
        assert (recipe.batch_size, recipe.schedule.epochs, recipe.schedule.warmup_epochs) == (512, 270, 5)
        assert (recipe.optim.lr, recipe.optim.lr_batch, recipe.optim.weight_decay_exclude_1d) == (0.025, 64, True)
        assert (recipe.loss.smoothing, recipe.mix.mixup_alpha, recipe.schedule.sched) == (0.1, 0.2, "cosine")
    if name == "imagenet_augmix":
        assert (recipe.loss.type, recipe.loss.jsd_weight, recipe.augment.auto_augment) == ("jsd", 12, "augmix-m3-w3")


def test_digits_are_evaluated_on_the_test_images_of_the_networks_own_seed(tmp_path, monkeypatch, zoo_home, capsys):
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "digits8.py"
    recipe.write_text(
        "name = 'digits8'\nmodel = 'test_resnet'\nseed = 3\ndata = dict(type='digits', image_size=8)\n"
        "batch_size = 256\nschedule = dict(epochs=1, warmup_epochs=0)\nkeep = 'last'\nlog = dict(tensorboard=False)\n"
    )
    run("train", "--config", recipe, "--json")
    facts = json.loads(capsys.readouterr().out)
    run("eval", facts["folder"], "--data", "digits", "--json")
    captured = capsys.readouterr()
    assert json.loads(captured.out)["loss"] == pytest.approx(facts["loss"], rel=1e-3)
    assert "split by seed 3" in captured.err
    run("eval", facts["folder"], "--data", "digits", "--split", "train")
    assert "was trained on these images" in capsys.readouterr().err


def test_digits_of_a_large_network_of_other_classes_are_not_made(tmp_path, zoo_home, capsys):
    """600 pixels a side were 4.5 GB before the classes were compared."""
    args = {**TINY, "num_classes": 3}
    model: Any = timm.create_model("pinas", arch="3013", **args)
    folder = save_model_folder(tmp_path / "model", model.state_dict(), {"arch": "3013", **args}, {})
    before = peak_memory_mib()
    run("eval", folder, "--data", "digits", "--image-size", "600", code=2)
    assert "got 10 classes" in capsys.readouterr().err
    assert peak_memory_mib() < before + 1000


def test_a_folder_is_read_in_place_of_the_recipes_own_data_set(tmp_path, monkeypatch, zoo_home, capsys):
    """It was ignored beside digits, and torchvision did not find CIFAR-10 in folders of classes."""
    monkeypatch.chdir(tmp_path)
    root = picture_folder(tmp_path / "images")
    for name, place in (("digits", root), ("cifar10", root), ("cifar10", root / "train")):
        run("train", "111111", "--config", name, "--data", place, "--dry-run")
        captured = capsys.readouterr()
        data = json.loads(captured.out)["data"]
        assert (data["type"], data["name"]) == ("timm", "")
        assert data["image_size"] == 32
        assert str(place) in captured.err
    run("train", "111111", "--config", "digits", "--data", "/nowhere", code=2)
    assert "found no folder '/nowhere'" in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / "zoo").mkdir()
    run("train", "111111", "--config", "cifar10", "--data", tmp_path / "zoo", "--dry-run")  # holds neither
    assert json.loads(capsys.readouterr().out)["data"]["name"] == "torch/cifar10"
    run("train", "111111", "--config", "digits", "--data", root, "--set", "data.type=digits", code=2)
    assert "expected no data.root with data.type='digits'" in capsys.readouterr().err
    run("train", "111111", "--config", "digits", "--data", "digits", "--dry-run")
    assert json.loads(capsys.readouterr().out)["data"]["type"] == "digits"


@pytest.mark.parametrize(
    "words", [("search", "digits", "--set", "data.root=/nowhere"), ("study", "digits", "--data", ".")]
)
def test_a_folder_that_digits_would_not_read_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(*words, code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected no data.root with data.type='digits'" in line
    assert not (tmp_path / "work_dirs").exists()


def test_a_split_that_is_not_there_is_named_as_the_command_takes_it(tmp_path, monkeypatch, zoo_home, capsys):
    """``--set``, which eval does not have, is what searches take."""
    root = picture_folder(tmp_path / "images")
    (root / "validation").rename(root / "mine")
    folder, _ = tiny_folder(tmp_path / "model", num_classes=3)
    run("eval", folder, "--data", root, code=2)
    said = f"expected the folder 'validation' in {root}, found mine, train; name another with --split NAME"
    assert said in capsys.readouterr().err
    run("eval", folder, "--data", root, "--split", "mine")
    monkeypatch.chdir(tmp_path)
    run("search", "cifar10", "--set", f"data.root={root}", "--set", "data.name=", code=2)
    assert "found mine, train; name another with --set data.train_split=NAME or data" in capsys.readouterr().err
    run("search", "cifar10", "--set", f"data.root={root}", code=2)
    assert "if the folder holds folders of classes, try --set data.name=" in capsys.readouterr().err
