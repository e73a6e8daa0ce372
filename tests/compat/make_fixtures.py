"""Write the fixtures of a version with that version, into JSON files without weights (see fixtures.py).

    git worktree add ../base 53d74ce                # the last commit of 0.1.0
    cd /tmp && PYTHONPATH=PATH/TO/base python REPO/tests/compat/make_fixtures.py REPO/tests/compat/fixtures/0.1.0

Takes half a minute on one core. The last part of the output folder's name must equal the version on ``sys.path``, so
that no version overwrites another's fixtures. Fixtures of a later version are made in the same way: check that version
out, name the folder after it, and write a test file for it beside ``test_open_0_1_0.py``. The script uses the command
line, ``pinas_zoo.register`` and ``tell`` of Optuna's studies, which later versions keep.

A run is stopped in two ways. In a stage that trains, the rename that would put the second checkpoint in place raises
KeyboardInterrupt: what stays is the first checkpoint, a curve that goes past it, and the temporary file. In the explore
stage, Optuna's ``tell`` raises it within a batch: what stays is trials without a score, whose worker is gone.

Left out are the report, which the search writes anew, and mmengine's logs, which name this machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import optuna
import timm
import torch
from fixtures import FOLDER, WORKER, Encoded, materialise, read_file, this_place

import pinas_zoo
from pinas_zoo.cli import main as pinas_zoo_command

LARGEST = 150_000  # bytes of a fixture
COMMON = """
seed = 3
data = dict(type="digits", image_size=16, val_per_class=10)
views = dict(flip=0.2, jitter_p=0.8, gray_p=0.1, blur_p=0.5, blur_sigma=(0.1, 1.0))
linear = dict(steps=6, batch_size=16, lr=1e-9, log_every=1, checkpoint_every=2)
train = dict(epochs=1, batch_size=128, log_every=1, checkpoint_every=2)
log = dict(tensorboard=False)
"""
RESNEST50 = 'space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)'
NASBENCH201 = 'space = dict(type="nasbench201", channels=4, cells=1)'
PINAS = dict(method="pinas", options=dict(queue_size=64, dim=16, warm_queue=True))
SPOS = dict(method="spos", options=dict(label_smoothing=0.1))
FAIRNAS = dict(method="fairnas")
# name: space, learn, explore, and the stage to stop in
RUNS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str | None]] = {
    "pinas_in_learn": (RESNEST50, PINAS, dict(random_first=4), "learn"),
    "pinas_in_linear": (RESNEST50, PINAS, dict(random_first=4), "linear"),
    "spos_in_explore": (NASBENCH201, SPOS, dict(sampler="nsga2", population=4), "explore"),
    "fairnas_in_train": (RESNEST50, FAIRNAS, dict(sampler="tpe", random_first=4), "train"),
    "pinas_complete": (NASBENCH201, PINAS, dict(score="consistency", rank_by="effects", batch_size=50), None),
}
BETA = "0123012301230123"  # a test's string: what the paper's pinas_beta is stands in a picture only


class Stop:
    """Raises KeyboardInterrupt at the second checkpoint of a stage, or at the seventh score of the explore stage."""

    def __init__(self) -> None:
        self.stage: str | None = None
        self.seen = 0
        sys.addaudithook(self.audit)
        self.tell, optuna.Study.tell = optuna.Study.tell, self.counting_tell()  # type: ignore[method-assign]

    @contextmanager
    def within(self, stage: str | None) -> Iterator[None]:
        self.stage, self.seen = stage, 0
        try:
            yield
        finally:
            self.stage = None

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.stage and event == "os.rename" and str(arguments[1]).endswith(f"{self.stage}/checkpoint.pth"):
            self.count(2)

    def counting_tell(self) -> Any:
        def tell(study: optuna.Study, trial: Any, values: Any = None, state: Any = None, **more: Any) -> Any:
            if self.stage == "explore" and values is not None and state is None:
                self.count(7)
            return self.tell(study, trial, values, state, **more)

        return tell

    def count(self, last: int) -> None:
        self.seen += 1
        if self.seen == last:
            raise KeyboardInterrupt


def command(*words: str, code: int = 0) -> None:
    found = pinas_zoo_command(list(words))
    if found != code:
        raise SystemExit(f"expected exit code {code} of pinas-zoo {' '.join(words)}, got {found}")


def make_run(name: str, folder: Path, stop: Stop) -> None:
    """A configuration and the run's folder beside it."""
    space, learn, explore, stage = RUNS[name]
    learn = dict(**learn, steps=6, batch_size=16, log_every=1, checkpoint_every=2)
    explore = dict(evaluations=12, batch=4, recalibration_images=32, **explore)
    config, run = folder / "config.py", folder / "run"
    config.write_text(f'name = "{name}"\n{space}{COMMON}learn = {learn}\nexplore = {explore}\n', encoding="utf-8")
    with stop.within(stage):
        command("search", str(config), "--work-dir", str(run), code=130 if stage else 0)
    if stage is None:
        with (run / "explore" / "ranking.csv").open(newline="") as file:
            archs = [row["arch"] for row in csv.DictReader(file)]
        truth = folder / "truth.csv"
        truth.write_text("arch,accuracy\n" + "".join(f"{arch},{int(arch, 36) % 97}\n" for arch in archs))
        command("rank", str(run), "--truth", str(truth))
        command("similarity", str(run), "--images", "64")
    for path in [*run.glob("*/20[0-9]*"), run / "report.html"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def make_registry(folder: Path, runs: Path, home: Path) -> None:
    """Model folders of two families, one that timm exported, and a registry with an entry of every kind."""
    for name, run in (("tiny", "fairnas_in_train"), ("cells", "pinas_complete")):
        shutil.copytree(runs / run / "run" / "winner", folder / name)
    command("register", "compat_tiny", "--folder", str(folder / "tiny"))
    command("register", "compat_cells", "--folder", str(folder / "cells"))
    sizes = ("--depths", "1,1,1,1", "--widths", "16,16,16,16", "--stem-width", "8")
    command("register", "compat_arch", "--arch", "0123", *sizes, "--num-classes", "7", "--in-chans", "1")
    pinas_zoo.register("compat_cells_arch", arch="012340", architecture="nasbench201", channels=4, cells=1)
    command("register", "pinas_beta", "--arch", BETA)
    timm.models.save_for_hf(timm.create_model("pinas_alpha"), str(folder / "alpha"), safe_serialization=True)
    command("register", "pinas_alpha", "--folder", str(folder / "alpha"))
    shutil.copytree(home, folder / "home")


def write_fixture(path: Path, folder: Path) -> None:
    """Encode a folder, check what is written, and check that building it gives the same again."""
    replaced = dict.fromkeys(workers(folder), WORKER) | {folder.as_posix(): FOLDER}
    encoded: dict[str, Encoded] = {}
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and p.name not in ("study.db-wal", "study.db-shm")):
        torn = file.name == ".checkpoint.pth"  # whatever a kill within the write leaves
        encoded[file.relative_to(folder).as_posix()] = {"text": ["torn"]} if torn else read_file(file, replaced)
    text = layout(encoded) + "\n"
    host = socket.gethostname()
    for private in (host, str(Path.home()), tempfile.gettempdir() + "/", str(Path(pinas_zoo.__file__).parents[1])):
        if private in text:
            raise SystemExit(f"expected nothing of this machine in {path.name}, found {private!r}")
    if len(text.encode()) > LARGEST:
        raise SystemExit(f"expected at most {LARGEST} bytes, got {len(text.encode())} in {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        built = materialise(path.stem, Path(temporary) / "built", path.parent.name)
        replaced = dict.fromkeys(workers(built), WORKER) | {built.resolve().as_posix(): FOLDER}
        for name, content in encoded.items():
            again = content if content == {"text": ["torn"]} else read_file(built / name, replaced)
            if again != content:
                raise SystemExit(f"expected {name} of {path.name} to be the same when built, got another content")
    print(f"{path.name}  {len(text.encode())} bytes, {len(encoded)} files")


def workers(folder: Path) -> set[str]:
    """The names of this machine's workers in the studies of a folder."""
    name = re.compile(re.escape(this_place()) + r":\d+:[0-9a-f]{8}")
    return {
        found for path in folder.rglob("study.db") for found in name.findall("\n".join(read_file(path, {})["sqlite"]))
    }


def layout(value: Any, indent: int = 0) -> str:
    """JSON with what fits into a line on one line."""
    text = json.dumps(value, ensure_ascii=False)
    if indent + len(text) <= 118 or not isinstance(value, dict | list) or not value:
        return text
    inner = " " * (indent + 1)
    if isinstance(value, list):
        if all(isinstance(item, int) for item in value):
            return text
        return "[\n" + ",\n".join(inner + layout(item, indent + 1) for item in value) + f"\n{' ' * indent}]"
    rows = (f"{inner}{json.dumps(key, ensure_ascii=False)}: {layout(item, indent + 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(rows) + f"\n{' ' * indent}}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="fixtures/VERSION")
    out = parser.parse_args().out.resolve()
    print(f"pinas_zoo {pinas_zoo.__version__} of {pinas_zoo.__file__}")
    if out.name != pinas_zoo.__version__:
        raise SystemExit(f"expected an output folder named {pinas_zoo.__version__}, got {out.name}")
    torch.set_num_threads(1)
    stop = Stop()
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary).resolve()

        def empty_home(name: str) -> Path:
            os.environ["PINAS_ZOO_HOME"] = str(runs / "homes" / name)
            (runs / name).mkdir()
            return runs / "homes" / name

        for name in RUNS:
            empty_home(name)
            make_run(name, runs / name, stop)
        make_registry(runs / "registry", runs, empty_home("registry"))
        for name in (*RUNS, "registry"):
            write_fixture(out / f"{name}.json", runs / name)


if __name__ == "__main__":
    main()
