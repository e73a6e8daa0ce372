"""A study of three tiny networks on a few pictures; run as a program it is one worker of it.

``python -m tests.search.trained_study.tiny_study CONFIG FOLDER`` begins when ``FOLDER.go`` exists.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tests.train.pictures import picture_folder

CONFIG = """
name = "tiny"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
count = 3
architectures = ("0123",)
seeds = (0, 1)
search = dict(
    data=dict(root={root!r}, image_size=16, val_per_class=2),
    learn=dict(steps=3, batch_size=8),
    linear=dict(steps=3, batch_size=8, lr=1.0),
    explore=dict(evaluations=4, recalibration_images=16, batch_size=6),
)
methods = dict(spos=dict(learn=dict(method="spos")))
recipe = dict(
    data=dict(root={root!r}, image_size=16),
    optim=dict(lr=1.0),
    schedule=dict(epochs=4, warmup_epochs=0),
    batch_size=8,
    log_every=1,
    eval_every=4,
    keep="last",
)
"""
FILES = ("report.md", "report.json", "report.html", "scatter.svg")


def write_config(folder: Path, more: str = "") -> Path:
    """A configuration that ends with the lines ``more``, and its pictures beside it."""
    path, images = folder / "tiny.py", folder / "images"
    if not images.exists():
        picture_folder(images)
    path.write_text(CONFIG.replace("{root!r}", repr(str(images))) + more)
    return path


def main(config: str, folder: Path) -> None:
    from pinas_zoo.cli import main as command
    from pinas_zoo.search.study import leases

    leases.POLL = 0.05
    while not folder.with_suffix(".go").exists():
        time.sleep(0.02)
    sys.exit(command(["study", config, "--work-dir", str(folder), "--worker"]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
