"""Speed of this package beside a peer and beside the bare limit of each task, and how the cost of a search grows.

    make bench                                            # all rows, results/<today>.md and the plot over all days
    python benchmarks/bench.py --only views sampler       # some rows, printed and not kept
    python benchmarks/bench.py --only views --out FILE    # kept in a file of their own

Ours, peer and limit run in turn, in reverse order every other round. A ratio is the median over rounds of the ratio
within a round. Everything runs in one thread. Times are CPU seconds, which other load hardly influences, except in
create_model and grow_processes, which report wall time. Sizes are small, so that all rows take minutes; the other
scripts in this folder each measure one task in detail. Images are crops of scikit-learn's two sample photographs, and
weights are random.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

os.environ["OMP_NUM_THREADS"] = "1"  # set for this process and its children, before torch reads it

import bench_table
import create_model
import cv2
import explore
import growth
import mmengine
import numpy as np
import optuna
import PIL.Image
import samplers
import timm
import torch
import torchvision
import views
from bench_table import Row
from import_time import importing
from inference import convolutions, inference, interleave, ratio, training_step
from learn_step import Step
from sklearn.datasets import load_sample_images
from torch import nn

import pinas_zoo
from pinas_zoo import extras
from pinas_zoo.analysis.hardware import hardware
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Views
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.weights.atomic import write_text

RESULTS = Path(__file__).parent / "results"
RESNEST50 = "1" * 16  # the only network of the space that timm has, too
BUSY = 0.5  # load average at the start above which the machine counts as busy
QUEUES = (1024, 8192, 65536)
Seconds = Mapping[str, list[float]]


def where(*modules: ModuleType) -> str:
    versions = [f"{module.__name__} {module.__version__}" for module in (torch, *modules)]
    return f"{hardware()}; Python {platform.python_version()}, {', '.join(versions)}"


def row(
    name: str,
    measured: str,
    unit: str,
    seconds: Seconds,
    convert: Callable[[float], float],
    peer_is: str,
    limit_is: str = "",
    versions: Sequence[ModuleType] = (),
) -> Row:
    """Make a row of the table from the seconds of each round; ``convert`` converts seconds to the row's unit."""
    value = {key: convert(statistics.median(taken)) for key, taken in seconds.items()}
    bare = seconds.get("limit")
    return Row(
        name,
        measured,
        unit,
        value["ours"],
        value["peer"],
        peer_is,
        ratio(seconds["peer"], seconds["ours"]),
        value.get("limit"),
        limit_is,
        ratio(bare, seconds["ours"]) if bare else None,
        where(*versions),
    )


def growth_row(name: str, grows: str, unit: str, seconds: Mapping[int, list[float]], linear: bool) -> Row:
    """Make a row of growth: "ours" is the cost per unit at the largest size, "peer" that at the smallest."""
    taken = {size: statistics.median(some) for size, some in seconds.items()}
    small, large = min(taken), max(taken)
    each = {size: 1e3 * value / (size if linear else 1) for size, value in taken.items()}
    pairs = zip(seconds[small], seconds[large], strict=True)
    as_good = statistics.median(a / b for a, b in pairs) * (large / small if linear else 1)
    sizes = ", ".join(f"{size}: {value:.4g}" for size, value in each.items())
    expected = "at most linear: 1" if linear else "constant: 0"
    measured = f"{grows}; {sizes}; fitted exponent of the time {growth.exponent(taken):.2f}, should be {expected}"
    return Row(name, measured, unit, each[large], each[small], f"the same at {small}", as_good, None, "", None, where())


def milliseconds(seconds: float) -> float:
    return 1e3 * seconds


def children_seconds() -> float:
    """CPU time in seconds of ended child processes."""
    times = os.times()
    return times.children_user + times.children_system


def photographs(count: int) -> list[bytes]:
    """Encode random crops of two photographs as JPEGs of 500 x 375 pixels."""
    rng, pictures = np.random.default_rng(0), load_sample_images().images  # each 427 x 640
    found = []
    for k in range(count):
        top, left = int(rng.integers(100)), int(rng.integers(200))
        found.append(views.encode(PIL.Image.fromarray(pictures[k % 2][top : top + 327, left : left + 440])))
    return found


def images_row(name: str, measured: str, ours: nn.Module, peer: nn.Module, peer_is: str) -> Row:
    images = torch.randn(2, 3, 160, 160)
    runs = {"ours": inference(ours, images), "peer": inference(peer, images), "limit": convolutions(ours, images)}
    seconds = interleave(runs, 5, time.process_time)
    measured, limit_is = f"{measured}, 2 x 160², fp32", "its convolutions alone"
    return row(name, measured, "images/s", seconds, lambda s: len(images) / s, peer_is, limit_is, [timm])


def inference_row() -> Row:
    ours, peer = timm.create_model("pinas", arch=RESNEST50), timm.create_model("resnest50d")
    return images_row("inference", "inference of ResNeSt-50", ours, peer, "timm's resnest50d")


def fused_row() -> Row:
    eager = timm.create_model("pinas_alpha").eval()
    measured = "pinas_zoo.fuse(pinas_alpha), inference"
    return images_row("fused", measured, pinas_zoo.fuse(eager), eager, "the same in eager mode")


def training_row() -> Row:
    images = torch.randn(2, 3, 160, 160)
    runs = {
        "ours": training_step(timm.create_model("pinas", arch=RESNEST50), images),
        "peer": training_step(timm.create_model("resnest50d"), images),
    }
    seconds = interleave(runs, 3, time.process_time)
    measured = "forward and backward pass of ResNeSt-50, 2 x 160², fp32"
    return row("training_step", measured, "ms", seconds, milliseconds, "timm's resnest50d", versions=[timm])


def learn_row() -> Row:
    step = Step("fp32", False, images=8, size=96)
    peers = [timm.create_model("resnest50d", num_classes=0) for _ in range(2)]
    runs = {"ours": lambda: step.ours(1), "peer": step.passes(peers), "limit": step.bare(1)}
    seconds = interleave(runs, 3, time.process_time)
    measured = "a step of Π-NAS learning, 8 x 96², the paper's space, 49,152 negatives, fp32"
    peer_is = "timm's resnest50d twice: forward and backward, and forward alone"
    limit_is = "the same passes of the step's paths alone"
    return row("learn_step", measured, "ms", seconds, milliseconds, peer_is, limit_is, [timm, mmengine])


def candidates_row() -> Row:
    count, images = 8, 8
    jpegs, labels = photographs(2 * images), torch.arange(2 * images) % explore.CLASSES
    parts = [explore.Jpegs(jpegs[k::2], labels[k::2], 64) for k in range(2)]
    comparison = explore.Comparison((parts[0], parts[1]), count, images)
    runs = {"ours": comparison.ways["together"], "peer": comparison.ways["anew"], "limit": comparison.passes}
    seconds = interleave(runs, 3, time.process_time)
    measured = (
        f"{count} candidates of the paper's space scored, {images} + {images} images of 64² to recalibrate and score"
    )
    limit_is = "their forward passes alone, one by one (shared beginnings may beat it)"
    peer_is = "plain torch, one by one, images decoded anew"
    return row("candidates", measured, "candidates/min", seconds, lambda s: 60 * count / s, peer_is, limit_is)


def views_row() -> Row:
    jpegs = photographs(12)
    crops = Views(jitter_p=0, gray_p=0, blur_p=0, flip=0)
    makers = {"ours": views.ours(Views()), "peer": views.theirs(views.PillowBlur()), "limit": views.ours(crops)}

    def making(make: Callable[[bytes, int], torch.Tensor]) -> Callable[[], None]:
        def run() -> None:
            for number, jpeg in enumerate(jpegs):
                make(jpeg, number)

        return run

    seconds = interleave({key: making(make) for key, make in makers.items()}, 5, time.process_time)
    measured = f"{views.NUM_VIEWS} views of {views.SIZE}² of a JPEG of 500 x 375"
    versions = [torchvision, PIL, cv2]
    peer_is, limit_is = "torchvision on Pillow images, with Pillow's blur", "decoding and the four crops alone"
    return row("views", measured, "images/s", seconds, lambda s: len(jpegs) / s, peer_is, limit_is, versions)


def sampler_row() -> Row:
    rng, shape = np.random.default_rng(0), (len(samplers.SPACE), len(samplers.OPERATIONS))
    gains = [dict(zip(samplers.OPERATIONS, some, strict=True)) for some in rng.random(shape)]
    codes = itertools.product(samplers.OPERATIONS, repeat=len(samplers.SPACE))
    scores = {code: sum(gain[c] for gain, c in zip(gains, code, strict=True)) for code in codes}
    table = {code: (score, score) for code, score in scores.items()}
    kinds = {
        "ours": samplers.SAMPLERS["action_space"][1](0),
        "peer": samplers.SAMPLERS["tpe"][1](0),
        "limit": optuna.samplers.RandomSampler(0),
    }
    studies = {key: samplers.known_study(sampler, table) for key, sampler in kinds.items()}
    block = 8  # the action space is refitted once per block
    seconds: dict[str, list[float]] = {key: [] for key in studies}
    for turn in range(7):
        for key in list(studies) if turn % 2 else reversed(studies):
            taken = statistics.mean(
                samplers.proposal_seconds(studies[key], table, time.process_time) for _ in range(block)
            )
            if turn:
                seconds[key].append(taken)
    measured = "a proposal of the Action ResNeSt50Space sampler, 6 choices of 5, 1,000 trials known, mean of 8"
    peer_is, limit_is = "Optuna's TPE", "Optuna's RandomSampler: what an ask costs"
    return row("sampler", measured, "ms", seconds, milliseconds, peer_is, limit_is, [optuna])


def import_row() -> Row:
    codes = {"ours": "import timm, pinas_zoo", "peer": "import timm", "limit": "import torch, torchvision"}
    seconds = interleave({key: importing(code) for key, code in codes.items()}, 3, children_seconds)
    measured = "a process that imports timm and pinas_zoo"
    return row("import_time", measured, "s", seconds, float, "import timm", "import torch, torchvision", [timm])


def create_row() -> Row:
    measured = "create_model of ResNeSt-50 from the Hub's cache, in a new process, after the imports"
    limit_is = "reading the weights file"
    seconds = create_model.measure(3)
    return row("create_model", measured, "ms", seconds, milliseconds, "timm's resnest50d", limit_is, [timm])


def segmenter_row() -> Row:
    measured = "a training iteration of DeepLabV3 on pinas_cls, 2 x 64², with its optimiser"
    if extras.missing():
        cure = f"not installed: {', '.join(extras.missing())}; {extras.install_command('openmmlab')}"
        return Row("segmenter_step", measured, "ms", None, None, cure, None, None, "", None, where())
    import mmdet
    import mmseg
    import transfer

    names = {"ours": "pinas_cls", "peer": transfer.PEER}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of mmseg
        models = {key: transfer.build("cityscapes", name) for key, name in names.items()}
        runs = {key: transfer.iteration(model, (64, 64), 2, bf16=False) for key, model in models.items()}
        seconds = interleave(runs, 2, time.process_time)
    peer_is = f"the same on {transfer.PEER}"
    return row("segmenter_step", measured, "ms", seconds, milliseconds, peer_is, "", [timm, mmengine, mmdet, mmseg])


def grow_candidates_row() -> Row:
    seconds = growth.step_seconds({count: growth.Copies(count) for count in (2, 4, 8)}, 3)
    grows = "a step of Π-NAS learning, 4 layers, 8 x 64², against candidates a layer"
    return growth_row("grow_candidates", grows, "ms a step", seconds, linear=False)


def grow_depth_row() -> Row:
    seconds = growth.step_seconds({4 * n: ResNeSt50Space(depths=(n, n, n, n)) for n in (1, 2, 4)}, 2)
    grows = "a step of Π-NAS learning, 8 x 64², against layers"
    return growth_row("grow_depth", grows, "ms a layer", seconds, linear=True)


def grow_explore_row() -> Row:
    grows = "exploring with all that belongs to it, 8 layers of width 32, 64 + 64 images of 32², against candidates"
    seconds = growth.explore_seconds((16, 32, 64), 1, scored=True)
    return growth_row("grow_explore", grows, "ms a candidate", seconds, linear=True)


def grow_study_row() -> Row:
    grows = "exploring without scoring, study in SQLite, 8 layers, against candidates"
    seconds = growth.explore_seconds((64, 128, 256), 1, scored=False)
    return growth_row("grow_study", grows, "ms a candidate", seconds, linear=True)


def grow_queue_row() -> Row:
    megabytes = {length: growth.queue_megabytes(length) for length in QUEUES}
    slopes = [1e6 * (megabytes[b] - megabytes[a]) / (b - a) for a, b in itertools.pairwise(QUEUES)]
    sizes = ", ".join(f"{length}: {value:.0f} MB" for length, value in megabytes.items())
    limit, ours = 4.0 * growth.DIM, slopes[-1]
    return Row(
        "grow_queue",
        f"peak memory of a learning step, small space, 8 x 32², against the queue's length; {sizes}; should be linear",
        "bytes an entry",
        ours,
        slopes[0],
        f"the same from {QUEUES[0]} to {QUEUES[1]}",
        slopes[0] / ours,
        limit,
        f"an entry alone, {growth.DIM} fp32",
        limit / ours,
        where(),
    )


def grow_processes_row() -> Row:
    """Row of two processes. Its limit is one process with half of the images, as each of two processes has."""
    whole = 2 * growth.IMAGES
    runs = {"ours": (2, whole), "peer": (1, whole), "limit": (1, whole // 2)}  # processes, images
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for names in (runs, reversed(runs)):
        for name in names:
            seconds[name] += growth.process_seconds(*runs[name])
    measured = f"a step of Π-NAS learning, 4 layers, {whole} x {growth.SIZE}², shared by 2 gloo processes"
    limit_is = "1 process, half of the images"
    return row("grow_processes", measured, "ms", seconds, milliseconds, "1 process", limit_is, [mmengine])


ROWS: dict[str, Callable[[], Row]] = {
    "inference": inference_row,
    "fused": fused_row,
    "training_step": training_row,
    "learn_step": learn_row,
    "candidates": candidates_row,
    "views": views_row,
    "sampler": sampler_row,
    "import_time": import_row,
    "create_model": create_row,
    "segmenter_step": segmenter_row,
    "grow_candidates": grow_candidates_row,
    "grow_depth": grow_depth_row,
    "grow_explore": grow_explore_row,
    "grow_study": grow_study_row,
    "grow_queue": grow_queue_row,
    "grow_processes": grow_processes_row,
}


def run(names: Sequence[str], out: Path | None) -> None:
    if out and len(names) < len(ROWS):
        bench_table.check_part(out, names)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    load, started = os.getloadavg()[0], time.perf_counter()
    rows = []
    for name in names:
        since = time.perf_counter()
        torch.manual_seed(0)
        rows.append(ROWS[name]())
        print(f"{name:16} {time.perf_counter() - since:5.0f} s", file=sys.stderr, flush=True)
    minutes, seconds = divmod(round(time.perf_counter() - started), 60)
    busy = " The machine was busy with other work: read the figures as rough." if load > BUSY else ""
    text = "\n\n".join(
        [
            f"# Speed, side by side, {datetime.date.today()}",
            f"Printed by `{' '.join(['python benchmarks/bench.py', *sys.argv[1:]])}` in {minutes} min {seconds} s, "
            "which says how it measures.",
            f"{hardware()}; load average {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the end.{busy}",
            bench_table.markdown(rows),
        ]
    )
    if out:
        write_text(out, text + "\n")
        if bench_table.DATED.fullmatch(out.name):
            bench_table.draw(bench_table.history(out.parent), out.parent / "bench.svg")
    print(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--out", type=Path, help="(default: results/<today>.md; with --only, nothing is kept)")
    args = parser.parse_args()
    today = None if args.only else RESULTS / f"{datetime.date.today()}.md"
    try:
        run(list(dict.fromkeys(args.only or ROWS)), args.out or today)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
