"""Does a supernet rank architectures? NAS-Bench-201 on CIFAR-10 (Table 4, Figures 3 and 5 to 8), measured.

    python benchmarks/nb201.py --images cifar10_jpegpack.npz --table nb201_cifar10.csv    # 27 hours, and scoring
    python benchmarks/nb201.py --images IMAGES --table CSV --runs pinas spos --seeds 0 --minutes 10
    python benchmarks/nb201.py --images IMAGES --table CSV --sizes 729 --runs spos --minutes 4 --set learn.lr=0.1
    python benchmarks/nb201.py --table CSV --report                                                 # tables again

A run is a supernet of one method and seed, learned within a budget of minutes times threads, then scores of the
architectures of its space, or of ``--count`` random ones where there are more. How many steps a budget buys is found
first, from the CPU seconds of a few. Each run leaves scores and facts in results/nb201/, and is skipped when they are
there: runs add up over days and machines, and ``--report`` writes results/nb201.md from what there is. To take a run
back, delete its two files. Where several regimes of a method were tried at one budget (``--set``), those of fewer than
150 scores stand in the table of trials alone, other runs in all tables.

Images: CIFAR-10 as a folder (``train`` and ``validation``, one sub-folder a class), or an .npz of JPEGs (``header``,
``body``, ``offsets``, ``labels``, the first 50,000 for training), which is written out as such a folder once. The table
is a CSV with ``arch_str``, ``cifar10_test_acc``, ``cifar10_test_acc_12ep``, ``cifar10_valid_acc`` and
``flops_computed``.

Regimes were chosen on half of the 729 architectures, drawn by seed (``tuned``); the other half is ``held out``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import nb201_figures
import numpy as np
import torch
from inference import hardware
from mmengine.config import Config
from nb201_found import SCORES, SPACES, read_rows
from nb201_report import RESULTS, report
from nb201_scores import Scorer
from tqdm import tqdm

from pinas_zoo.arch import Arch
from pinas_zoo.commands.search import parse_overrides
from pinas_zoo.data.images import ViewsOptions
from pinas_zoo.data.loader import BatchPart
from pinas_zoo.engine import trainer
from pinas_zoo.errors import UserError
from pinas_zoo.rng import step_rng
from pinas_zoo.search import pipeline
from pinas_zoo.search.config import SearchConfig, parse_config
from pinas_zoo.search.methods import pinas
from pinas_zoo.search.pipeline import Run
from pinas_zoo.search.ranking.similarity import off_diagonal
from pinas_zoo.search.run_folder import read_done
from pinas_zoo.search.spaces.nasbench201 import Space
from pinas_zoo.weights.atomic import write_json, write_text

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LABELS: dict[str, Any] = dict(options={}, lr=0.2, warmup=0.1, weight_decay=5e-4)
OPTIONS = dict(hidden=128, head_norm=True, queue_size=1024, temperature=0.1, momentum=0.99, warm_queue=True)
MILD = dict(scale=(0.5, 1.0), jitter_p=0.0, gray_p=0.0, blur_p=0.0)  # labels need less augmentation
STRONG = dict(scale=(0.3, 1.0), blur_p=0.0)


def pinas_learn(**changes: bool) -> dict[str, Any]:
    return dict(method="pinas", options={**OPTIONS, **changes}, lr=0.12, warmup=0.1, weight_decay=1e-4)


RUNS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # title, learn, views
    "pinas": ("Π-NAS", pinas_learn(), STRONG),
    "spos": ("SPOS", dict(method="spos", **LABELS), MILD),
    "fairnas": ("FairNAS", dict(method="fairnas", **LABELS), MILD),
    "pinas_no_cp": ("Π-NAS without cross-path learning", pinas_learn(cross_path=False), STRONG),
    "pinas_no_mt": ("Π-NAS without mean teacher", pinas_learn(mean_teacher=False), STRONG),
    "pinas_no_negatives": ("Π-NAS without negatives", pinas_learn(negatives=False), STRONG),
    "untrained": ("nothing learned", dict(method="spos", **{**LABELS, "lr": 0.0, "weight_decay": 0.0}), MILD),
}
WARM, TIMED = 5, 50  # steps; their paths differ in cost by several times
MACHINE = f"{hardware()}; Python {platform.python_version()}, torch {torch.__version__}"
BATCH = 500  # images of which two views are compared at a time
LEAST, COUNT = 30, 1000  # architectures that are scored: at least, and unless told


@dataclass(frozen=True)
class Setting:
    """One supernet and the budget of its learning."""

    run: str  # of RUNS
    size: int
    seed: int
    minutes: float
    threads: int
    changes: tuple[str, ...] = ()  # KEY=VALUE of the configuration

    @property
    def name(self) -> str:
        """Of its files."""
        changes = "".join(f"_{re.sub(r'[^A-Za-z0-9_.=-]+', '-', text)}" for text in self.changes)
        return f"{self.run}{changes}_{self.size}_{self.minutes:g}x{self.threads}_{self.seed}"

    def configuration(self, images: Path, steps: int) -> SearchConfig:
        """The search; ``pinas-zoo search`` takes it as well."""
        _, learn, views = RUNS[self.run]
        values = Config(
            dict(
                name=f"nb201_{self.run}_{self.size}_{self.seed}",
                seed=self.seed,
                space=dict(type="nasbench201", operations=SPACES[self.size], channels=16, cells=1),
                data=dict(root=str(images), image_size=16, val_per_class=500),
                views=views,
                learn=dict(**learn, steps=steps, batch_size=128, log_every=50, checkpoint_every=1000),
                explore=dict(score="consistency", batch_size=BATCH),
            )
        )
        values.merge_from_dict(parse_overrides(self.changes))
        return parse_config(values.to_dict())


def image_folder(images: Path, work: Path) -> Path:
    """CIFAR-10 as a folder with one sub-folder a class; JPEGs of an .npz are written out into ``work``, once for each
    such file's labels and sizes, byte by byte.

    Raises:
        UserError: Neither a folder nor such a file.
    """
    if images.is_dir():
        return images
    try:
        if images.exists() and not is_zipfile(images):
            raise ValueError("no archive")
        with np.load(images) as pack:  # never unpickles
            header, body, offsets, labels = (pack[k] for k in ("header", "body", "offsets", "labels"))
        if not {*labels} <= {*range(len(CLASSES))} or len(offsets) != 1 + len(labels):
            raise ValueError("labels are not 0 to 9 each, or offsets not one more than labels")
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"expected --images as a folder of CIFAR-10 or an .npz of JPEGs with header, body, offsets and labels, "
            f"got {images}: {error}"
        ) from error
    folder = work / f"images_{zlib.crc32(labels.tobytes(), zlib.crc32(offsets.tobytes())):08x}"
    if not folder.exists():
        temporary = folder.with_name(f".{folder.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        for split, name in product(("train", "validation"), CLASSES):
            (temporary / split / name).mkdir(parents=True)
        start, data = header.tobytes(), body.tobytes()
        for k, label in enumerate(labels):
            path = temporary / ("train" if k < 50_000 else "validation") / CLASSES[label] / f"{k:05}.jpg"
            path.write_bytes(start + data[offsets[k] : offsets[k + 1]])
        temporary.rename(folder)
    return folder


def learning_step(one: Run) -> Callable[[int], None]:
    """A step as the engine takes it, augmentation included, by its number."""
    method, learn, splits = one.method(), one.config.learn, one.splits
    views = one.views(one.config.views)
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-3, momentum=learn.momentum)
    trainee = trainer.Trainee(method, views, learn.precision, learn.channels_last)

    def step(k: int) -> None:
        part = BatchPart(k, 0, torch.randperm(len(splits.train))[: learn.batch_size].tolist())
        batch = splits.train.step_batch(part, ViewsOptions(one.config.views, method.num_views, one.config.seed))
        optimizer.zero_grad()
        trainee(step=k, **batch)["loss"].backward()
        optimizer.step()

    return step


def bare_step(one: Run) -> Callable[[int], None]:
    """What a step cannot do without: its paths' cells forward and backward, and for Π-NAS two more forward; no views,
    head, loss or update."""
    method, size = one.method(), one.config.data.image_size
    supernet = method.learned
    x = torch.randn(one.config.learn.batch_size, 3, size, size).contiguous(memory_format=torch.channels_last)

    def step(k: int) -> None:
        supernet.zero_grad()
        for path in method.sample_paths(k):  # type: ignore[operator]
            supernet(x, path).sum().backward()
            if isinstance(method, pinas.Method):
                with torch.no_grad():
                    supernet(x, path)

    return step


def seconds(*steps: Callable[[int], None]) -> list[float]:
    """CPU seconds of one step of each, the mean of several; taken by turns, so that other work on the machine slows
    all of them alike."""
    spent = [0.0] * len(steps)
    for k in range(WARM + TIMED):
        for turn, step in enumerate(steps):
            started = time.process_time()
            step(k)
            spent[turn] += (time.process_time() - started) * (k >= WARM)
    return [value / TIMED for value in spent]


def speed(names: Sequence[str], size: int, threads: int, images: Path, work: Path) -> None:
    """results/nb201_speed.md: a step of each method beside its bare compute."""
    torch.set_num_threads(threads)
    lines = [
        "# A learning step on NAS-Bench-201's cells, beside its bare compute",
        "",
        f"`python benchmarks/nb201.py --images IMAGES --table CSV --speed --threads {threads}`; {MACHINE}. 128 images "
        f"of 16 x 16 pixels, one cell a stage, {size} architectures. Bare: the same paths forward and backward, and "
        "the two teacher passes; no views, head, loss or update. CPU milliseconds, mean of "
        f"{TIMED} steps of each, by turns.",
        "",
        "| supernet | step, ms | bare, ms | ratio | images/s a core | bare |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        config = Setting(name, size, 0, 1, threads).configuration(images, 1)
        one = Run(config, work / "speed" / name, say=lambda text: None)
        step, bare = seconds(learning_step(one), bare_step(one))
        count = one.config.learn.batch_size
        lines.append(
            f"| {RUNS[name][0]} | {1000 * step:.0f} | {1000 * bare:.0f} | {step / bare:.2f} | {count / step:.0f} "
            f"| {count / bare:.0f} |"
        )
    text = "\n".join(lines) + "\n"
    write_text(RESULTS.with_name("nb201_speed.md"), text)
    print(text)


def measure(setting: Setting, images: Path, work: Path, count: int) -> None:
    """Learn and score one supernet; writes a ``.csv`` of scores and a ``.json`` of facts into the results."""
    torch.set_num_threads(setting.threads)
    folder = work / setting.name
    if not (folder / "config.json").is_file():
        (cost,) = seconds(learning_step(Run(setting.configuration(images, 1), folder)))
        steps = round(60 * setting.minutes * setting.threads / cost)
        print(f"{setting.name}: {1000 * cost:.0f} ms a step, {steps} steps", flush=True)
    else:
        steps = json.loads((folder / "config.json").read_text())["learn"]["steps"]
    config = setting.configuration(images, steps)
    one = Run(config.model_copy(update={"until": "learn"}), folder)
    one.run()
    space = one.space
    assert isinstance(space, Space)
    archs = [Arch(c) for c in product(range(space.num_candidates), repeat=space.num_layers)]
    archs = [archs[k] for k in sorted(step_rng(0, 0, 0).permutation(len(archs))[:count])]
    started = time.perf_counter()
    scorer = Scorer(one)
    scores = [scorer.score(arch) for arch in tqdm(archs, desc="score", unit="arch", mininterval=5)]
    scoring = time.perf_counter() - started
    curve = trainer.read_curve(folder / "learn")
    facts: dict[str, Any] = {
        "run": setting.run,
        "title": RUNS[setting.run][0],
        "changes": list(setting.changes),
        "seed": setting.seed,
        "architectures": setting.size,
        "scored": len(archs),
        "minutes": setting.minutes,
        "threads": setting.threads,
        "steps": config.learn.steps,
        "images_per_step": config.learn.batch_size,
        "wall_seconds": read_done(folder / "learn")["seconds"],
        "scoring_seconds": round(scoring, 1),
        "accuracy": round(float(np.mean([values[0] for values in scores])), 4),
        "similarity": round(off_diagonal(one.similarity(pipeline.SIMILARITY_IMAGES, pipeline.SIMILARITY_PATHS)), 4),
        **{key: round(float(np.mean(curve[key][-10:])), 4) for key in ("loss", "spread", "drift") if key in curve},
        "machine": MACHINE,
        "config": config.model_dump(mode="json", include={"space", "views", "learn"}),
    }
    path = RESULTS / f"{results_of(setting, count)}.csv"
    rows = [
        [str(space.operations_of(a)), *("" if math.isnan(v) else f"{v:.5f}" for v in s)]
        for a, s in zip(archs, scores, strict=True)
    ]
    write_text(path, "".join(f"{','.join(row)}\n" for row in [["arch", *SCORES], *rows]))
    write_json(path.with_suffix(".json"), facts)


def results_of(setting: Setting, count: int) -> str:
    """What its results are called, when so many of its architectures are scored."""
    return setting.name if count >= setting.size else f"{setting.name}_of_{count}"


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text}")
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV of NAS-Bench-201's accuracies")
    parser.add_argument("--images", type=Path, help="CIFAR-10: a folder, or an .npz of JPEGs")
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=["pinas", "spos", "fairnas"])
    parser.add_argument(
        "--sizes", nargs="+", type=int, choices=list(SPACES), default=list(SPACES), help="architectures of the space"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=positive, default=60, help="of learning, a run")
    parser.add_argument("--threads", type=int, choices=range(1, 1 + (os.cpu_count() or 1)), default=2, metavar="N")
    parser.add_argument(
        "--count", type=int, help=f"score so many architectures at most, random ones (default: {COUNT})"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a trial: change the runs' configuration"
    )
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/nb201"))
    parser.add_argument("--speed", action="store_true", help="only time a step of each method beside its bare compute")
    parser.add_argument("--report", action="store_true", help="only write the tables of what has been measured")
    args = parser.parse_args()
    if args.count is not None and args.count < LEAST:
        parser.error(f"expected --count of at least {LEAST}, for a tau that says anything, got {args.count}")
    table = read_rows(args.table)  # before the hours that it is for
    if not args.report:
        if args.images is None:
            parser.error("expected --images, CIFAR-10 as a folder or an .npz of JPEGs, got none")
        images = image_folder(args.images, args.work_dir)
        if args.speed:
            speed(args.runs, args.sizes[0], args.threads, images, args.work_dir)
            return
        for size, seed, name in product(args.sizes, args.seeds, args.runs):
            count = min(args.count or COUNT, size)
            setting = Setting(name, size, seed, args.minutes, args.threads, tuple(args.set))
            setting.configuration(images, 1)  # is it one?
            result = results_of(setting, count)
            if (RESULTS / f"{result}.json").is_file():
                print(f"{result}: measured already", flush=True)
            else:
                measure(setting, images, args.work_dir, count)
    nb201_figures.draw(report(table), table, RESULTS)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
