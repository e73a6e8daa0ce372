"""The same search twice on a CPU ends in the same bytes, with any number of processes that read images."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("mmengine")
from pinas_zoo import cli
from tests.train.pictures import picture_folder

CONFIG = """
name = "twice"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
data = dict(type="timm", root={root!r}, image_size=16, val_per_class=2, memory_gib=0.0)
learn = dict(options=dict(queue_size=32, dim=16), steps=4, batch_size=8, checkpoint_every=2, log_every=1)
linear = dict(steps=4, batch_size=8, lr=1.0, log_every=1)
explore = dict(evaluations=10, random_first=4, batch=2, recalibration_images=8, batch_size=4)
train = dict(epochs=2, batch_size=8, log_every=1)
"""
EQUAL = (
    "learn/supernet.safetensors", "learn/curve.csv", "linear/classifier.safetensors", "linear/curve.csv",
    "explore/ranking.csv", "winner/model.safetensors", "trained/model.safetensors", "train/curve.csv",
)  # fmt: skip


def test_rankings_and_weights_do_not_depend_on_loader_workers(tmp_path: Path, zoo_home: Path) -> None:
    root = picture_folder(tmp_path / "pictures")
    config = tmp_path / "twice.py"
    config.write_text(CONFIG.format(root=str(root)))
    found = []
    for run, workers in (("a", 0), ("b", 1), ("c", 3)):
        words = ["search", str(config), "--work-dir", str(tmp_path / run), "--set", f"data.workers={workers}"]
        assert cli.main(words) == 0
        found.append({name: (tmp_path / run / name).read_bytes() for name in EQUAL})
    assert found[0] == found[1] == found[2]
