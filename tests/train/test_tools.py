"""``tools/train.py`` with a recipe does what ``pinas-zoo train`` does, in one process and in two."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinas_zoo import extras

ROOT = Path(__file__).resolve().parents[2]
SHORT = (
    "schedule.epochs=1", "schedule.warmup_epochs=0", "data.image_size=8", "data.max_train=96", "data.max_test=20",
    "batch_size=32", "log.tensorboard=False",
)  # fmt: skip


@pytest.fixture
def tool(monkeypatch, tmp_path) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path / "home"))
    return runpy.run_path(str(ROOT / "tools" / "train.py"))


def test_a_recipe_is_trained_as_by_the_command_and_resumes(tool, tmp_path, capsys):
    words = ["configs/cls/digits.py", "--work-dir", str(tmp_path / "run"), "--name", "toy", "--register-anyway"]
    words += ["--cfg-options", *SHORT]
    assert tool["main"](words) == 0
    assert 'timm.create_model("toy", pretrained=True)' in capsys.readouterr().out
    done = json.loads((tmp_path / "run" / "done.json").read_text())
    assert done["images"] == 20
    assert tool["main"]([*words, "--resume"]) == 0
    assert "complete already" in capsys.readouterr().out


def test_two_processes_by_the_script_for_several_gpus(tmp_path):
    words = ("digits", "2", "--work-dir", str(tmp_path / "run"), "--no-register", "--cfg-options", *SHORT)
    env = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PORT": "29611"}
    process = subprocess.run(
        ["bash", str(ROOT / "tools" / "dist_train.sh"), *words], capture_output=True, text=True, env=env, check=False
    )
    assert process.returncode == 0, process.stderr
    assert "epoch 1/1" in process.stdout
    assert (tmp_path / "run" / "trained" / "model.safetensors").is_file()


def test_what_is_a_recipe(tool, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("model = 'resnet18'\nbatch_size = 8\n")
    other = tmp_path / "detector.py"
    other.write_text("default_scope = 'mmdet'\nmodel = dict(type='MaskRCNN')\n")
    known = ("digits", "configs/cls/finetune.py", str(ROOT / "configs" / "cls" / "digits.py"), str(mine))
    assert all(map(tool["is_recipe"], known))
    others = (str(other), "mask-rcnn_r50_fpn_syncbn_1x_coco", "nothing", str(ROOT / "tools" / "nothing.py"))
    assert not any(map(tool["is_recipe"], others))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "--amp"], "expected no --amp with the recipe digits, got it; try --cfg-options precision=bf16"),
        (["digits", "--resume", "x.pth"], "expected --resume alone with the recipe digits, got 'x.pth'"),
        (["digits", "--cfg-options", "batchsize=3"], "unknown key 'batchsize'; did you mean 'batch_size'?"),
        (["digts"], "try digits"),
    ],
)
def test_wrong_words_are_one_line(tool, capsys, words, said):
    assert tool["main"](words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digts"], "try digits"),
        (["mask-rcnn_r50_fpn_syncbn_1x_coco", "--data-root", "nowhere"], "expected a folder as --data-root"),
        (["mask-rcnn_r50_fpn_syncbn_1x_coco"], "expected mmdet"),
    ],
)
def test_typing_errors_are_reported_without_openmmlab(tool, capsys, monkeypatch, words, said):
    monkeypatch.setattr(extras, "missing", lambda: ["mmdet"])
    assert tool["main"](words) == 2
    assert said in capsys.readouterr().err


def test_a_recipe_of_ours_is_one_without_mmengine(tool, monkeypatch):
    monkeypatch.setitem(sys.modules, "mmengine", None)  # its import raises ImportError
    monkeypatch.setitem(sys.modules, "mmengine.config", None)
    assert tool["is_recipe"]("digits")


def test_words_of_recipes_are_refused_with_other_configs(tool, capsys):
    with pytest.raises(SystemExit) as stopped:
        tool["main"](["mask-rcnn_r50_fpn_syncbn_1x_coco", "--network", "resnet50"])
    assert stopped.value.code == 2
    assert "expected --network with a recipe of configs/cls" in capsys.readouterr().err
