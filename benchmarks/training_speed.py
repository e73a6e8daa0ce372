"""Training images/s: `pinas-zoo train`'s run beside the loop of timm's train.py, on one folder of JPEGs.

    python benchmarks/training_speed.py                       # about two minutes
    python benchmarks/training_speed.py --profile FILE        # where ours spends its time, by cProfile

timm's package has no train.py, so that the peer is its loop, written with timm's own parts: create_dataset,
create_loader, create_optimizer_v2, create_scheduler_v2, a validation and a checkpoint each epoch. Both train the same
network by the same recipe, with the same transforms, workers and threads, from the same files. They take turns. Of each
training the first epoch is left out, as what comes before it and after the last one: hours of training have these once.
Images/s count the CPU time of the process, so that other programs matter little; with workers, which are other
processes, the clock alone tells. Each ratio is the median over rounds. Writes results/training.md.
"""

from __future__ import annotations

import argparse
import cProfile
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import AverageMeter, CheckpointSaver, accuracy

from pinas_zoo.analysis.hardware import hardware
from pinas_zoo.train.config import Recipe
from pinas_zoo.train.network import Start
from pinas_zoo.train.run import train
from pinas_zoo.weights.atomic import write_text

RESULT = Path(__file__).parent / "results" / "training.md"
CLASSES, PIXELS = 4, (375, 500)  # height and width of the JPEGs
Mark = Callable[[], None]
WAYS = ("pinas-zoo train", "pinas-zoo train, images decoded once", "timm's loop")


def jpegs(root: Path, train: int) -> None:
    """Write ``root/train`` and ``root/validation`` with smooth random pictures, which compress as photographs do."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("validation", 2 * CLASSES)):
        for number in range(count):
            small = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            picture = np.asarray(Image.fromarray(small).resize(PIXELS[::-1], Image.Resampling.BICUBIC))
            noisy = np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
            place = root / split / f"class{number % CLASSES}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy).save(place / f"{number}.jpg", quality=90)


def recipe_of(args: argparse.Namespace, root: Path, memory_gib: float) -> Recipe:
    return Recipe.model_validate(
        dict(
            data=dict(root=str(root), image_size=args.size, workers=args.workers, memory_gib=memory_gib),
            optim=dict(lr=0.05, lr_batch=None),
            schedule=dict(epochs=args.epochs, warmup_epochs=0),
            batch_size=args.batch,
            channels_last=args.channels_last,
            log=dict(tensorboard=False),
        )
    )


def ours(args: argparse.Namespace, root: Path, memory_gib: float, mark: Mark) -> None:
    """A whole run, with its evaluations, checkpoints and files."""
    with tempfile.TemporaryDirectory() as folder:
        start = Start(args.model, args.model, args.model)
        tell = lambda line: mark() if line.startswith("epoch") else None
        train(recipe_of(args, root, memory_gib), start, Path(folder) / "run", tell)


def peer(args: argparse.Namespace, root: Path, mark: Mark) -> None:
    """The same by the loop of timm's train.py."""
    recipe = recipe_of(args, root, 0)
    options, device = recipe.augment, torch.device("cpu")
    jitter: Any = options.color_jitter
    model: Any = timm.create_model(args.model, num_classes=CLASSES)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    data = resolve_data_config({"input_size": (3, args.size, args.size)}, model=model)
    shared: dict[str, Any] = dict(
        input_size=data["input_size"], batch_size=args.batch, mean=data["mean"], std=data["std"],
        num_workers=args.workers, device=device, persistent_workers=False,
    )  # fmt: skip
    loader = create_loader(
        create_dataset("", root=str(root), split="train"), is_training=True, scale=options.scale, ratio=options.ratio,
        hflip=options.hflip, color_jitter=jitter, interpolation=options.interpolation, **shared,
    )  # fmt: skip
    test = create_loader(
        create_dataset("", root=str(root), split="validation"), is_training=False, interpolation=data["interpolation"],
        crop_pct=data["crop_pct"], **shared,
    )  # fmt: skip
    optimizer: Any = create_optimizer_v2(
        model, opt=recipe.optim.opt, lr=recipe.optim.lr, weight_decay=recipe.optim.weight_decay,
        momentum=recipe.optim.momentum, filter_bias_and_bn=recipe.optim.weight_decay_exclude_1d,
    )  # fmt: skip
    schedule: Any = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=args.epochs, step_on_epochs=False, updates_per_epoch=len(loader)
    )[0]
    criterion = LabelSmoothingCrossEntropy(recipe.loss.smoothing)
    with tempfile.TemporaryDirectory() as folder:
        saver = CheckpointSaver(model, optimizer, checkpoint_dir=folder, recovery_dir=folder)
        for epoch in range(args.epochs):
            model.train()
            losses, updates = AverageMeter(), epoch * len(loader)
            for images, labels in loader:
                loss = criterion(model(images.contiguous(memory_format=layout)), labels)
                losses.update(loss.item(), len(images))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                updates += 1
                schedule.step_update(updates, metric=losses.avg)
            model.eval()
            top1 = AverageMeter()
            with torch.inference_mode():
                for images, labels in test:
                    (hits,) = accuracy(model(images.contiguous(memory_format=layout)), labels, topk=(1,))
                    top1.update(hits.item(), len(images))
            saver.save_checkpoint(epoch, metric=top1.avg)
            mark()


def once(args: argparse.Namespace, root: Path, name: str, mark: Mark = lambda: None) -> None:
    """One training, which calls ``mark`` at the end of each epoch."""
    if name == WAYS[2]:
        peer(args, root, mark)
    else:
        ours(args, root, 0.0 if name == WAYS[0] else 4.0, mark)


def seconds(args: argparse.Namespace, root: Path, name: str) -> tuple[float, float]:
    """CPU seconds of this process and seconds of the clock, from the end of the first epoch to that of the last."""
    marks: list[tuple[float, float]] = []
    once(args, root, name, lambda: marks.append((time.process_time(), time.perf_counter())))
    return marks[-1][0] - marks[0][0], marks[-1][1] - marks[0][1]


def peak_mib(args: argparse.Namespace, root: Path, name: str) -> float:
    """Highest memory of a new process that trains once."""
    words = [__file__, "--model", args.model, "--folder", str(root), "--once", name]
    words += ["--epochs", "1"]
    for key in ("size", "batch", "workers", "images"):
        words += [f"--{key}", str(getattr(args, key))]
    words += ["--channels-last"] * args.channels_last
    out = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True)
    return float(out.stdout.split()[-1])


def own_peak_mib() -> float:
    """Highest memory of this process; what ``getrusage`` says holds that of the process which started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def measure(args: argparse.Namespace, root: Path) -> str:
    """Train in turns, and describe the result as Markdown."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for number in range(args.rounds):
        for name in WAYS if number % 2 else WAYS[::-1]:
            found[name].append(seconds(args, root, name))
    trained = (args.epochs - 1) * (args.images // args.batch) * args.batch
    rows = []
    for name in WAYS:
        cpu, clock = ([trained / row[k] for row in found[name]] for k in (0, 1))
        ratios = [[theirs[k] / own[k] for own, theirs in zip(found[name], found[WAYS[2]], strict=True)] for k in (0, 1)]
        one, other = (f"{statistics.median(some):.2f} ({min(some):.2f}-{max(some):.2f})" for some in ratios)
        rows.append(
            f"| {name} | {statistics.median(cpu):.1f} | {one} | {statistics.median(clock):.1f} | {other} | "
            f"{peak_mib(args, root, name):.0f} MiB |"
        )
    layout = ", channels-last" if args.channels_last else ""
    return "\n".join(
        (
            f"{args.model}, {args.images} JPEGs of {PIXELS[1]} x {PIXELS[0]} at {args.size} pixels, batch "
            f"{args.batch}, {args.workers} workers, {args.epochs} epochs, fp32{layout}, "
            f"{torch.get_num_threads()} threads, {args.rounds} rounds",
            "",
            "| | images/s of CPU time | as fast as timm's loop | images/s of the clock | as fast | peak memory |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=2, help="of each training; the first is not counted")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--profile", metavar="FILE", help="write a cProfile of one run of ours, and measure nothing")
    parser.add_argument("--no-write", action="store_true", help="print the result alone")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--once", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        once(args, Path(args.folder), args.once)
        print(own_peak_mib())
        return
    with tempfile.TemporaryDirectory() as folder:
        jpegs(Path(folder), args.images)
        if args.profile:
            profile = cProfile.Profile()
            profile.runcall(once, args, Path(folder), WAYS[0])
            profile.dump_stats(args.profile)
            return
        text = measure(args, Path(folder))
    print(text)
    if not args.no_write:
        command = " ".join(["python benchmarks/training_speed.py", *sys.argv[1:]])
        write_text(RESULT, f"# Training beside timm's loop\n\n{hardware()}\n\n`{command}`: {text}")


if __name__ == "__main__":
    main()
