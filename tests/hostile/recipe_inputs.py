"""Recipes of stand-alone training: values that are refused when they are read, and values that reach the training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from pinas_zoo.commands.train import read_recipe
from pinas_zoo.engine.config_values import parse_overrides
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import LOG, train
from tests.hostile.inputs import Accepted, Either, Input, Make, Promise, Refused, file_of, given, table
from tests.hostile.result_inputs import JSON_FAULTS
from tests.hostile.value_inputs import RUNS_CODE

REFUSED = [
    "name=../x", "name=", "name=A", "name=a\0", "name=" + "a" * 5000, "name=3", "seed=-1", "seed=1e999", "seed='x'", "seed=" + "9" * 5000, "model=3", "model_args=3", "model_args={1.5: 2}", "start=evil", "weights=3", "reset_head='maybe'",
    "holdout=0", "holdout=1", "holdout=-1", "holdout=1e999", "data=3", "data.root=\udce9", "data.image_size=0", "data.image_size=100000000", "data.workers=-1", "data.workers=1000000", "data.crop_pct=0", "data.mean=(1e999,0,0)", "data.std=(0,0,0)", "data.interpolation=evil", "data.evil=1",
    "augment.scale=(0,1)", "augment.scale=(1,0.1)", "augment.ratio=(0,1)", "augment.ratio=(1e999,1e999)", "augment.hflip=2", "augment.color_jitter=-1", "augment.color_jitter=1e999", "augment.re_prob=2", "augment.re_count=0", "augment.re_count=-1", "augment.re_mode=evil", "augment.train_crop_mode=evil",
    "mix.mixup_alpha=-1", "mix.mixup_alpha=1e999", "mix.prob=2", "mix.mode=evil", "loss.type=evil", "loss.smoothing=1", "loss.smoothing=-1", "loss.jsd_weight=-1", "loss.class_weight=evil", "loss.class_weight=(0,1)", "loss.class_weight=(1e999,1)", "loss.type=jsd",
    "optim.lr=-1", "optim.lr=1e999", "optim.lr='fast'", "optim.lr_batch=0", "optim.momentum=1", "optim.momentum=-1", "optim.weight_decay=-1", "optim.weight_decay=1e999", "optim.layer_decay=0", "optim.layer_decay=2", "optim.clip_grad=0", "optim.clip_grad=1e999", "optim.options=3", "optim.evil=1",
    "schedule.epochs=0", "schedule.epochs=-1", "schedule.epochs=1.5", "schedule.epochs=1e999", "schedule.warmup_epochs=-1", "schedule.warmup_epochs=1000", "schedule.warmup_lr=-1", "schedule.min_lr=1e999", "schedule.sched=evil", "schedule.decay_epochs=0", "schedule.decay_milestones=('a',)", "schedule.decay_rate=-1",
    "ema.decay=1", "ema.decay=-1", "ema.decay=1e999", "batch_size=1", "batch_size=-1", "batch_size=1e999", "accumulate=0", "precision=fp4", "keep=evil", "patience=0", "eval_every=0", "checkpoint_every=0", "log_every=0", "log=3", "log.wandb=3", "compile=3", "evil=1", "optim.lr.x=1", "__class__=1",
]  # fmt: skip


def read(settings: str) -> Any:
    """The recipe ``finetune`` with one value changed."""
    recipe = read_recipe(Path(__file__).resolve().parents[2] / "configs/cls/finetune.py", parse_overrides([settings]))
    recipe.model_dump_json()
    return recipe


FILES: dict[str, tuple[Make, Promise]] = {
    **{f"json-{name}": (file_of(text, "r.json"), Refused()) for name, text in JSON_FAULTS.items() if name != "nothing"},
    "json-names-code": (file_of(json.dumps({"_base_": "evil.py"}).encode(), "r.json"), Refused()),
    "yaml": (file_of(b"!!python/object/apply:os.system ['touch EXECUTED']", "r.yaml"), Refused()),
    "python-exit": (file_of(b"import sys\nsys.exit(0)\n", "r.py"), Refused()),
    "python-values-nan": (file_of(b"optim = dict(lr=float('nan'))\n", "r.py"), Refused()),
    "python-values-of-code": (file_of(b"model_args = dict(a=lambda: 3)\n", "r.py"), Refused()),
    "python-torn": (file_of(RUNS_CODE.encode()[:20] + b"(", "r.py"), Refused()),
    "device": (given(Path("/dev/zero")), Refused()),
    "folder": (lambda folder: folder, Refused()),
}  # fmt: skip

# Trainings of one epoch

SMALL: dict[str, Any] = {"arch": "0123", "depths": (1, 1, 1, 1), "widths": (16, 16, 16, 16), "stem_width": 4}


def pictures(change: Callable[[Path], object] = lambda root: None) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for split in ("train", "validation"):
            for k, label in enumerate(("cat", "dog") * 4):
                path = folder / "data" / split / label / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (20, 20), (30 * k, 200 - 20 * k, 90)).save(path)
        change(folder / "data")
        return folder / "data"

    return make


def training(*settings: str, change: Callable[[Path], object] = lambda root: None) -> Make:
    def make(folder: Path) -> tuple[str, ...]:
        pictures(change)(folder)
        return ("data.root=data", "data.image_size=32", "batch_size=4", "schedule.epochs=1", "schedule.warmup_epochs=0", "log.tensorboard=False", *settings)  # fmt: skip

    return make


def trained(settings: tuple[str, ...]) -> Any:
    """The results of a training of one epoch."""
    path = Path(__file__).resolve().parents[2] / "configs/cls/finetune.py"
    recipe = read_recipe(path, {**parse_overrides(list(settings)), "ema": {}, "mix": {}})
    return train(recipe, Start("0123", "pinas", "pinas", SMALL), Path("run"), lambda text: None)


def run_file(name: str, content: bytes) -> Make:
    """A training in a folder that has a file already."""

    def make(folder: Path) -> tuple[str, ...]:
        settings: tuple[str, ...] = training()(folder)
        path = Path(__file__).resolve().parents[2] / "configs/cls/finetune.py"
        recipe = read_recipe(path, {**parse_overrides(list(settings)), "ema": {}, "mix": {}})
        (folder / "run" / "train").mkdir(parents=True)
        (folder / "run" / "config.json").write_text(recipe.model_dump_json())
        (folder / "run" / name).write_bytes(content)
        return settings

    return make


RUN_FILES: dict[str, tuple[Make, Promise]] = {
    **{f"done-{name}": (run_file("done.json", text), Refused("done.json")) for name, text in JSON_FAULTS.items()},
    "done-warnings": (run_file("done.json", b'{"summary": "x", "warnings": [1]}'), Refused("done.json")),
    **{f"config-{name}": (run_file("config.json", text), Refused("config.json")) for name, text in JSON_FAULTS.items() if name != "nothing"},
    **{f"images-{name}": (run_file("images.json", text), Refused("images.json")) for name, text in JSON_FAULTS.items()},
    "images-other": (run_file("images.json", b'{"classes": ["cat", "eel"]}'), Refused("eel")),
    "checkpoint-pickle": (run_file("train/checkpoint.pth", b"cos\nsystem\n(S'touch EXECUTED'\ntR."), Refused("checkpoint.pth")),
    "checkpoint-empty": (run_file("train/checkpoint.pth", b""), Refused("checkpoint.pth")),
    "lock-garbage": (run_file(".lock", b"\xff" * 100), Accepted()),
    "log-not-utf8": (run_file(LOG, b"\xff\n"), Accepted()),
}  # fmt: skip
TRAININGS: dict[str, tuple[Make, Promise]] = {
    "sound": (training(), Accepted(lambda done: 0 <= done["top1"] <= 1)),
    "epochs-huge-images-few": (training("batch_size=1000000000000"), Either()),
    "accumulate-huge": (training("accumulate=1000000000"), Refused("accumulate")),
    "opt-unknown": (training("optim.opt=evil"), Refused("optim.opt")),
    "opt-empty": (training("optim.opt="), Refused()),
    "opt-code": (training("optim.opt=__import__('os')"), Refused()),
    "options-unknown": (training("optim.options={'evil': 1}"), Refused()),
    "options-lr": (training("optim.options={'lr': 5}"), Refused()),
    "options-text": (training("optim.opt=adamw", "optim.options={'betas': 'ab'}"), Refused()),
    "options-beta-2": (training("optim.opt=adamw", "optim.options={'betas': (2, 2)}"), Refused()),
    "options-negative": (training("optim.options={'dampening': -1e9}"), Either()),
    "auto-augment-unknown": (training("augment.auto_augment=evil"), Refused("auto_augment")),
    "auto-augment-number": (training("augment.auto_augment=3"), Refused("auto_augment")),
    "auto-augment-operations": (training("augment.auto_augment=rand-m9-n1000000000"), Refused("auto_augment")),
    "auto-augment-operations-1000": (training("augment.auto_augment=rand-m9-n1000"), Refused("auto_augment")),
    "auto-augment-strength": (training("augment.auto_augment=rand-m1000000000"), Either()),
    "auto-augment-strength-nan": (training("augment.auto_augment=rand-mnan"), Refused("auto_augment")),
    "auto-augment-long": (training("augment.auto_augment=rand-" + "m9-" * 100_000), Refused("auto_augment")),
    "auto-augment-width": (training("loss.type=jsd", "mix.mixup_alpha=0", "mix.cutmix_alpha=0", "loss.smoothing=0", "augment.auto_augment=augmix-w100000000"), Refused("auto_augment")),
    "auto-augment-depth": (training("loss.type=jsd", "mix.mixup_alpha=0", "mix.cutmix_alpha=0", "loss.smoothing=0", "augment.auto_augment=augmix-d100000000"), Refused("auto_augment")),
    "re-count-huge": (training("augment.re_prob=1", "augment.re_count=1000000000"), Refused("re_count")),
    "jitter-huge": (training("augment.auto_augment=None", "augment.color_jitter=1e15"), Either()),
    "jitter-five": (training("augment.auto_augment=None", "augment.color_jitter=(1,1,1,1,1)"), Refused()),
    "jitter-hue-1": (training("augment.auto_augment=None", "augment.color_jitter=(0,0,0,9)"), Refused()),
    "jitter-none": (training("augment.auto_augment=None", "augment.color_jitter=()"), Refused()),
    "ratio-1e15": (training("augment.ratio=(1e-15,1e15)"), Either()),
    "class-weight-five": (training("loss.class_weight=(1,1,1,1,1)"), Refused("class_weight")),
    "milestones-negative": (training("schedule.sched=multistep", "schedule.decay_milestones=(-5,)"), Either()),
    "milestones-huge": (training("schedule.sched=multistep", "schedule.decay_milestones=(9007199254740992,)"), Either()),
    "decay-epochs-tiny": (training("schedule.sched=step", "schedule.decay_epochs=1e-300"), Either()),
    "lr-1e15": (training("optim.lr=1e15", "optim.clip_grad=None"), Refused()),
    "warmup-lr-1e15": (training("schedule.epochs=2", "schedule.warmup_epochs=1", "schedule.warmup_lr=1e15", "optim.clip_grad=None"), Refused()),
    "decay-1e15": (training("optim.weight_decay=1e15", "optim.lr=1", "optim.clip_grad=None", "schedule.epochs=4"), Refused()),
    "model-args-unknown": (training("model_args={'evil': 1}"), Refused()),
    "model-args-depths": (training("model_args={'depths': (1000000000,1,1,1)}"), Refused("depths")),
    "model-args-widths": (training("model_args={'widths': (16,16,16,10000000)}"), Refused("widths")),
    "model-args-classes": (training("model_args={'num_classes': 3}"), Refused("num_classes")),
    "model-args-drop-path": (training("model_args={'drop_path_rate': 7}"), Refused("drop_path_rate")),
    "model-args-text": (training("model_args={'stem_width': 'x'}"), Refused("stem_width")),
    "wandb": (training("log.wandb={'mode': 'offline'}"), Either()),
    "holdout-tiny": (training("holdout=1e-12"), Accepted()),
    "holdout-all": (training("holdout=0.9999"), Either()),
    "test-split-train": (training("data.test_split=train"), Refused("test")),
    "split-out": (training("data.train_split=../data/train"), Either()),
    "image-size-1": (training("data.image_size=1"), Either()),
    "crop-pct": (training("data.crop_pct=0.001"), Refused("crop_pct")),
    "mean-1e15": (training("data.mean=(1e15,1e15,1e15)", "data.std=(1e-15,1e-15,1e-15)"), Refused()),
    "std-tiny": (training("data.mean=(0,0,0)", "data.std=(1e-300,1,1)"), Refused()),
    "images-empty": (training(change=lambda r: (r / "train/cat/0.png").write_bytes(b"")), Refused("0.png")),
    "images-eps": (training(change=lambda r: (r / "train/cat/0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n")), Refused("0.png")),
    "images-left-out": (training("skip_unreadable=True", change=lambda r: (r / "train/cat/0.png").write_bytes(b"torn")), Accepted()),
    "images-all-left-out": (training("skip_unreadable=True", change=lambda r: [p.write_bytes(b"torn") for p in (r / "train/cat").iterdir()]), Refused("cat")),
    "class-more-in-test": (training(change=lambda r: ((r / "validation/eel").mkdir(), (r / "validation/eel/1.png").write_bytes((r / "train/cat/0.png").read_bytes()))), Refused("eel")),
    "class-escape": (training(change=lambda r: [(r / s / "cat").rename(r / s / "\x1b[2J") for s in ("train", "validation")]), Accepted()),
    "class-not-utf8": (training(change=lambda r: [(r / s / "cat").rename(r / s / "z\udce9") for s in ("train", "validation")]), Accepted()),
    "loop": (training(change=lambda r: (r / "train/cat/loop").symlink_to("..")), Accepted()),
}  # fmt: skip


def inputs() -> tuple[Input, ...]:
    settings: dict[str, tuple[Make, Promise]] = {
        f"{k}-" + "".join(c if c.isascii() and (c.isalnum() or c in "._=-") else "_" for c in text)[:40]: (given(text), Refused())
        for k, text in enumerate(REFUSED)
    }  # fmt: skip
    return (
        *table("recipe", read, settings),
        *table("recipe-file", lambda path: read_recipe(path, {}), FILES),
        *table("train-file", trained, RUN_FILES),
    )


def slow_inputs() -> tuple[Input, ...]:
    return table("train-with", trained, TRAININGS)
