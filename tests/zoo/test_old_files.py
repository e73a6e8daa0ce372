"""Registry entries and model folders as the version before the restructuring wrote them still load.

The texts are what that version wrote, to the letter: an entry of the Π-NAS space named no architecture, and an entry
without weights had an empty pretrained_cfg.
"""

from __future__ import annotations

import json
import warnings

import pytest
import timm
from safetensors.torch import save_file

from pinas_zoo.models.pinas import ARCHS, PiNAS
from pinas_zoo.weights.model_folder import parse_config, read_config
from pinas_zoo.zoo import registry
from tests.networks import same_weights, tiny

pytestmark = pytest.mark.usefixtures("zoo_home")

PAPER = "Pi-NAS: Improving Neural Architecture Search by Reducing Supernet Training Consistency Shift"
ARGS = '{"arch": "3013", "depths": [1, 1, 1, 1], "widths": [16, 32, 64, 128], "stem_width": 8, "num_classes": 10}'
CFG = (
    '"num_classes": 10, "input_size": [3, 32, 32], "pool_size": [1, 1], "crop_pct": 0.875, "interpolation": '
    '"bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.229, 0.224, 0.225], "first_conv": "conv1.0", "classifier": "fc", '
    f'"paper_name": "{PAPER}", "paper_ids": "arXiv:2108.09671"'
)
LABELS = '"label_names": ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]'
FOLDER = (
    f'{{"architecture": "pinas", "num_classes": 10, "num_features": 512, "global_pool": "avg", {LABELS}, '
    f'"model_args": {ARGS}, "pretrained_cfg": {{{CFG}}}}}'
)
ENTRY_OF_FOLDER = f'{{"name": "mine_a", "model_args": {ARGS}, "folder": "%s", "pretrained_cfg": {{{CFG}, {LABELS}}}}}'
ENTRY_OF_ARCH = (
    '{"name": "arch_p", "model_args": {"arch": "0123", "depths": [1, 1, 1, 1], "widths": [16, 32, 64, 128], '
    '"stem_width": 8, "num_classes": 5, "in_chans": 1}, "folder": null, "pretrained_cfg": {}}'
)
ENTRY_OF_NASBENCH201 = (
    '{"name": "arch_n", "model_args": {"arch": "234012", "channels": 4, "cells": 1}, "folder": null, '
    '"pretrained_cfg": {"input_size": [3, 32, 32], "fixed_input_size": false, "interpolation": "bicubic", "crop_pct": '
    '1.0, "crop_mode": "center", "mean": [0.4914, 0.4822, 0.4465], "std": [0.247, 0.2435, 0.2616], "num_classes": 10, '
    '"pool_size": [8, 8], "first_conv": "conv1", "classifier": "fc", "paper_name": "NAS-Bench-201: Extending the Scope '
    'of Reproducible Neural Architecture Search", "paper_ids": "arXiv:2001.00326", "architecture": "nasbench201"}}'
)
ENTRY_OF_A_PICTURE = '{"name": "pinas_beta", "model_args": {"arch": "%s"}, "folder": null, "pretrained_cfg": {}}'
ENTRY_OF_ANOTHER_MODULE = (
    '{"name": "theirs", "model_args": {"arch": "012"}, "folder": null, "pretrained_cfg": {"input_size": [3, 32, 32], '
    '"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "num_classes": 10, "architecture": "net_of_a_users_module"}}'
)


@pytest.fixture
def old_home(zoo_home, tmp_path):
    """A registry and a folder of that version, loaded as a new process loads them."""
    folder = tmp_path / "winner"
    folder.mkdir()
    (folder / "config.json").write_text(FOLDER)
    save_file(tiny("3013").state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    models = zoo_home / "models"
    models.mkdir(parents=True)
    for name, text in {
        "mine_a": ENTRY_OF_FOLDER % folder,
        "arch_p": ENTRY_OF_ARCH,
        "arch_n": ENTRY_OF_NASBENCH201,
        "pinas_beta": ENTRY_OF_A_PICTURE % ("0123" * 4),
        "theirs": ENTRY_OF_ANOTHER_MODULE,
    }.items():
        (models / f"{name}.json").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        registry.load_registry()
    return folder


def test_entries_build_what_they_built(old_home):
    model = timm.create_model("arch_p")
    assert isinstance(model, PiNAS)
    assert (model.arch, model.num_classes, model.in_chans) == ("0123", 5, 1)
    assert model.pretrained_cfg["mean"] == (0.5,)  # one channel
    assert model.pretrained_cfg["architecture"] == "pinas"
    cell = timm.create_model("arch_n")
    assert (type(cell).__name__, cell.arch, cell.num_classes) == ("NASBench201", "234012", 10)
    assert timm.create_model("pinas_beta", device="meta").arch == "0123" * 4
    assert timm.is_model("theirs")  # builds once the user's module is imported
    with pytest.raises(ValueError, match="import the module that registers it"):
        timm.create_model("theirs")


def test_weights_and_labels_load_through_entry_and_folder(old_home):
    for name in ("mine_a", f"local-dir:{old_home}"):
        model = timm.create_model(name, pretrained=True)
        assert same_weights(model, tiny("3013"))
        assert model.pretrained_cfg["label_names"] == list("abcdefghij")
        assert tuple(model.pretrained_cfg["mean"]) == (0.5, 0.5, 0.5)
        assert model.pretrained_cfg["interpolation"] == "bilinear"  # as written, not as new folders have it


@pytest.mark.parametrize("folder", [True, False], ids=["beside its folder", "whose folder is gone"])
def test_the_folder_speaks_before_the_entry(old_home, folder):
    if folder:
        (old_home / "config.json").write_text(FOLDER.replace('"3013"', '"2222"'))
        save_file(tiny("2222").state_dict(), old_home / "model.safetensors")
    else:
        (old_home / "config.json").unlink()
    registry.load_registry()
    assert timm.create_model("mine_a").arch == ("2222" if folder else "3013")


@pytest.mark.parametrize(
    ("named", "model_args", "arch"),
    [
        ("pinas_cls", {}, ARCHS["pinas_alpha"]),  # timm leaves out what the entry point fixes
        ("pinas_gamma", {"num_classes": 7}, ARCHS["pinas_gamma"]),
        ("pinas_beta", {"arch": "0123" * 4}, "0123" * 4),  # exported under a name that is unknown elsewhere
    ],
)
def test_timms_export_of_a_named_network_is_of_the_generic_one(named, model_args, arch):
    config = {"architecture": named, "num_classes": 7, "model_args": model_args, "pretrained_cfg": {"num_classes": 7}}
    args, cfg = parse_config(json.dumps(config).encode(), where="here")
    assert (args["arch"], args["num_classes"], cfg["architecture"]) == (arch, 7, "pinas")


def test_an_old_folder_is_read_as_it_was(old_home):
    args, cfg = read_config(old_home)
    assert args == json.loads(ARGS)
    assert cfg == {**json.loads(f"{{{CFG}, {LABELS}}}"), "architecture": "pinas"}
