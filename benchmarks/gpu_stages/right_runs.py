"""Whole runs on a card: groups of processes, determinism, a search that changes devices, tests, memory, `digits`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from explore import SMALL, build, normalise, random_paths, rss_mib
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gpu_stages.settings import ROOT, Answer, NotHere, Row, Settings, precision
from pinas_zoo import cli
from pinas_zoo.data.images import Images
from pinas_zoo.engine import distributed
from pinas_zoo.engine.trainable import Batch, Phase
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from tests.tf32 import tf32

CHANNELS: dict[str, Any] = dict(depths=(1, 2, 2, 1), widths=(16, 32, 64, 128), stem_width=8)  # of digits.py
TINY: dict[str, Any] = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
SHORT = {  # digits.py with fewer steps, for a search that changes devices
    "learn.steps": "60", "learn.checkpoint_every": "20", "learn.log_every": "1", "linear.steps": "40",
    "linear.checkpoint_every": "20", "explore.evaluations": "16", "train.epochs": "1", "train.compare.seeds": "0",
}  # fmt: skip
SHORTER = {  # for smoke
    "space.depths": "(1,1,1,1)", "space.widths": "(16,16,16,16)", "data.image_size": "16", "learn.steps": "6",
    "learn.batch_size": "16", "learn.options.queue_size": "64", "learn.checkpoint_every": "2", "linear.steps": "2",
    "linear.batch_size": "16", "explore.evaluations": "3", "explore.recalibration_images": "32",
    "train.enabled": "False",
}  # fmt: skip


def space(settings: Settings) -> ResNeSt50Space:
    return ResNeSt50Space(**(TINY if settings.smoke else CHANNELS))


def method_on(settings: Settings, device: str, memory_format: torch.memory_format) -> tuple[PiNASMethod, torch.Tensor]:
    """A Π-NAS method with weights that follow from a seed, and the views of a batch, N x 4 x 3 x S x S."""
    torch.manual_seed(0)
    method = PiNASMethod(space(settings), queue_size=64).to(device).to(memory_format=memory_format).train()
    side, count = (16, 8) if settings.smoke else (32, 64)
    views = torch.randn(count, 4, 3, side, side, generator=torch.Generator().manual_seed(0))
    return method, views.to(device)


def small_step(settings: Settings, device: str, number: str, memory_format: torch.memory_format) -> dict[str, float]:
    """Loss and gradient norms of a small step, for a comparison of devices."""
    method, views = method_on(settings, device, memory_format)
    with tf32(number == "tf32"):
        with precision(number, device):
            loss = method.losses(Batch(views, torch.zeros(len(views))), 0, Phase("weights"))["loss"]
        loss.backward()
    norms = {n: p.grad.norm().item() for n, p in method.named_parameters() if p.grad is not None}
    return {"loss": loss.item(), **norms}


def trained(settings: Settings) -> list[torch.Tensor]:
    """All weights after three steps of SGD; in groups, so that the teacher's shuffling takes part."""
    method, views = method_on(settings, settings.device, torch.contiguous_format)
    method.batch_norm_images = len(views) // 2
    optimizer = torch.optim.SGD(method.student.parameters(), lr=0.03, momentum=0.9)
    for k in range(3):
        optimizer.zero_grad()
        method.losses(Batch(views, torch.zeros(len(views))), k, Phase("weights"))["loss"].backward()
        distributed.average_gradients(method.student.parameters())
        optimizer.step()
    return [value.detach().clone() for value in method.state_dict().values()]


def determinism(settings: Settings) -> Answer:
    """Whether torch refuses an operator that has no deterministic form, and whether two runs are equal."""
    refused = ""
    with precision("fp32", settings.device):
        torch.use_deterministic_algorithms(True)
        try:
            trained(settings)
        except RuntimeError as error:
            refused = str(error).split(". ")[0]
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            first, second = trained(settings), trained(settings)
        finally:
            torch.use_deterministic_algorithms(False)
    differ = sum(not torch.equal(a, b) for a, b in zip(first, second, strict=True))
    text = f"{differ} of {len(first)} tensors differ; {f'refused: {refused}' if refused else 'no operator is refused'}"
    values = {"differ": differ, "refused": refused}
    return Answer(text, values, differ == 0 and not refused, "0 differ, none refused")


def group(settings: Settings) -> Answer:
    """In a group of one process, collectives run through NCCL (gloo on a CPU) and must change nothing."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with precision("fp32", settings.device):
            alone, plain = trained(settings), network_gradients(settings, grouped=False)
            backend = "nccl" if settings.on_card else "gloo"
            with tempfile.TemporaryDirectory() as folder:
                where = dict(init_method=f"file://{folder}/store", rank=0, world_size=1)
                torch.distributed.init_process_group(backend, **where)  # type: ignore[arg-type]
                try:
                    together, wrapped = trained(settings), network_gradients(settings, grouped=True)
                finally:
                    torch.distributed.destroy_process_group()
    finally:
        torch.use_deterministic_algorithms(False)
    step, error = largest_error(alone, together), largest_error(plain, wrapped)
    kind = "DDP with SyncBN" if settings.on_card else "DDP"  # torch has no SyncBN on a CPU
    text = f"{backend}: weights after three steps differ by {step:.1e}, gradients of {kind} by {error:.1e}, relative"
    return Answer(text, {"step": step, "gradients": error}, max(step, error) < 1e-4, "below 1e-4")


def largest_error(tensors: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """Largest relative distance of two tensors."""
    pairs = [(a.double(), b.double()) for a, b in zip(tensors, others, strict=True)]
    return max(float((a - b).norm() / a.norm().clamp(min=1e-12)) for a, b in pairs)


def network_gradients(settings: Settings, grouped: bool) -> list[torch.Tensor]:
    """Gradients of a small network; ``grouped`` wraps it in DDP and, on a card, converts its batch norms to SyncBN."""
    torch.manual_seed(0)
    model: nn.Module = timm.create_model("pinas", arch="0123", **TINY).to(settings.device).train()
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(settings.device)
    if grouped:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model) if settings.on_card else model
        model = DistributedDataParallel(model, device_ids=[0] if settings.on_card else None)
    model(x).square().mean().backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def start_search(folder: Path, device: str, changes: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the search of digits.py; its output goes to the stage's log."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    command = [sys.executable, "-m", "pinas_zoo.cli", *words(folder, changes)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **hidden})


def search(settings: Settings, folder: Path, device: str, changes: dict[str, str]) -> None:
    """Run the search of digits.py to its end; in smoke within this process, which has torch imported."""
    code = cli.main(words(folder, changes)) if settings.smoke else start_search(folder, device, changes).wait()
    if code != 0:
        raise RuntimeError(f"the search ended with code {code} on {device}; see the log")


def words(folder: Path, changes: dict[str, str]) -> list[str]:
    found = ["search", "configs/search/digits.py", "--work-dir", str(folder)]
    return found + [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]


def resume(settings: Settings) -> Answer:
    """Learn on the card until a checkpoint exists and end the process; go on on a CPU; finish on the card."""
    changes = {**SHORT, **(SHORTER if settings.smoke else {})}
    with tempfile.TemporaryDirectory(dir=settings.out / "work") as scratch:
        folder = Path(scratch) / "run"
        process = start_search(folder, settings.device, changes)
        while process.poll() is None and not (folder / "learn" / "checkpoint.pth").is_file():
            time.sleep(0.02)
        process.kill()
        process.wait()
        for device, more in (("cpu", {"until": "linear"}), (settings.device, {})):
            search(settings, folder, device, {**changes, **more})
        with (folder / "learn" / "curve.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        missing = [stage for stage in ("learn", "linear", "explore") if not (folder / stage / "done.json").is_file()]
    steps, losses = [int(float(row["step"])) for row in rows], [float(row["loss"]) for row in rows]
    text = f"{len(steps)} steps in the curve, loss {losses[0]:.2f} to {losses[-1]:.2f}, {len(missing)} stages missing"
    met = not missing and steps == list(range(1, int(changes["learn.steps"]) + 1)) and all(x == x for x in losses)
    return Answer(text, {"steps": len(steps), "losses": losses[:: max(1, len(losses) // 10)]}, met, "every step once")


def demo(settings: Settings) -> Answer:
    """The search of digits.py, which takes a few minutes on two cores."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=settings.out / "work") as scratch:
        folder = Path(scratch) / "run"
        changes = {**SHORTER, "until": "learn", "learn.steps": "2"} if settings.smoke else {}
        search(settings, folder, settings.device, changes)
        stages = [path.parent.name for path in sorted(folder.glob("*/done.json"))]
        done = {name: json.loads((folder / name / "done.json").read_text(encoding="utf-8")) for name in stages}
    accuracy = done.get("train", {}).get("test_accuracy")
    seconds = {name: facts["seconds"] for name, facts in done.items()}
    text = f"{time.perf_counter() - started:.0f} s" + (f", test accuracy {accuracy:.2%}" if accuracy else "")
    return Answer(text, {"seconds": seconds, "test_accuracy": accuracy}, bool(accuracy) and accuracy > 0.9, "above 90%")


def tests(settings: Settings) -> Answer:
    """pytest on the files that hold tests marked gpu: collecting all would need OpenMMLab."""
    marked = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if is_marked(path)]
    if not marked:
        raise NotHere("needs the folder tests of a checkout")
    marked = marked[:1] if settings.smoke else marked
    arguments = ["-q", "-m", "gpu", "-p", "no:cacheprovider", *map(str, marked)]
    if settings.smoke:  # within this process, which has torch imported
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            code, output = int(pytest.main(arguments)), printed.getvalue()
    else:
        command = [sys.executable, "-m", "pytest", *arguments]
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        code, output = result.returncode, result.stdout
    print(output)
    lines = [line for line in output.splitlines() if re.search(r"\d+ (passed|failed|skipped|error)", line)]
    text = lines[-1].strip("= ") if lines else f"pytest ended with code {code}"
    return Answer(text, {"code": code}, code == 0 and "passed" in text, "all pass")


def is_marked(path: Path) -> bool:
    return bool(re.search(r"pytest\.mark\.gpu|import DEVICES", path.read_text(encoding="utf-8")))


def memory(settings: Settings) -> Answer:
    """Memory that tensors hold after scoring candidates of a small space, eight together."""
    first, last = (8, 16) if settings.smoke else (10, 1000)
    searched = ResNeSt50Space(**SMALL)  # type: ignore[arg-type]
    supernet, classifier = build(searched)
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    images = Images(pixels, torch.arange(64) % 10)
    evaluator = PathEvaluator(supernet, classifier, images, images, normalise, 32)
    paths, held = random_paths(searched, last), []
    for stop in (first, last):
        for start in range(0 if stop == first else first, stop, 8):
            evaluator.scores(paths[start : min(stop, start + 8)])
        held.append(torch.cuda.memory_allocated() / 2**20 if settings.on_card else rss_mib())
    text = f"{held[0]:.2f} MiB after {first}, {held[1]:.2f} MiB after {last}"
    return Answer(text, {"mib": held}, held[0] == held[1] if settings.on_card else None, "equal")


ROWS: dict[str, Row] = {
    "group": group,
    "determinism": determinism,
    "resume": resume,
    "tests": tests,
    "memory": memory,
    "demo": demo,
}
