"""Weights that reach a network by timm's own options, as its train.py and validate.py hand them over."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import _hub
from timm.utils import ParseKwargs

from pinas_zoo.errors import BrokenWeights, NotSafetensors, WrongShapes
from pinas_zoo.weights.model_folder import WEIGHTS_FILE
from tests.hub_server import HubServer
from tests.networks import TINY, same_weights, tiny, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")
ALL_ZEROS = "0000"


def load(overlay: dict[str, Any], arch: Any = "3013", **kwargs: Any) -> Any:
    return timm.create_model("pinas", pretrained=True, arch=arch, pretrained_cfg_overlay=overlay, **TINY, **kwargs)


def write(path: Path, content: Any) -> Path:
    """A checkpoint in the format of its name; ``.old`` is PyTorch's before 1.6."""
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=path.suffix != ".old")
    return path


def without_head(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("fc.")}


NAMES = ["w.safetensors", "pytorch_model.bin", "w.pth", "w.pth.tar", "w.old"]


@pytest.mark.parametrize("name", NAMES)
def test_pretrained_path(tmp_path, name):
    """timm's ``--pretrained-path``: a new head of any size, everything else from the file."""
    model = tiny()
    file = write(tmp_path / name, model.state_dict())
    for kwargs, classes in (({}, 1000), ({"num_classes": 10}, 10), ({"num_classes": 4}, 4), ({"num_classes": 0}, 0)):
        loaded = load({"file": str(file), "num_classes": -1}, **kwargs)
        assert loaded.num_classes == classes
        assert all(torch.equal(t, without_head(model)[n]) for n, t in without_head(loaded).items())
        if classes == 10:
            assert not torch.equal(loaded.fc.weight, model.fc.weight)  # as in timm
    with pytest.raises(WrongShapes, match="arch 3010 with any classes"):
        load({"file": str(file), "num_classes": -1}, arch="3010")


def test_pretrained_path_without_a_head(tmp_path):
    model = tiny()
    file = write(tmp_path / "w.safetensors", without_head(model))
    loaded = load({"file": str(file), "num_classes": -1}, num_classes=4)
    assert all(torch.equal(t, without_head(model)[n]) for n, t in without_head(loaded).items())


@pytest.mark.parametrize("name", NAMES)
def test_each_format_loads_whole(tmp_path, name):
    model = tiny(num_classes=6)
    file = write(tmp_path / name, model.state_dict())
    assert same_weights(load({"file": str(file)}), model)
    by_path = timm.create_model("pinas", arch="3013", num_classes=6, checkpoint_path=str(file), **TINY)
    assert same_weights(by_path, model)


def test_a_checkpoint_of_timms_training(tmp_path):
    """With its options, optimizer and averaged weights; timm takes the averaged ones."""
    model, averaged = tiny(seed=0), tiny(seed=1)
    content = {
        "epoch": 3,
        "arch": "pinas",
        "state_dict": model.state_dict(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9).state_dict(),
        "version": 2,
        "args": argparse.Namespace(lr=0.1, model="pinas"),
        "state_dict_ema": averaged.state_dict(),
    }
    for name in ("last.pth.tar", "last.old"):
        assert same_weights(load({"file": str(write(tmp_path / name, content))}), averaged)
    content["state_dict_ema"] = None
    assert same_weights(load({"file": str(write(tmp_path / "w.pth", content))}), model)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module.", "inner"]
)
@pytest.mark.parametrize("source", ["w.safetensors", "w.pth", "state_dict", "folder"])
def test_prefixes_of_wrappers(tmp_path, prefix, source):
    model = tiny()
    if prefix == "inner":  # a stage that was compiled by itself
        tensors = {n.replace("layer2.", "layer2._orig_mod."): t for n, t in model.state_dict().items()}
        assert tensors.keys() != model.state_dict().keys()
    else:
        tensors = {prefix + n: t for n, t in model.state_dict().items()}
    if source == "state_dict":
        overlay: dict[str, Any] = {"state_dict": tensors}
    elif source == "folder":
        folder, _ = tiny_folder(tmp_path / "w")
        write(folder / WEIGHTS_FILE, tensors)
        overlay = {"file": str(folder)}
    else:
        overlay = {"file": str(write(tmp_path / source, tensors))}
    assert same_weights(load(overlay), model)
    assert load({**overlay, "num_classes": -1}, num_classes=3).num_classes == 3


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("channels", [1, 5])
def test_weights_of_other_channels(tmp_path, name, channels):
    model = tiny(in_chans=channels)
    file = write(tmp_path / name, model.state_dict())
    for kwargs in ({"in_chans": channels}, {}):  # as asked for, and as the file says
        loaded = load({"file": str(file)}, **kwargs)
        assert same_weights(loaded, model)
        config = timm.data.resolve_model_data_config(loaded)
        assert config["input_size"] == (channels, 224, 224)
        assert len(config["mean"]) == len(config["std"]) == channels
    stem = model.conv1[0].weight
    adapted = load({"file": str(file)}, in_chans=3).conv1[0].weight
    expected = stem.repeat(1, 3, 1, 1) / 3 if channels == 1 else stem[:, :3] * 5 / 3
    torch.testing.assert_close(adapted, expected)


def test_a_callers_words_of_classes_and_channels_are_checked(tmp_path):
    file = str(write(tmp_path / "w.safetensors", tiny(in_chans=1).state_dict()))
    with pytest.raises(WrongShapes, match=r"conv1\.0\.weight: \(8, 1, 3, 3\), not \(8, 3, 3, 3\)"):
        load({"file": file, "input_size": (3, 224, 224)}, in_chans=1)
    with pytest.raises(WrongShapes, match=r"fc\.weight: \(10, 512\), not \(7, 512\)"):
        load({"file": file, "num_classes": 7})


@pytest.mark.parametrize("name", ["pytorch_model.bin", "pytorch_model.pth", "model.pth"])
def test_a_folder_and_a_repo_with_a_checkpoint_alone(tmp_path, monkeypatch, name):
    folder, model = tiny_folder(tmp_path / "w")
    (folder / WEIGHTS_FILE).unlink()
    write(folder / name, OrderedDict(model.state_dict()))
    assert same_weights(timm.create_model(f"local-dir:{folder}", pretrained=True), model)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("us/net", {p.name: p.read_bytes() for p in folder.iterdir()})
        assert same_weights(load({"hf_hub_id": "us/net"}), model)
        assert same_weights(load({"hf_hub_id": "us/net", "hf_hub_filename": name}), model)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert same_weights(load({"hf_hub_id": "us/net"}), model)


def test_timms_own_folder_of_a_checkpoint(tmp_path):
    model = tiny()
    _hub.save_for_hf(model, tmp_path / "w", safe_serialization=False)
    assert not (tmp_path / "w" / WEIGHTS_FILE).exists()
    assert same_weights(timm.create_model(f"local-dir:{tmp_path / 'w'}", pretrained=True), model)


def test_a_callers_own_cfg(tmp_path):
    """``pretrained_cfg=dict(file=…)``, which names no layer, and says no number of classes."""
    model = tiny()
    cfg = {"file": str(write(tmp_path / "w.safetensors", model.state_dict()))}
    made = {"arch": "3013", "pretrained": True, **TINY}
    assert same_weights(timm.create_model("pinas", pretrained_cfg=cfg, **made), model)
    loaded = timm.create_model("pinas", pretrained_cfg={**cfg, "num_classes": -1}, num_classes=3, **made)
    assert all(torch.equal(t, without_head(model)[n]) for n, t in without_head(loaded).items())


def test_weights_that_torch_averaged(tmp_path):
    model = tiny()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    assert same_weights(load({"file": str(write(tmp_path / "w.pth", averaged.state_dict()))}), model)


def test_a_file_under_the_name_of_another_format_is_said(tmp_path):
    model = tiny()
    pickled = write(tmp_path / "a.pth", model.state_dict())
    with pytest.raises(BrokenWeights, match=r"got a checkpoint of PyTorch.*rename it to \.pth"):
        load({"file": str(pickled.rename(tmp_path / "a.safetensors"))})
    with pytest.raises(BrokenWeights, match=r"got a checkpoint of PyTorch"):
        load({"file": str(write(tmp_path / "a.old", model.state_dict()).rename(tmp_path / "a.safetensors"))})
    plain = write(tmp_path / "b.safetensors", model.state_dict())
    with pytest.raises(BrokenWeights, match=r"got safetensors in .*b\.pth; rename it to \.safetensors"):
        load({"file": str(plain.rename(tmp_path / "b.pth"))})
    np.savez(tmp_path / "c.npz", fc=np.zeros(3))
    with pytest.raises(BrokenWeights, match=r"an archive of fc\.npy; numpy's arrays are not read"):
        load({"file": str(tmp_path / "c.npz")})


def test_other_names_in_a_folder_are_said(tmp_path):
    write(tmp_path / "best.pth", tiny().state_dict())
    with pytest.raises(NotSafetensors, match=r"found only best\.pth; name the file.*best\.pth"):
        load({"file": str(tmp_path)})
    assert load({"file": str(tmp_path / "best.pth")}).num_classes == 10


def test_a_repo_that_contradicts_its_config_is_refused(tmp_path, monkeypatch):
    """The tensors say the classes only where the config does not: else a head would silently be new."""
    folder, _ = tiny_folder(tmp_path / "w", num_classes=10)
    config = (folder / "config.json").read_text().replace('"num_classes": 10', '"num_classes": 7')
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.add("us/net", {"config.json": config.encode(), WEIGHTS_FILE: (folder / WEIGHTS_FILE).read_bytes()})
        pretrained_cfg = {"num_classes": 7, "source": "hf-hub", "hf_hub_id": "us/net", "input_size": (3, 32, 32)}
        with pytest.raises(WrongShapes, match=r"fc\.weight"):
            timm.create_model(
                "pinas", pretrained=True, arch="3013", pretrained_cfg=pretrained_cfg, num_classes=7, **TINY
            )


# architectures on timm's command line -----------------------------------------------------------------------------


def parsed(word: str) -> Any:
    """What timm's ``--model-kwargs arch=WORD`` hands to create_model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-kwargs", nargs="*", default={}, action=ParseKwargs)
    return parser.parse_args(["--model-kwargs", f"arch={word}"]).model_kwargs["arch"]


@pytest.mark.parametrize(
    ("word", "arch"),
    [("3013", "3013"), ("0123", "0123"), ("0001", "0001"), ("[0,0,0,0]", ALL_ZEROS), ("'0000'", ALL_ZEROS)],
)
def test_model_kwargs(word, arch, tmp_path):
    model = timm.create_model("pinas", arch=parsed(word), num_classes=10, **TINY)
    assert model.arch == arch
    _hub.save_for_hf(model, tmp_path / "w")  # with a number, or a list, in config.json
    loaded = timm.create_model(f"local-dir:{tmp_path / 'w'}", pretrained=True)
    assert same_weights(loaded, model)


def test_a_number_of_the_papers_size():
    assert isinstance(parsed("3013231203213032"), int)
    with torch.device("meta"):
        assert timm.create_model("pinas", arch=parsed("3013231203213032")).arch == "3013231203213032"
    assert timm.create_model("nasbench201", arch=parsed("234012")).arch == "234012"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("0000", "4 layers, got 1 in 0; a number keeps no leading zeros"),
        ("301", "4 layers, got 3 in 301; a number keeps no leading zeros"),
        ("3013.0", "the float 3013.0, which does not keep the digits"),
        ("1e3", r"the float 1000\.0, which does not keep the digits"),
        ("True", "the bool True"),
        ("-301", "got -301"),
        ("3019", "candidates 0 to 3 in every layer, got 9"),
        ("None", "text in quotes"),
    ],
)
def test_numbers_that_lost_their_digits_are_said(word, message):
    with pytest.raises(ValueError, match=message):
        timm.create_model("pinas", arch=parsed(word), **TINY) if word != "None" else tiny(arch=object())
