"""A study of three tiny networks on a few digits; run as a program it is one worker of it.

``python -m tests.search.trained_study.tiny_study CONFIG FOLDER`` begins when ``FOLDER.go`` exists.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

CONFIG = """
name = "tiny"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
count = 3
architectures = ("0123",)
seeds = (0, 1)
search = dict(
    data=dict(type="digits", image_size=16, val_per_class=4, max_train=120, max_test=40),
    learn=dict(steps=3, batch_size=8),
    linear=dict(steps=3, batch_size=16, lr=1.0),
    explore=dict(evaluations=4, recalibration_images=32, batch_size=40),
)
methods = dict(spos=dict(learn=dict(method="spos")))
recipe = dict(
    data=dict(type="digits", image_size=16, max_train=64, max_test=40),
    schedule=dict(epochs=2, warmup_epochs=0),
    batch_size=16,
    log_every=1,
    keep="last",
)
"""
FILES = ("report.md", "report.json", "report.html", "scatter.svg")


def write_config(folder: Path, more: str = "") -> Path:
    path = folder / "tiny.py"
    path.write_text(CONFIG + more)
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
