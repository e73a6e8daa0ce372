"""Configurations that are none, or ask for what no machine can do: one line, before anything is computed."""

from __future__ import annotations

import os

import pytest
import torch

from pinas_zoo import cli
from pinas_zoo.engine import machine_memory
from pinas_zoo.engine.python_config import read_python_config
from pinas_zoo.errors import UserError
from pinas_zoo.search import build_method, build_space
from pinas_zoo.search.config import load_config, parse_config, parse_overrides

TINY = """
name = "tiny"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 32, 48, 64), stem_width=8)
data = dict(type="digits", image_size=32, val_per_class=20)
learn = dict(method="pinas", options=dict(queue_size=64, dim=16), steps=2, batch_size=8)
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(TINY)
    return tmp_path / "tiny.py"


SETTINGS = [
    "learn.lr=1e999",
    "learn.weight_decay=-1e999",
    "learn.options.temperature=1e999",
    "train.lr=1e999",
    "explore.max_flops_g=1e999",
    "data.mean=(1e999,0,0)",
    "data.std=(1e999,1,1)",
    "data.memory_gib=1e999",
    "views.blur_sigma=(0.1,1e999)",
    "data.image_size=100000000",
    "data.workers=1000000",
    "learn.batch_size=100000000000",
    "learn.steps=" + "9" * 400,
    "seed=-1",
    "name=b'tiny'",
    "name=../x",
    "space.widths={1,2,3,4}",
    "learn.options={1: 2}",
    "learn.options.dim=-1",
    "learn.options.dim=0",
    "learn.options.dim=1000000000000",
    "learn.options.hidden=-1",
    "learn.options.queue_size=0.5",
    "learn.options.momentum=2",
    "learn.options.temperature='hot'",
    "space.depths=(100000000,1,1,1)",
    "space.depths=(1,1,1)",
    "space.depths=1",
    "space.widths=(16,32,48,1000000)",
    "space.widths=(65536,65536,65536,65536)",
    "space.stem_width=0",
    "space.stem_width='8'",
    "space.type=../../os",
    "space.type=..os",
    "space.type=os",
    "space.type=nothere.py",
    "space.subspace=(0,9)",
    "learn.method=../../os",
    "explore.batch=0",
    "log.tensorboard=1j",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_are_refused_before_a_folder_is_made(tiny, setting, capsys):
    assert cli.main(["search", str(tiny), "--dry-run", "--work-dir", "run", "--set", setting]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert len(err) < 900
    assert not os.path.exists("run")


@pytest.mark.parametrize("text", ["a=" + "(" * 100_000, "a=" + "-" * 100_000 + "1", "a=" + "9" * 10_000, "a=\0"])
def test_values_that_are_no_literals_are_text(text):
    assert parse_overrides([text]) == {"a": text[2:]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 2**40}, "channels of at most"),
        ({"cells": 10**9}, "cells of at most"),
        ({"channels": 4096, "cells": 64}, "parameters"),
        ({"channels": 1.5}, "whole number"),
        ({"operations": 3}, "space 'nasbench201'"),
        ({"operations": [["none"]]}, "operations"),
    ],
)
def test_nasbench201_of_absurd_sizes(options, message):
    with pytest.raises(UserError, match=message):
        build_space({"type": "nasbench201", **options})


def test_a_queue_that_no_memory_holds_is_said_before_the_run(tiny, capsys):
    assert cli.main(["search", str(tiny), "--work-dir", "run", "--set", "learn.options.queue_size=1000000000000"]) == 2
    err = capsys.readouterr().err
    assert "GiB of memory here" in err
    assert "lower learn.options" in err
    assert not os.path.exists("run/learn")


def test_memory_that_is_not_known_refuses_nothing(monkeypatch):
    monkeypatch.setattr(machine_memory, "machine_memory_mib", lambda: None)
    machine_memory.check_fits(1e30, "it", "nothing")
    monkeypatch.undo()
    assert torch.cuda.is_available() or 100 < machine_memory.machine_memory_mib() < 1e9


def test_mean_without_std_is_refused(tiny, capsys):
    assert cli.main(["search", str(tiny), "--work-dir", "run", "--set", "data.mean=(0.5,0.5,0.5)"]) == 2
    assert "set data.std too" in capsys.readouterr().err


def test_tables_without_end():
    deep: dict = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(UserError, match="within each other"):
        parse_config({"name": "x", "space": deep})
    circle: dict = {"name": "x"}
    circle["space"] = circle
    with pytest.raises(UserError, match="within each other"):
        parse_config(circle)


FILES = {
    "exit": "raise SystemExit(0)",
    "exit by os": "import sys\nsys.exit()",
    "missing import": "import no_such_module_xyz\n" + TINY,
    "missing name": "from os import no_such_name\n" + TINY,
    "missing base": "_base_ = './nothere.py'\n" + TINY,
    "base that is no text": "_base_ = [3]\n" + TINY,
    "base by expression": "_base_ = ['./' + 'tiny.py']\n" + TINY,
    "own base": "_base_ = './case.py'\n" + TINY,
    "own base by import": "from mmengine.config import read_base\nwith read_base():\n    from .case import *\n" + TINY,
    "syntax": "name = (",
    "nul": "name = '\0'",
    "latin": "name = '\xe9'",
    "raises": "1 / 0",
    "recursion": "def f():\n    return f()\nf()",
    "a class": TINY + "learn['options'] = dict(dim=int)",
    "nothing": "",
}


@pytest.mark.parametrize("case", FILES)
def test_files_are_refused_in_one_line(tiny, case, capsys):
    (tiny.parent / "case.py").write_bytes(FILES[case].encode("latin-1"))
    assert cli.main(["search", "case.py", "--dry-run", "--work-dir", "run"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err


def test_a_circle_of_two_files(tmp_path):
    (tmp_path / "a.py").write_text("_base_ = 'b.py'")
    (tmp_path / "b.py").write_text("_base_ = ['./a.py']")
    with pytest.raises(UserError, match=r"a\.py -> b\.py -> a\.py"):
        read_python_config(tmp_path / "a.py")


def test_a_base_that_two_files_share_is_no_circle(tiny):
    (tiny.parent / "a.py").write_text("_base_ = 'tiny.py'\nseed = 3")
    (tiny.parent / "b.py").write_text("_base_ = 'a.py'\nlearn = dict(steps=5)")
    config = load_config(tiny.parent / "b.py")
    assert (config.seed, config.learn.steps, config.learn.batch_size) == (3, 5, 8)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "3", "\xff", '{"name": NaN}', '{"name": 1e999}', "{" * 10])
def test_json_that_is_no_configuration(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError):
        load_config(path)


def test_a_plugin_that_exits(tiny, capsys):
    (tiny.parent / "mine.py").write_text("raise SystemExit(0)")
    assert cli.main(["search", str(tiny), "--dry-run", "--set", "space.type=mine.py"]) == 2
    assert "does not run: SystemExit" in capsys.readouterr().err


def test_options_of_a_method_are_checked_without_memory():
    space = build_space({"type": "nasbench201", "channels": 4, "cells": 1})
    with pytest.raises(UserError, match="dim of at least 1"):
        build_method("pinas", {"dim": -1}, space, 10, 0)
    with torch.device("meta"), pytest.raises(UserError, match="method 'pinas'"):
        build_method("pinas", {"dim": 65536, "queue_size": 2**53}, space, 10, 0)
