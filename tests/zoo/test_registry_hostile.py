"""Registry files that are no registry files, and users without a home: the import stands, and sound entries load."""

from __future__ import annotations

import json
import os
import warnings

import pytest
import timm

import pinas_zoo
from pinas_zoo import cli
from pinas_zoo.errors import UserError
from pinas_zoo.zoo import registry
from tests.networks import TINY, python

pytestmark = pytest.mark.usefixtures("zoo_home")
ARGS = {"arch": "0123", "depths": [1, 1, 1, 1]}


def entry(name, folder=None, cfg=None, **args):
    return {"name": name, "model_args": {**ARGS, **args}, "folder": folder, "pretrained_cfg": cfg or {}}


ENTRIES = {
    "depths": entry("depths", depths=[10**9, 1, 1, 1]),
    "widths": entry("widths", widths=[64, 128, 256, 2**62]),
    "classes": entry("classes", num_classes=2**62),
    "heavy": entry("heavy", widths=[2**15] * 4),
    "chans": entry("chans", in_chans=2**62),
    "layer": entry("layer", norm_layer="evil"),
    "nan_mean": entry("nan_mean", cfg={"mean": [float("nan"), 0, 0], "std": [1, 1, 1]}),
    "std0": entry("std0", cfg={"std": [0, 0, 0]}),
    "folder_number": {**entry("folder_number"), "folder": 3},
    "args_list": {**entry("args_list"), "model_args": [1]},
    "nul": entry("nul", folder="\0"),
    "cells": {**entry("cells"), "model_args": {"arch": "012301", "cells": 10**9},
              "pretrained_cfg": {"architecture": "nasbench201"}},
}  # fmt: skip


def test_hostile_files_are_one_line_each_and_the_sound_entry_loads(zoo_home):
    pinas_zoo.register("sound", arch="0123", **TINY)
    models = zoo_home / "models"
    for name, content in ENTRIES.items():
        (models / f"{name}.json").write_text(json.dumps(content))
    os.mkfifo(models / "pipe.json")
    (models / "zero.json").symlink_to("/dev/zero")
    with (models / "sparse.json").open("wb") as file:
        file.truncate(3 * 2**30)
    (models / "torn.json").write_bytes((models / "sound.json").read_bytes()[:40])
    (models / "loop.json").symlink_to("loop.json")
    (models / "esc\x1b[2J.json").write_text("{")
    done = python("import pinas_zoo, timm; print(timm.list_models(module='registered_names'))")
    assert done.stdout.strip() == "['sound']", done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == len(ENTRIES) + 6, done.stderr
    assert all("skipped" in line and "\x1b" not in line and len(line) < 1000 for line in lines)


def test_an_entry_is_reported_once(zoo_home):
    (zoo_home / "models").mkdir(parents=True)
    (zoo_home / "models" / "bad.json").write_text("{")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        registry.entries()
        registry.entries()
    assert len(seen) == 1


@pytest.mark.parametrize("moved", [None, "~/registry"])
def test_a_user_without_a_home(monkeypatch, moved, capsys):
    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    for name in ("HOME", "PINAS_ZOO_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    if moved:
        monkeypatch.setenv("PINAS_ZOO_HOME", moved)
    registry.load_registry()
    assert registry.entries() == []
    assert cli.main(["list"]) == 0
    assert cli.main(["register", "mine", "--arch", "0" * 16]) == 2
    assert "set PINAS_ZOO_HOME" in capsys.readouterr().err
    with pytest.raises(UserError, match="PINAS_ZOO_HOME"):
        registry.check_writable()


@pytest.mark.parametrize("variable", ["HOME", "XDG_DATA_HOME"])
def test_a_home_that_is_a_file(tmp_path, monkeypatch, variable, capsys):
    (tmp_path / "file").write_text("x")
    for name in ("PINAS_ZOO_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="skipped"):
        assert registry.entries() == []
    assert cli.main(["register", "mine", "--arch", "0" * 16]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["register", "mine", "--arch", "1111", "--depths", "1000000000,1,1,1"],
        ["register", "mine", "--arch", "1" * 16, "--in-chans", str(2**62)],
        ["register", "mine", "--arch", "1" * 16, "--num-classes", str(10**30)],
        ["register", "mine", "--arch", "1" * 16, "--stem-width", "-3"],
        ["register", "mine", "--arch", "1" * 10**6],
        ["info", "1111", "--depths", "1000000000,1,1,1"],
        ["info", "1" * 16, "--widths", f"64,128,256,{2**70}"],
        ["info", "1" * 16, "--image-size", str(10**9)],
        ["info", "1" * 16, "--num-classes", "-1"],
        ["info", "1" * 16, "--stem-width", "0"],
    ],
)
def test_sizes_of_a_command_are_checked_before_anything_is_built(words, capsys):
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert len(err) < 1000
    assert not timm.is_model("mine")
