"""Whole commands on hostile inputs: train, eval, study, evidence, new-config, push, and options of all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.command_inputs import Prepared, hub, network_folder
from tests.hostile.commands import Command, run
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, table
from tests.hostile.recipe_inputs import pictures
from tests.hostile.result_inputs import JSON_FAULTS, truth_text
from tests.search.evidence.made_up_runs import write_run
from tests.search.trained_study.tiny_study import write_config

TRAIN = ["train", "0000", "--data", "data", "--work-dir", "run", "--no-register", "--set", "schedule.epochs=1", "--set", "schedule.warmup_epochs=0", "--set", "model_args={'depths':(1,1,1,1),'widths':(16,16,16,16),'stem_width':4}", "--set", "data.image_size=32", "--set", "batch_size=4", "--set", "precision=fp32"]  # fmt: skip


def line(*words: str, prepare: Prepared = lambda f: None, check: Callable[[Path], object] = lambda f: None) -> Make:
    """A command beside a folder of images, a sound network and a truth table."""

    def make(folder: Path) -> Command:
        pictures()(folder)
        network_folder(folder / "net")
        (folder / "t.csv").write_text(truth_text())
        prepare(folder)
        return Command(list(words), check=check)

    return make


def train(*words: str, **how: Any) -> Make:
    return line(*TRAIN, *words, **how)


def cat_and_dog(folder: Path) -> None:
    """Lets the network have the classes of the pictures."""
    path = folder / "net" / "config.json"
    config = json.loads(path.read_text())
    config["label_names"] = [*map(str, range(8)), "cat", "dog"]
    path.write_text(json.dumps(config))


EVAL = ["eval", "net", "--data", "data"]
EVALUATED: dict[str, tuple[Make, Promise]] = {
    "sound": (line(*EVAL, prepare=cat_and_dog), Accepted()),
    "other-classes": (line(*EVAL), Refused("classes")),
    "batch-0": (line(*EVAL, "--batch-size", "0"), Refused("--batch-size")),
    "batch-huge": (line(*EVAL, "--batch-size", "1000000000000", prepare=cat_and_dog), Accepted()),
    "workers-huge": (line(*EVAL, "--workers", "1000000", prepare=cat_and_dog), Refused("--workers")),
    "crop-nan": (line(*EVAL, "--crop-pct", "nan"), Refused("--crop-pct")),
    "size-huge": (line(*EVAL, "--image-size", "1000000"), Refused()),
    "device-meta": (line(*EVAL, "--device", "meta"), Refused("--device")),
    "split-out": (line(*EVAL, "--split", "../../etc"), Refused()),
    "data-device": (line("eval", "net", "--data", "/dev/zero"), Refused("--data")),
    "html-device-full": (line(*EVAL, "--html", "/dev/full/x", prepare=cat_and_dog), Refused()),
    "html-class-script": (line(*EVAL, "--html", "page.html", prepare=lambda f: (cat_and_dog(f), (f / "net/config.json").write_text((f / "net/config.json").read_text().replace('"cat"', '"<script>alert(1)</script>"')), [(f / "data" / s / "cat").rename(f / "data" / s / "<script>alert(1)<") for s in ("train", "validation")])), Either()),
    "dataset-evil": (line(*EVAL, "--dataset", "evil/../x"), Refused()),
    "dataset-tfds": (line(*EVAL, "--dataset", "tfds/x"), Refused()),
    "image-torn": (line(*EVAL, prepare=lambda f: (cat_and_dog(f), next((f / "data/validation/cat").iterdir()).write_bytes(b"\x89PNG")))  , Refused(".png")),
    "network-weights-torn": (line(*EVAL, prepare=lambda f: (f / "net/model.safetensors").write_bytes(b"\xff" * 100)), Refused("model.safetensors")),
    "network-provenance-torn": (line(*EVAL, prepare=lambda f: (cat_and_dog(f), (f / "net/provenance.json").write_bytes(b"{"))), Accepted()),
}  # fmt: skip
TRAINED: dict[str, tuple[Make, Promise]] = {
    "sound": (train(), Accepted()),
    "dry-run": (train("--dry-run"), Accepted()),
    "config-device": (train("--config", "/dev/zero"), Refused()),
    "config-gone": (train("--config", "gone.py"), Refused("gone.py")),
    "config-json-code": (train("--config", "r.json", prepare=lambda f: (f / "r.json").write_text('{"_base_": "evil.py"}')), Refused()),
    "name-out": (train("--name", "../x"), Refused("name")),
    "work-dir-file": (train("--work-dir", "t.csv"), Refused("t.csv")),
    "work-dir-device": (train("--work-dir", "/dev/null/x"), Refused()),
    "work-dir-other": (train("--work-dir", "net"), Refused("net")),
    "weights-pickle": (train("--weights", "w.pth", prepare=lambda f: (f / "w.pth").write_bytes(b"cos\nsystem\n(S'touch EXECUTED'\ntR.")), Refused("w.pth")),
    "weights-of-another": (train("--weights", "net/model.safetensors"), Refused("another")),
    "weights-device": (train("--weights", "/dev/zero"), Refused()),
    "weights-run-torn": (train("--weights", "other", prepare=lambda f: ((f / "other/learn").mkdir(parents=True), (f / "other/learn/supernet.safetensors").write_bytes(b"x"))), Refused("other")),
    "data-gone": (line(*TRAIN[:2], "--data", "gone", "--work-dir", "run", "--set", "precision=fp32"), Refused("gone")),
    "log-is-link": (train(prepare=lambda f: ((f / "run").mkdir(), (f / "run/train.log").symlink_to("/etc/hostname"))), Refused("a symbolic link")),
    "arch-of-nothing": (line("train", "evil", "--data", "data"), Refused("evil")),
    "arch-long": (line("train", "0" * 100_000, "--data", "data"), Refused()),
    "resume-renamed-class": (train(prepare=lambda f: ((f / "run").mkdir(), (f / "run/images.json").write_text('{"classes": ["cat", "eel"]}'))), Refused()),
    "lr-1e999": (train("--set", "optim.lr=1e999"), Refused("optim.lr")),
    "json-alone": (train("--json"), Accepted()),
}  # fmt: skip


def study(*words: str, prepare: Prepared = lambda f: None, more: str = "", check: Callable[[Path], object] = lambda f: None) -> Make:  # fmt: skip
    def make(folder: Path) -> Command:
        path = write_config(folder, more)
        prepare(folder)
        return Command(["study", str(path), "--work-dir", "run", *words], check=check)

    return make


def begun(name: str, content: bytes) -> Prepared:
    """A study's folder that has a file already."""

    def prepare(folder: Path) -> None:
        path = folder / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (folder / "run" / "study.json").write_text("{}")
        path.write_bytes(content)

    return prepare


STUDIED: dict[str, tuple[Make, Promise]] = {
    "report-of-nothing": (study("--report"), Refused()),
    "report-begun": (study("--report", prepare=begun("study.json", b"{}")), Accepted()),
    "report-study-torn": (study("--report", prepare=begun("study.json", b"{")), Either()),
    "scores-torn": (study("--report", prepare=begun("scores/pinas_seed-0.csv", b"arch\xff")), Either()),
    "explore-torn": (study("--report", prepare=begun("supernets/spos/seed-0/explore/done.json", b"{")), Either()),
    "link": (study("--report", prepare=lambda f: ((f / "run").mkdir(), (f / "run/study.json").write_text("{}"), (f / "run/report.md").symlink_to("/etc/hostname"))), Refused("a symbolic link")),
    "outcome-name-markup": (study("--report", "--outcome", "<script>|a\x1b[2J=o.csv", prepare=lambda f: (begun("study.json", b"{}")(f), (f / "o.csv").write_text("architecture,outcome\n0123,1\n"))), Accepted()),
    "outcome-device": (study("--report", "--outcome", "a=/dev/zero"), Refused("/dev/zero")),
    "storage": (study("--set", "storage=redis://127.0.0.1:9"), Refused()),
    "config-json": (lambda folder: ((folder / "s.json").write_bytes(JSON_FAULTS["deep"]), Command(["study", "s.json", "--work-dir", "run"]))[1], Refused("s.json")),
}  # fmt: skip
EVIDENCE = ["evidence", "nasbench201", "--truth", "t.csv", "--results", "results"]


def evidence(*words: str, prepare: Prepared = lambda f: None) -> Make:
    return line(*EVIDENCE, *words, prepare=prepare)


MEASURED: dict[str, tuple[Make, Promise]] = {
    "no-images": (evidence(), Refused("--images")),
    "report-of-nothing": (evidence("--report", prepare=lambda f: (f / "results").mkdir()), Either()),
    "results-file": (evidence("--report", "--results", "t.csv"), Either()),
    "results-link": (evidence("--report", prepare=lambda f: (write_run(f / "results", "spos", "SPOS", consistency=1.0), (f / "results.md").symlink_to("t.csv"))), Either()),
    "images-pickle": (evidence("--images", "i.npz", prepare=lambda f: (f / "i.npz").write_bytes(b"cos\nsystem\n(S'touch EXECUTED'\ntR.")), Refused("--images")),
    "images-device": (evidence("--images", "/dev/zero"), Refused("--images")),
    "minutes-nan": (evidence("--minutes", "nan"), Refused("--minutes")),
    "count-huge": (evidence("--count", "-1"), Refused("--count")),
    "seeds-negative": (evidence("--images", "data", "--seeds", "-1"), Refused()),
    "set-code": (evidence("--images", "data", "--set", "learn.method=./evil.py"), Refused()),
    "truth-device": (line("evidence", "nasbench201", "--truth", "/dev/zero", "--report"), Refused("/dev/zero")),
    "config-device": (line("evidence", "/dev/zero", "--truth", "t.csv"), Refused("/dev/zero")),
}  # fmt: skip


def no_markup(folder: Path) -> None:
    text = (folder / "stdout.txt").read_text("utf-8", "replace")
    assert "<script" not in text.replace("\\<script", "")
    assert "](javascript" not in text.replace("\\](", "")


def pushed(facts: Any) -> Make:
    return line("push", "net", "user/new", prepare=lambda f: (f / "net/provenance.json").write_text(json.dumps(facts)), check=no_markup)  # fmt: skip


PUSHED: dict[str, tuple[Make, Promise]] = {
    "facts-script": (pushed({"dataset": "<script>alert(1)</script>", "source": "[x](javascript:1)\n# evil"}), Accepted()),
    "facts-deep": (lambda folder: (line("push", "net", "user/new")(folder), (folder / "net/provenance.json").write_bytes(b'{"a": ' * 500 + b"1" + b"}" * 500), Command(["push", "net", "user/new"]))[2], Refused("provenance.json")),
    "metric-huge": (pushed({"dataset": "a", "metrics": {"accuracy": 10**400}}), Refused("finite")),
    "weights-link": (line("push", "net", "user/new", prepare=lambda f: ((f / "net/model.safetensors").unlink(), (f / "net/model.safetensors").symlink_to("/dev/zero"))), Refused()),
    "offline": (hub(["push", "net", "user/new", "--yes", "--message", "a\r\nX: evil\x1b"]), Either()),
    "repo-out": (line("push", "net", "../../x"), Refused()),
}  # fmt: skip
NEW_CONFIG: dict[str, tuple[Make, Promise]] = {
    "out-device": (line("new-config", "seg", "--data", "data", "--backbone", "net", "--out", "/dev/null"), Refused()),
    "data-gone": (line("new-config", "det", "--data", "gone", "--backbone", "pinas_trans"), Refused("gone")),
    "data-of-classes": (line("new-config", "det", "--data", "data", "--backbone", "pinas_trans"), Refused("COCO")),
    "annotations-three": (line("new-config", "det", "--data", "data", "--backbone", "pinas_trans", "--annotations", "a", "b", "c"), Refused("3 files")),
    "iterations-negative": (line("new-config", "seg", "--data", "data", "--backbone", "pinas_trans", "--iterations", "-1"), Refused("--iterations")),
    "batch-huge": (line("new-config", "seg", "--data", "data", "--backbone", "pinas_trans", "--batch-size", "9" * 400), Refused()),
}  # fmt: skip


def inputs() -> tuple[Input, ...]:
    parts = {
        "eval": EVALUATED,
        "train-command": TRAINED,
        "study": STUDIED,
        "evidence": MEASURED,
        "push": PUSHED,
        "new-config": NEW_CONFIG,
    }
    return tuple(item for name, rows in parts.items() for item in table(f"cmd-{name}", run, rows))
