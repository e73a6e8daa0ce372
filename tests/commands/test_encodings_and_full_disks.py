"""Terminals of other encodings, closed streams and full disks: text with ``?`` or one line, never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.networks import ROOT

ENV = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def shell(command, **env):
    done = subprocess.run(
        ["sh", "-c", command], env={**ENV, **env}, capture_output=True, timeout=120, check=False, cwd=os.sep
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
    return done


def test_an_encoding_that_lacks_the_letters():
    done = shell(f"{sys.executable} -m pinas_zoo.cli paper", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0
    assert "?-NAS" in done.stdout.decode("cp1252")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "> /dev/full"])
def test_streams_that_take_nothing(closed):
    done = shell(f"{sys.executable} -m pinas_zoo.cli paper {closed}", LANG="C", LC_ALL="C", PYTHONUTF8="0")
    if "full" in closed:
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
        assert b"free space" in done.stderr
    else:
        assert done.returncode == 0


@pytest.mark.parametrize(
    ("words", "reader"),
    [
        ("info pinas_alpha --json > /dev/full", "cat"),
        ("info nothing 2> /dev/full", "cat"),
        ("info nothing 2>&1", "true"),  # which has gone before there is a message
    ],
)
def test_the_exit_code_says_that_it_failed_where_no_message_can(words, reader):
    done = shell(f"{{ {{ sleep 0.3; {sys.executable} -m pinas_zoo.cli {words}; echo $? >&3; }} | {reader}; }} 3>&1")
    assert done.stdout == b"2\n"


FULL = """
import resource, sys
from pathlib import Path
import torch
from pinas_zoo import cli
from pinas_zoo.convert.openmmlab_model import ConvertedModel, save_converted_model
from tests.networks import tiny

folder = Path(sys.argv[1])
state = tiny().state_dict()
torch.save({"state_dict": state}, folder / "x.pth")
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
print(cli.main(["convert", str(folder / "x.pth"), "--out", str(folder / "net")]))
model = ConvertedModel(state, "det", "a detector", {}, 3)
for name in ("x.pth", "x.safetensors"):
    try:
        save_converted_model(folder / "out" / name, model, {})
    except Exception as error:
        print(type(error).__name__, "space" in str(error))
print(sorted(p.name for p in folder.rglob("*")))
"""


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX")
def test_files_that_the_system_cuts_off(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], env=ENV, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.splitlines() == ["2", "UserError True", "UserError True", "['out', 'x.pth']"], done.stderr
    assert done.stderr.count("\n") == 1
