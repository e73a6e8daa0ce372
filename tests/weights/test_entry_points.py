"""Weights know of networks what models declare, and what timm says of an entry point that nothing declared."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

import pinas_zoo
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.model_folder import complete_cfg, read_config, save_model_folder
from tests.networks import ROOT, TINY, same_weights

pytestmark = pytest.mark.usefixtures("zoo_home")
ORDER = ("weights", "models", "analysis", "zoo")  # a room imports only those to its left


def imports_of(path: Path) -> set[str]:
    """Rooms of this package that a module imports, inside functions too."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pinas_zoo"):
            inside = node.module.split(".")[1:]
            rooms |= {inside[0]} if inside else {alias.name for alias in node.names}
    return rooms


@pytest.mark.parametrize("room", ORDER)
def test_rooms_import_only_what_lies_below_them(room):
    above = set(ORDER[ORDER.index(room) + 1 :]) | {"search", "openmmlab", "commands", "convert"}
    for path in (ROOT / "pinas_zoo" / room).glob("*.py"):
        assert not imports_of(path) & above, path.name


def test_weights_name_no_network():
    for path in (ROOT / "pinas_zoo" / "weights").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                assert not any(isinstance(c, ast.Constant) and c.value == "pinas" for c in node.comparators), path.name


def test_names_lead_to_the_generic_entry_point():
    assert entry_points.generic_form("pinas_cls") == ("pinas", {"arch": "3013231203213032"})
    assert entry_points.generic_form("resnet50") == ("resnet50", {})
    assert entry_points.same_network("pinas_cls") == ("pinas_cls", "pinas_alpha")
    assert entry_points.same_network("pinas_gamma") == ("pinas_gamma", "pinas_trans")
    assert entry_points.same_network("resnet50") == ("resnet50",)
    assert entry_points.name_in({}) == "pinas"
    with pytest.raises(entry_points.UnknownArchitecture, match="import the module"):
        entry_points.get("no_such_net")


def test_layers_of_one_name_and_class_are_the_same_function():
    pinas = entry_points.get("pinas")
    assert pinas.function_differences({"act_layer": "relu"}, {"act_layer": torch.nn.ReLU}) == {}
    assert pinas.function_differences({}, {"act_layer": "silu", "num_classes": 3}) == {
        "act_layer": ("silu", torch.nn.ReLU)
    }
    assert pinas.function_differences({"output_stride": 8}, {}) == {"output_stride": (32, 8)}
    assert set(pinas.function_differences({"act_layer": "no such layer"}, {})) == {"act_layer"}


def test_building_on_meta_takes_no_random_numbers():
    before = torch.get_rng_state()
    model = entry_points.on_meta("pinas", {"arch": "0123", **TINY, "device": "cpu"})
    assert all(p.is_meta for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(UserError, match="expected arguments of a pinas network"):
        entry_points.on_meta("pinas", {"arch": "0123"})


def test_a_complete_cfg_is_that_of_the_network_built(tmp_path):
    args = {"arch": "3013", **TINY, "num_classes": 4, "in_chans": 1}
    model = timm.create_model("pinas", **args)
    folder = save_model_folder(tmp_path / "w", model.state_dict(), args, {})
    written = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    complete = json.loads(json.dumps(complete_cfg(args, {})))
    assert complete == {**written, "architecture": "pinas"}
    assert complete["input_size"] == [1, 224, 224]
    with pytest.raises(UserError, match="surprise"):
        complete_cfg(args, {"surprise": 1})


def test_a_folder_of_an_entry_point_that_nothing_declared(tmp_path):
    """Any of timm's, as a user's own would be: its first argument here stands for an arch."""
    folder = str(tmp_path / "w")
    code = f"""
import timm, torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
import pinas_zoo
from pinas_zoo.weights.model_folder import save_model_folder
default_cfgs = generate_default_cfgs({{"users_net": dict(input_size=(3, 8, 8), first_conv="stem", classifier="fc")}})
class Net(torch.nn.Module):
    def __init__(self, arch="0", num_classes=10, in_chans=3):
        super().__init__()
        self.arch, self.num_features, self.num_classes = arch, 4 + int(arch), num_classes
        self.stem = torch.nn.Conv2d(in_chans, self.num_features, 3)
        self.fc = torch.nn.Linear(self.num_features, num_classes)
    def forward(self, x):
        return self.fc(self.stem(x).mean((2, 3)))
@register_model
def users_net(pretrained=False, **kwargs):
    return build_model_with_cfg(Net, "users_net", pretrained, **kwargs)
model = timm.create_model("users_net", arch="3", num_classes=5)
folder = save_model_folder({folder!r}, model.state_dict(), {{"arch": "3"}}, {{"architecture": "users_net"}})
pinas_zoo.register("mine", folder=folder)
loaded = timm.create_model("mine", pretrained=True)
assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in model.state_dict().items())
assert timm.create_model("mine", num_classes=2).fc.out_features == 2
pinas_zoo.register("bare", arch="1", architecture="users_net", num_classes=7)
assert timm.create_model("bare").fc.weight.shape == (7, 5)
pinas_zoo.unregister("bare"); pinas_zoo.unregister("mine")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_nasbench201_folder_is_held_to_its_pooling(tmp_path):
    args = {"arch": "234012", "channels": 4, "cells": 1, "num_classes": 3, "global_pool": "max"}
    model = timm.create_model("nasbench201", **args)
    folder = save_model_folder(tmp_path / "w", model.state_dict(), args, {"architecture": "nasbench201"})
    small = {k: v for k, v in args.items() if k != "global_pool"}
    overlay = {"pretrained_cfg_overlay": {"file": str(folder)}}
    with pytest.raises(WrongShapes, match="global_pool='max'"):
        timm.create_model("nasbench201", pretrained=True, **small, **overlay)
    assert same_weights(timm.create_model("nasbench201", pretrained=True, **args, **overlay), model)
    assert read_config(folder)[1]["architecture"] == "nasbench201"
    pinas_zoo.register("cell", folder=folder)
    assert same_weights(timm.create_model("cell", pretrained=True), model)
