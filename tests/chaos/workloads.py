"""The long commands at tiny size, each from a prepared folder, and the files that their ends have in common."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from pinas_zoo.search.evidence.plan import find_evidence
from tests.hub_server import TOKEN
from tests.networks import tiny, tiny_folder
from tests.search.evidence.made_up_runs import write_truth
from tests.train.pictures import picture_folder

TINY = """
name = "tiny"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
data = dict(type="digits", image_size=16, val_per_class=10, max_train=200)
learn = dict(options=dict(queue_size=32, dim=16), steps=9, batch_size=8, checkpoint_every=2, log_every=1)
linear = dict(steps=9, batch_size=16, lr=1.0, checkpoint_every=2, log_every=1)
explore = dict(evaluations=16, random_first=8, batch=2, recalibration_images=32, batch_size=64)
train = dict(epochs=3, batch_size=64, checkpoint_every=2, log_every=1)
"""
EVIDENCE = """
_base_ = [{base!r}]
search = dict(
    space=dict(channels=4),
    data=dict(val_per_class=4),
    learn=dict(batch_size=8, checkpoint_every=2),
    linear=dict(steps=4, batch_size=8, checkpoint_every=2),
    explore=dict(batch_size=8),
)
report = dict(resamples=20, fitted=60)
"""
STAGES = {  # files that are equal to the bit, by stage
    "learn": ("learn/supernet.safetensors", "learn/curve.csv"),
    "linear": ("linear/classifier.safetensors", "linear/curve.csv"),
    "explore": ("explore/ranking.csv",),
    "winner": ("winner/model.safetensors",),
    "train": ("trained/model.safetensors", "train/curve.csv"),
}


@dataclass(frozen=True)
class Workload:
    """Commands that run at once in a folder, and what they leave.

    Attributes:
        name: In the table.
        commands: Words after ``pinas-zoo``; the first is the one that has to be run until its end. ``NAME`` stands for
            the name of the folder.
        equal: Files that are equal, to the bit, to those of a run that was never killed.
        interval: Steps between two checkpoints.
        after: The workload whose ended folder is copied to begin from.
        leave_out: What is not copied.
        study: Place of the study whose trials are compared.
        by_workers: Whether candidates depend on when each worker asked, so that they are not compared.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    equal: tuple[str, ...] = ()
    interval: int = 0
    after: str = ""
    leave_out: tuple[str, ...] = ()
    study: str = ""
    by_workers: bool = False


def search_words(inputs: Path, *more: str) -> tuple[str, ...]:
    return ("search", str(inputs / "tiny.py"), "--work-dir", "run", *more)


def stage(inputs: Path, name: str, after: str, interval: int = 0, workers: int = 0) -> Workload:
    """One stage of a search, from the folder of the stage before."""
    words = search_words(inputs, "--set", f"until='{name}'")
    equal = tuple(f"run/{file}" for file in STAGES[name])
    study = "run/explore/study.db" if name == "explore" else ""
    commands = (words, *[search_words(inputs, "--worker")] * workers)
    title = f"search: {name}" + (f", {1 + workers} workers" if workers else "")
    return Workload(title, commands, () if workers else equal, interval, after, (), study, workers > 0)


def workloads(inputs: Path) -> list[Workload]:
    """All of them, in an order in which each comes after the one that it begins from."""
    whole = tuple(f"run/{file}" for files in STAGES.values() for file in files)
    train = (
        "train", "3013", "--data", str(inputs / "images"), "--config", str(inputs / "recipe.py"), "--work-dir", "run",
        "--name", "trained_net", "--register-anyway",
    )  # fmt: skip
    evidence = (
        "evidence", str(inputs / "evidence.py"), "--truth", str(inputs / "truth.csv"), "--images",
        str(inputs / "cifar"), "--runs", "spos", "--sizes", "729", "--seeds", "3", "--minutes", "0.002", "--threads",
        "1", "--count", "30", "--work-dir", "work", "--results", "results/tiny",
    )  # fmt: skip
    name = "spos_729_0.002x1_3"
    return [
        stage(inputs, "learn", "", 2),
        stage(inputs, "linear", "search: learn", 2),
        stage(inputs, "explore", "search: linear"),
        stage(inputs, "explore", "search: linear", workers=2),
        Workload("search: winner and train", (search_words(inputs),),
                 tuple(f"run/{f}" for f in (*STAGES["winner"], *STAGES["train"])), 2, "search: explore"),
        Workload("search: all stages", (search_words(inputs),), whole, 2, study="run/explore/study.db"),
        Workload("train", (train,),
                 ("run/trained/model.safetensors", "run/train/curve.csv", "run/train/epochs.csv"), 2),
        Workload("evidence: begin", (evidence,)),
        Workload("evidence", (evidence,), (f"results/tiny/{name}_of_30.csv", f"work/{name}/learn/supernet.safetensors"),
                 2, "evidence: begin", ("results", "learn", "linear", "images.json")),
        Workload("convert", (("convert", str(inputs / "network.pth.tar"), "--out", "model"),),
                 ("model/model.safetensors", "model/config.json")),
        Workload("register", (("register", "kept_net", "--folder", str(inputs / "model")),)),
        Workload("push", (("push", str(inputs / "model"), "user/NAME", "--yes"),)),
        Workload("pull", (("pull", "user/pulled", "model", "--register", "pulled_net"),),
                 ("model/model.safetensors", "model/config.json")),
    ]  # fmt: skip


def write_inputs(folder: Path) -> Path:
    """What the commands read."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    (folder / "tiny.py").write_text(TINY)
    (folder / "recipe.py").write_text(
        "data = dict(image_size=32)\nbatch_size = 8\naugment = dict(scale=(0.5, 1.0))\nkeep = 'best'\n"
        "schedule = dict(epochs=4, warmup_epochs=1)\ncheckpoint_every = 2\nlog_every = 1\n"
        "log = dict(tensorboard=False)\n"
        "model_args = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)\n"
    )
    (folder / "evidence.py").write_text(EVIDENCE.format(base=str(find_evidence("nasbench201"))))
    write_truth(folder / "truth.csv")
    picture_folder(folder / "images")
    picture_folder(folder / "cifar", train=12, test=4, classes=("dark", "amber"))
    tiny_folder(folder / "model")
    torch.save({"state_dict": tiny("3013").state_dict()}, folder / "network.pth.tar")
    return folder


def environment(folder: Path, hub: str) -> dict[str, str]:
    """Of a command in a folder: registry and cache are inside it."""
    return {
        "PINAS_ZOO_HOME": str(folder / "home"),
        "HF_ENDPOINT": hub,
        "HF_TOKEN": TOKEN,
        "HF_HUB_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }


def begin(workload: Workload, folder: Path, references: Mapping[str, Path]) -> None:
    """Make the folder in which a workload runs."""
    if not workload.after:
        folder.mkdir(parents=True)
        return
    ignore: Callable[[str, list[str]], set[str]] = shutil.ignore_patterns(*workload.leave_out)
    shutil.copytree(references[workload.after], folder, ignore=ignore, symlinks=True)


def words_in(workload: Workload, folder: Path) -> list[list[str]]:
    """The words of its commands in a folder."""
    return [[word.replace("NAME", folder.name) for word in words] for words in workload.commands]


def same_file(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes."""
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def tree(folder: Path) -> set[str]:
    """All files and folders, by their paths inside a folder; SQLite's own files beside a study are no part of it."""
    found = {
        os.path.relpath(os.path.join(at, name), folder)
        for at, dirs, names in os.walk(folder)
        for name in (*dirs, *names)
    }
    return {path for path in found if not path.endswith(("-wal", "-shm"))}
