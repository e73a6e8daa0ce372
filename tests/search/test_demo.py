"""The search of ``make demo``: it ends in a comparison, and in a network that other commands take by name."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import timm
import torch

from pinas_zoo.cli import main

ROOT = Path(__file__).resolve().parents[2]
SHORT = {
    "learn.steps": "6",
    "linear.steps": "6",
    "explore.evaluations": "6",
    "explore.recalibration_images": "64",
    "train.epochs": "1",
    "train.batch_size": "256",
    "train.compare.epochs": "1",
    "train.compare.random": "2",
    "train.compare.seeds": "2",
    "log.tensorboard": "False",
}


def demo() -> str:
    """The configuration that the Makefile's target runs."""
    (config,) = re.findall(r"^demo: .*\n\t\$\(BIN\)/pinas-zoo search (\S+)$", (ROOT / "Makefile").read_text(), re.M)
    return str(ROOT / config)


def search(folder: Path, changes: dict[str, str], *more: str) -> None:
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    assert main(["search", demo(), "--work-dir", str(folder), *words, *more]) == 0


def verdicts(folder: Path) -> list[str]:
    done = json.loads((folder / "train" / "done.json").read_text())
    return [verdict["role"] for verdict in done["comparison"]["verdicts"]]


def test_the_demo_compares_its_winner_and_leaves_a_network_by_name(tmp_path, zoo_home, capsys):
    folder = tmp_path / "run"
    search(folder, SHORT, "--register-anyway")  # six steps learn nothing
    out = capsys.readouterr().out
    assert verdicts(folder)[-1] == "random"
    assert re.search(r"^compare  winner +\d{6}, 0\.\d{4} M: test accuracy", out, re.M)
    name = Path(demo()).stem + "_winner"
    model = timm.create_model(name, pretrained=True).eval()
    maps = timm.create_model(name, pretrained=True, features_only=True).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 10)
        assert [m.shape[1] for m in maps(torch.zeros(1, 3, 8, 8))] == [4, 8, 16]
    assert main(["eval", name, "--data", "digits"]) == 0
    top1 = json.loads((folder / "train" / "done.json").read_text())["test_accuracy"]
    assert f"{top1:.2%}" in capsys.readouterr().out


@pytest.mark.slow
def test_the_demos_architectures_differ_and_its_network_is_accurate(tmp_path, zoo_home):
    folder = tmp_path / "run"
    search(folder, {"train.compare.random": "2", "train.compare.seeds": "2", "log.tensorboard": "False"})
    with (folder / "explore" / "ranking.csv").open(newline="") as file:
        scores = [float(row["accuracy"]) for row in csv.DictReader(file)]
    assert max(scores) - min(scores) > 0.05  # 35 of 700 held-out images
    assert json.loads((folder / "train" / "done.json").read_text())["test_accuracy"] >= 0.97
