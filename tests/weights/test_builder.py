from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import _hub

import pinas_zoo
from pinas_zoo.errors import (
    BrokenWeights,
    HubError,
    NotPublished,
    NotSafetensors,
    UserError,
    WeightsError,
    WeightsMissing,
    WrongHash,
    WrongShapes,
)
from pinas_zoo.weights.model_folder import CONFIG_FILE, FACTS_FILE, WEIGHTS_FILE, read_config, save_model_folder
from pinas_zoo.weights.new_folder import new_folder
from pinas_zoo.weights.published import PUBLISHED, Published
from tests.hub_server import HubServer, sha256
from tests.networks import ROOT, TINY, same_weights, tiny, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")
EVIL = "evil.txt"


class Evil:
    """A pickle that writes a file when it is opened without care."""

    def __reduce__(self):
        return Path.write_text, (Path(EVIL), "executed")


@pytest.fixture
def evil(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield pickle.dumps(Evil())
    assert not Path(EVIL).exists()


def load(file=None, arch="3013", **kwargs):
    overlay = {"file": str(file)} if file is not None else kwargs.pop("overlay", None)
    return timm.create_model("pinas", pretrained=True, arch=arch, pretrained_cfg_overlay=overlay, **TINY, **kwargs)


# the folder -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kwargs", [{}, {"in_chans": 1}, {"num_classes": 3}, {"num_classes": 0}])
def test_saved_folder_loads_by_timm_alone(tmp_path, kwargs):
    folder, model = tiny_folder(tmp_path / "deep" / "w", facts={"seed": 1}, **kwargs)
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert same_weights(loaded, model)
    images = torch.randn(2, model.in_chans, 32, 32)
    assert torch.equal(loaded(images), model(images))
    assert json.loads((folder / FACTS_FILE).read_text()) == {"seed": 1}
    assert sorted(p.name for p in folder.parent.iterdir()) == ["w"]


def test_saved_config_is_what_timm_writes(tmp_path):
    folder, model = tiny_folder(tmp_path / "ours")
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True)
    _hub.save_for_hf(loaded, tmp_path / "timms", safe_serialization=True)
    ours, timms = (json.loads((tmp_path / d / CONFIG_FILE).read_text()) for d in ("ours", "timms"))
    assert set(ours) == set(timms)
    for key in ("architecture", "num_classes", "num_features", "global_pool"):
        assert ours[key] == timms[key]
    assert timms["model_args"] == {
        **ours["model_args"],
        "in_chans": 3,
        "global_pool": "avg",
    }  # the defaults, spelled out
    assert {k: v for k, v in ours["pretrained_cfg"].items() if timms["pretrained_cfg"].get(k) != v} == {}
    weights_of = [load_file(tmp_path / d / WEIGHTS_FILE) for d in ("ours", "timms")]
    assert all(torch.equal(weights_of[0][k], weights_of[1][k]) for k in model.state_dict())


def test_sound_files_have_one_mode(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    assert len({(folder / f).stat().st_mode for f in (CONFIG_FILE, WEIGHTS_FILE)}) == 1


def test_replacing_keeps_what_is_not_of_the_format(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w", facts={"seed": 1})
    (folder / "notes.txt").write_text("mine")
    (folder / "README.md").write_text("of the old weights")
    _, model = tiny_folder(folder, arch="2222")
    assert sorted(p.name for p in folder.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE, "notes.txt"]
    assert same_weights(timm.create_model(f"local-dir:{folder}", pretrained=True), model)


KILLED = """
import os, sys
from tests.networks import tiny_folder
rename, calls = os.rename, []
def counted(a, b):
    calls.append(a)
    if len(calls) == {at}:
        {end}
    rename(a, b)
os.rename = counted
tiny_folder({place!r}, arch="2222")
"""


@pytest.mark.parametrize("end", ["os._exit(9)", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("at", [2, 3])  # before the new folder stands; before the user's file is moved into it
def test_replacing_that_is_killed_loses_nothing(tmp_path, end, at):
    folder, model = tiny_folder(tmp_path / "w")
    (folder / "notes.txt").write_text("mine")
    code = KILLED.format(at=at, end=end, place=str(folder))
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode != 0
    with pytest.raises(ZeroDivisionError), new_folder(folder):  # the next write puts back what was left
        raise ZeroDivisionError
    assert (folder / "notes.txt").read_text() == "mine"
    assert read_config(folder)[0]["arch"] == (model.arch if at == 2 else "2222")
    tiny_folder(folder, arch="1111")
    assert (folder / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".old"] == []


def test_another_writer_between_the_renames_is_said(tmp_path, monkeypatch):
    folder, _ = tiny_folder(tmp_path / "w")
    (folder / "notes.txt").write_text("mine")
    rename = os.rename

    def meanwhile(a, b):
        rename(a, b)
        if str(b).endswith(".old"):
            monkeypatch.setattr(os, "rename", rename)
            tiny_folder(tmp_path / "other", arch="1111")
            rename(tmp_path / "other", folder)

    monkeypatch.setattr(os, "rename", meanwhile)
    with pytest.raises(UserError, match="another process"):
        tiny_folder(folder, arch="2222")
    assert read_config(folder)[0]["arch"] == "1111"
    assert (folder / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["w"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    folder, _ = tiny_folder(tmp_path / "deep" / "w")
    (tmp_path / "link").symlink_to(folder)
    tiny_folder(tmp_path / "link", arch="2222")
    assert (tmp_path / "link").is_symlink()
    assert read_config(folder)[0]["arch"] == "2222"
    tiny_folder(folder / "sub" / "..", arch="1111")
    assert read_config(folder)[0]["arch"] == "1111"


def test_a_folder_of_something_else_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    with pytest.raises(UserError, match=r"no config\.json"):
        tiny_folder(tmp_path / "photos")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="got the file"):
        tiny_folder(tmp_path / "file")
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_failing_midway_leaves_the_old_folder(tmp_path):
    folder, model = tiny_folder(tmp_path / "w")

    def fail_midway():
        with new_folder(folder) as temporary:
            (temporary / CONFIG_FILE).write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail_midway()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w"]
    assert same_weights(timm.create_model(f"local-dir:{folder}", pretrained=True), model)


@pytest.mark.parametrize(
    ("args", "cfg", "facts", "message"),
    [
        ({"arch": "2222"}, {}, None, "expected the tensors of arch 2222"),
        ({"arch": "301"}, {}, None, "4 layers"),
        ({}, {}, None, "with an arch"),
        ({"arch": "3013"}, {"surprise": 1}, None, "surprise"),
        ({"arch": "3013"}, {}, {"when": object()}, "plain data"),
        ({"arch": "3013"}, {}, {"score": float("nan")}, "plain data"),
    ],
)
def test_what_does_not_fit_is_not_saved(tmp_path, args, cfg, facts, message):
    with pytest.raises(ValueError, match=message):
        save_model_folder(tmp_path / "w", tiny().state_dict(), {**TINY, **args}, cfg, facts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"architecture": "pinas"}', "[" * 100_000, '{"architecture": "resnet50", "pretrained_cfg": {}}',
     '{"architecture": "pinas", "pretrained_cfg": {}, "model_args": {"arch": "01"}}',
     '{"architecture": "pinas", "pretrained_cfg": {}, "model_args": {"arch": 3, "depths": "x"}}',
     '{"architecture": "pinas", "pretrained_cfg": 3}'],
)  # fmt: skip
def test_damaged_configs_are_named(tmp_path, text):
    (tmp_path / CONFIG_FILE).write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        read_config(tmp_path)


# the order ------------------------------------------------------------------------------------------------------------


def test_order_of_sources(tmp_path, monkeypatch):
    given, a = tiny_folder(tmp_path / "a", seed=1)
    kept, b = tiny_folder(tmp_path / "b", seed=2)
    published, c = tiny_folder(tmp_path / "c", seed=3)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        commit = hub.add("us/net", {WEIGHTS_FILE: (published / WEIGHTS_FILE).read_bytes()})
        digest = sha256((published / WEIGHTS_FILE).read_bytes())
        pinas_zoo.register("mine", arch="3013", **TINY)
        with pytest.raises(NotPublished):
            timm.create_model("mine", pretrained=True)
        monkeypatch.setitem(PUBLISHED, "mine", Published("us/net", commit, digest))
        assert same_weights(timm.create_model("mine", pretrained=True), c)
        asked = len(hub.requests)
        assert asked > 0
        pinas_zoo.register("mine", folder=kept)
        assert same_weights(timm.create_model("mine", pretrained=True), b)
        by_file = timm.create_model("mine", pretrained=True, pretrained_cfg_overlay={"file": str(given / WEIGHTS_FILE)})
        by_folder = timm.create_model("mine", pretrained=True, pretrained_cfg_overlay={"file": str(given)})
        by_tensors = timm.create_model("mine", pretrained=True, pretrained_cfg_overlay={"state_dict": a.state_dict()})
        assert same_weights(by_file, a)
        assert same_weights(by_folder, a)
        assert same_weights(by_tensors, a)
        assert len(hub.requests) == asked  # the Hub was not asked once there was something nearer
        by_repo = timm.create_model("mine", pretrained=True, pretrained_cfg_overlay={"hf_hub_id": f"us/net@{commit}"})
        assert same_weights(by_repo, c)
        assert by_repo.pretrained_cfg["hf_hub_id"] == f"us/net@{commit}"
        assert "state_dict" not in by_tensors.pretrained_cfg


def test_pinned_hash_is_the_packages(tmp_path, monkeypatch):
    folder, _ = tiny_folder(tmp_path / "w")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with HubServer() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        commit = hub.add("us/net", {WEIGHTS_FILE: (folder / WEIGHTS_FILE).read_bytes()})
        monkeypatch.setitem(PUBLISHED, "pinas_alpha", Published("us/net", commit, "0" * 64))
        with pytest.raises(WrongHash, match="nothing was downloaded"):
            timm.create_model("pinas_cls", pretrained=True)
        assert not any(line.startswith("GET /store") for line in hub.requests)
    with pytest.raises(ValueError, match="pinned"):
        Published("us/net", "main", "0" * 64)


def test_checkpoint_path_is_timms(tmp_path):
    folder, model = tiny_folder(tmp_path / "w")
    loaded = timm.create_model("pinas", arch="3013", num_classes=10, checkpoint_path=folder / WEIGHTS_FILE, **TINY)
    assert same_weights(loaded, model)


@pytest.mark.parametrize("name", ["pinas", "pinas_cls", "pinas_alpha", "pinas_trans", "pinas_gamma"])
def test_nothing_published_is_said(name):
    with pytest.raises(NotPublished, match="file=") as raised:
        timm.create_model(name, pretrained=True)
    assert isinstance(raised.value, RuntimeError)  # what timm raises for want of weights
    assert not PUBLISHED  # when this changes, so does this test
    assert name not in timm.list_pretrained()


# every way to fail ----------------------------------------------------------------------------------------------------


def test_pickles_that_want_more_than_tensors_are_refused(tmp_path, evil):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "pytorch_model.bin").write_bytes(evil)
    (tmp_path / "w" / "weights.pth").write_bytes(evil)
    for file in ("w", "w/pytorch_model.bin", "w/weights.pth"):
        with pytest.raises(NotSafetensors, match=r"wants pathlib\.Path\.write_text.*none of it was run"):
            load(tmp_path / file)
    with pytest.raises(NotSafetensors, match="hash"):
        load(overlay={"url": "https://example.org/w.pth"})
    with pytest.raises(NotSafetensors, match=r"one of \.bin"):
        load(overlay={"hf_hub_id": "us/net", "hf_hub_filename": "weights.npz"})


def test_local_dir_with_an_evil_pickle_alone_is_refused(tmp_path, evil):
    folder, _ = tiny_folder(tmp_path / "w")
    (folder / WEIGHTS_FILE).unlink()
    (folder / "pytorch_model.bin").write_bytes(evil)
    with pytest.raises(NotSafetensors, match="wants pathlib"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert timm.create_model(f"local-dir:{folder}").num_classes == 10  # untrained needs no weights


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (lambda data: b"", BrokenWeights),
        (lambda data: data[:7], BrokenWeights),
        (lambda data: data[:1000], BrokenWeights),
        (lambda data: data[:-1], BrokenWeights),
        (lambda data: data + b"x", BrokenWeights),
        (lambda data: b"\xff" * len(data), BrokenWeights),
        (lambda data: b"<html>not found</html>" * 1000, BrokenWeights),
        (None, WeightsMissing),
    ],
    ids=["empty", "7 bytes", "cut in the header", "one byte short", "one byte long", "noise", "html", "missing"],
)
def test_broken_files_are_named(tmp_path, harm, error):
    folder, _ = tiny_folder(tmp_path / "w")
    file = folder / WEIGHTS_FILE
    data = file.read_bytes()
    file.unlink()
    if harm is not None:
        file.write_bytes(harm(data))
    for make in (lambda: load(file), lambda: timm.create_model(f"local-dir:{folder}", pretrained=True)):
        began = time.monotonic()
        with pytest.raises(error, match=WEIGHTS_FILE):
            make()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize("num_classes", [10, 5])
def test_other_networks_weights_are_refused(tmp_path, num_classes):
    """Also where the head is new: timm then loads loosely, and would leave what is missing random."""
    folder, model = tiny_folder(tmp_path / "w")
    with pytest.raises(WrongShapes, match="arch 3010"):
        load(folder / WEIGHTS_FILE, arch="3010", num_classes=num_classes)
    tensors = model.state_dict()
    for change, message in (
        ({k: v for k, v in tensors.items() if not k.startswith("layer4.0.conv3")}, r"1 missing \(first layer4.0.conv3"),
        ({**tensors, "layer5.weight": torch.zeros(1)}, r"1 unknown \(first layer5"),
        ({**tensors, "bn1.weight": torch.zeros(3)}, r"bn1.weight: \(3,\), not \(16,\)"),
        ({k: v for k, v in tensors.items() if k != "fc.bias"}, "fc.bias"),
    ):
        save_file(change, tmp_path / "changed.safetensors")
        with pytest.raises(WrongShapes, match=message):
            load(tmp_path / "changed.safetensors", num_classes=num_classes)
        with pytest.raises(WrongShapes, match=message):
            load(overlay={"state_dict": change, "num_classes": 10}, num_classes=num_classes)


def test_config_and_weights_must_agree_on_classes(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w", num_classes=10)
    config = json.loads((folder / CONFIG_FILE).read_text())
    for part in (config, config["model_args"], config["pretrained_cfg"]):
        part["num_classes"] = 7
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(WrongShapes, match=r"fc.weight: \(10, 512\), not \(7, 512\)"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)


def test_every_failure_is_a_runtime_and_a_value_error():
    for error in (NotPublished, HubError, WrongShapes):
        assert issubclass(error, WeightsError)
    assert issubclass(WeightsError, RuntimeError)  # what timm's callers catch
    assert issubclass(WeightsError, UserError)  # what commands report


# adaptation -----------------------------------------------------------------------------------------------------------


def body(model):
    return {k: v for k, v in model.state_dict().items() if not k.startswith(("fc.", "conv1.0."))}


@pytest.mark.parametrize("source", ["file", "folder", "local-dir", "registry"])
@pytest.mark.parametrize("changes", [{"num_classes": 4}, {"in_chans": 1}, {"num_classes": 0, "in_chans": 5}])
def test_new_head_and_other_channels(tmp_path, source, changes):
    folder, model = tiny_folder(tmp_path / "w")
    if source == "local-dir":
        loaded = timm.create_model(f"local-dir:{folder}", pretrained=True, **changes)
    elif source == "registry":
        pinas_zoo.register("mine", folder=folder)
        loaded = timm.create_model("mine", pretrained=True, **changes)
    else:
        loaded = load(folder if source == "folder" else folder / WEIGHTS_FILE, **changes)
    assert all(torch.equal(v, body(model)[k]) for k, v in body(loaded).items())
    assert loaded.num_classes == changes.get("num_classes", 10)
    stem = model.state_dict()["conv1.0.weight"]
    if changes.get("in_chans") == 1:
        assert torch.equal(loaded.conv1[0].weight, stem.sum(1, keepdim=True))
    if changes.get("in_chans") is None:
        assert torch.equal(loaded.conv1[0].weight, stem)
    if "num_classes" not in changes:
        assert torch.equal(loaded.fc.weight, model.fc.weight)


def test_a_bare_file_says_its_own_classes(tmp_path):
    folder, model = tiny_folder(tmp_path / "w", num_classes=6)
    assert same_weights(load(folder / WEIGHTS_FILE), model)
    pinas_zoo.register("mine", folder=tiny_folder(tmp_path / "other", num_classes=3)[0])
    loaded = timm.create_model("mine", pretrained=True, pretrained_cfg_overlay={"file": str(folder / WEIGHTS_FILE)})
    assert same_weights(loaded, model)


def test_features_of_pretrained(tmp_path):
    folder, model = tiny_folder(tmp_path / "w")
    features = timm.create_model(f"local-dir:{folder}", pretrained=True, features_only=True).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(features(images)[-1], model.forward_features(images))


def test_half_precision_weights_load_into_full(tmp_path):
    _, model = tiny_folder(tmp_path / "w")
    save_file(
        {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}, tmp_path / "h.safetensors"
    )
    loaded = load(tmp_path / "h.safetensors")
    assert loaded.fc.weight.dtype == torch.float32
    torch.testing.assert_close(loaded.fc.weight, model.fc.weight, rtol=1e-3, atol=1e-3)


def test_caller_cfg_without_a_source_keeps_the_names_source(tmp_path):
    folder, model = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    loaded = timm.create_model("mine", pretrained=True, pretrained_cfg_overlay={"mean": (0.0, 0.0, 0.0)})
    assert loaded.pretrained_cfg["mean"] == (0.0, 0.0, 0.0)
    assert same_weights(loaded, model)


def silu_folder(place, **args):
    model = tiny(**args)
    return save_model_folder(place, model.state_dict(), {"arch": "3013", **TINY, **args}, {"input_size": (3, 32, 32)})


@pytest.mark.parametrize("args", [{"act_layer": "silu"}, {"output_stride": 8}, {"global_pool": "max"}])
def test_weights_of_another_function_are_refused(tmp_path, args):
    folder = silu_folder(tmp_path / "w", **args)
    with pytest.raises(WeightsError, match=next(iter(args))):
        load(folder)
    assert same_weights(load(folder, **args), timm.create_model(f"local-dir:{folder}", pretrained=True))


def test_dilated_features_of_a_folder_are_the_callers(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    assert load(folder, features_only=True, output_stride=8).feature_info.reduction()[-1] == 8


def test_pretrained_on_meta_is_refused(tmp_path):
    folder, _ = tiny_folder(tmp_path / "w")
    with pytest.raises(WeightsError, match="meta"):
        load(folder, device="meta")
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["model_args"]["device"] = "meta"
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="meta"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert "device" not in read_config(folder)[0]


def test_integer_weights_are_refused(tmp_path):
    folder, model = tiny_folder(tmp_path / "w")
    state = {**model.state_dict(), "fc.weight": model.fc.weight.detach().to(torch.int8)}
    with pytest.raises(WrongShapes, match="integers"):
        load(overlay={"state_dict": state})
    save_file(state, folder / WEIGHTS_FILE)
    with pytest.raises(WrongShapes, match="integers"):
        load(folder)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("model_args", "colour", 1),
        ("model_args", "widths", None),
        ("model_args", "num_classes", "many"),
        ("pretrained_cfg", "mean", 0.5),
        ("pretrained_cfg", "input_size", "abc"),
        ("pretrained_cfg", "input_size", [3, 224]),
        ("pretrained_cfg", "crop_pct", "x"),
        (None, "label_names", 5),
    ],
)
def test_fields_of_another_form_are_named(tmp_path, part, key, value):
    folder, _ = tiny_folder(tmp_path / "w")
    config = json.loads((folder / CONFIG_FILE).read_text())
    (config if part is None else config[part])[key] = value
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(UserError, match=key):
        read_config(folder)
