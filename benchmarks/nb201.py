"""Does a supernet rank architectures? NAS-Bench-201 on CIFAR-10 (Table 4, Figures 3 and 5 to 8), measured.

    python benchmarks/nb201.py --images cifar10_jpegpack.npz --table nb201_cifar10.csv              # 9 hours a machine
    python benchmarks/nb201.py --images IMAGES --table CSV --runs pinas spos --seeds 0 --minutes 10
    python benchmarks/nb201.py --table CSV --report                                                 # tables again

A run is a supernet of one method and seed, learned within a budget of minutes times threads, then scores of every
architecture of its space (or of ``--count`` random ones). How many steps a budget buys is found first, from the CPU
seconds of a few. Each run leaves scores and facts in results/nb201/, and is skipped when they are there: runs add up
over days and machines, and ``--report`` writes results/nb201.md from what there is.

Images: CIFAR-10 as a folder (``train`` and ``validation``, one sub-folder a class), or an .npz of JPEGs (``header``,
``body``, ``offsets``, ``labels``, the first 50,000 for training), which is written out as such a folder once. The table
is a CSV with ``arch_str``, ``cifar10_test_acc``, ``cifar10_test_acc_12ep``, ``cifar10_valid_acc`` and
``flops_computed``.

Regimes were chosen on half of the 729 architectures, drawn by seed (``tuned``); the other half is ``held out``.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import shutil
import sys
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import bench_table
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import OPERATIONS, arch_string
from pinas_zoo.search import engine, run
from pinas_zoo.search.batchnorm import batch_statistics
from pinas_zoo.search.config import SearchConfig, parse_config
from pinas_zoo.search.data import ImageSet
from pinas_zoo.search.methods import pinas
from pinas_zoo.search.probe import Probe
from pinas_zoo.search.rank import Ranking, correlate, tau
from pinas_zoo.search.record import read_done
from pinas_zoo.search.run import Run
from pinas_zoo.search.similarity import off_diagonal
from pinas_zoo.search.space import step_rng
from pinas_zoo.search.spaces.nasbench201 import Space
from pinas_zoo.search.tables import read_table
from pinas_zoo.writing import write_json

RESULTS = Path(__file__).parent / "results" / "nb201"
TEST, SHORT, VALID = "cifar10_test_acc", "cifar10_test_acc_12ep", "cifar10_valid_acc"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CONVS = ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
SPACES = {  # by number of architectures
    729: CONVS,
    4096: ("none", *CONVS),
    15625: ("none", "skip_connect", *CONVS),
}
LABELS: dict[str, Any] = dict(options={}, lr=0.1, warmup=0.1, weight_decay=1e-4)
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
}
WARM, TIMED = 5, 15  # steps
MACHINE = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
PROBE_IMAGES, HELD_OUT = 500, 1000  # of a path's own linear probe: to fit it, and to score
VIEWED, BATCH = 1000, 500  # images of which two views are compared, and how many at a time
LEAST = 30  # architectures that are scored
SCORES = ("accuracy", "squared_error", "objective")

HEAD = (
    "Command: `python benchmarks/nb201.py --images IMAGES --table CSV`, which adds runs to those below; a row is one "
    "supernet, learned on CIFAR-10 at 16 x 16 pixels, one cell a stage, 16 channels. Tau is Kendall's, against the "
    "table's test accuracy after 200 epochs, with its 95% bootstrap interval over architectures.",
    "",
    "Architectures are ranked in two ways, and the one with the higher tau on the tuned half counts. *Objective*: what "
    "the supernet learned, along the path, on held-out images; for Π-NAS how much more alike two views of an image are "
    'than views of two (`explore.score="consistency"`, 1,000 images), for the others cross-entropy, of as many. '
    "*Probe*: the squared error of a ridge regression of each path's own, fitted on 500 training images. Regimes were "
    "chosen on the tuned half.",
    "",
)


@dataclass(frozen=True)
class Budget:
    """Of learning."""

    minutes: float
    threads: int

    @property
    def core_seconds(self) -> float:
        return 60 * self.minutes * self.threads

    def run(self, name: str, seed: int, size: int) -> str:
        """What a run is called."""
        return f"{name}_{size}_{self.minutes:g}x{self.threads}_{seed}"


def configuration(name: str, seed: int, size: int, images: Path, steps: int) -> SearchConfig:
    """The search of one run; ``pinas-zoo search`` takes it as well."""
    _, learn, views = RUNS[name]
    return parse_config(
        dict(
            name=f"nb201_{name}_{size}_{seed}",
            seed=seed,
            space=dict(type="nasbench201", operations=SPACES[size], channels=16, cells=1),
            data=dict(root=str(images), image_size=16, val_per_class=500),
            views=views,
            learn=dict(**learn, steps=steps, batch_size=128, log_every=50, checkpoint_every=1000),
            explore=dict(score="consistency" if learn["method"] == "pinas" else "probe", batch_size=BATCH),
        )
    )


def image_folder(images: Path, folder: Path) -> Path:
    """CIFAR-10 as a folder with one sub-folder a class; JPEGs of an .npz are written out, once, byte by byte."""
    if images.is_dir():
        return images
    if not folder.exists():
        pack = np.load(images)
        header, body, offsets, labels = (pack[k] for k in ("header", "body", "offsets", "labels"))
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


def seconds_per_step(one: Run) -> float:
    """CPU seconds of a learning step, augmentation included: a few steps as the engine takes them."""
    method, learn, splits = one.method(), one.config.learn, one.splits
    views = one.views(one.config.views)
    optimizer = torch.optim.SGD(method.parameters(), lr=1e-3, momentum=learn.momentum)
    trainee = engine.Trainee(method, views, method.num_views, one.config.seed, learn.precision, learn.channels_last)

    def step(k: int) -> None:
        batch = next(splits.train.subset(torch.randperm(len(splits.train))[: learn.batch_size]).batches(10**6))
        optimizer.zero_grad()
        trainee(batch["labels"], k, pixels=batch["pixels"])["loss"].backward()
        optimizer.step()

    return timed(step)


def bare_seconds_per_step(one: Run) -> float:
    """CPU seconds of what a step cannot do without: its paths' cells forward and backward, and for Π-NAS two more
    forward; no views, head, loss or update."""
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

    return timed(step)


def timed(step: Callable[[int], None]) -> float:
    """CPU seconds of one step, the mean of several; the same paths each time that it is asked."""
    for k in range(WARM):
        step(k)
    started = time.process_time()
    for k in range(WARM, WARM + TIMED):
        step(k)
    return (time.process_time() - started) / TIMED


def speed(names: Sequence[str], size: int, threads: int, images: Path, work: Path) -> None:
    """results/nb201_speed.md: a step of each method beside its bare compute."""
    torch.set_num_threads(threads)
    lines = [
        "# A learning step on NAS-Bench-201's cells, beside its bare compute",
        "",
        f"`python benchmarks/nb201.py --speed --threads {threads}`; {MACHINE}. 128 images of 16 x 16 pixels, one "
        f"cell a stage, {size} architectures. Bare: the same paths forward and backward, and the two teacher passes; "
        f"no views, head, loss or update. CPU milliseconds, mean of {TIMED} steps.",
        "",
        "| supernet | step, ms | bare, ms | ratio | images/s a core | bare |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in names:
        one = Run(configuration(name, 0, size, images, 1), work / "speed" / name, say=lambda text: None)
        step, bare = seconds_per_step(one), bare_seconds_per_step(one)
        count = one.config.learn.batch_size
        lines.append(
            f"| {RUNS[name][0]} | {1000 * step:.0f} | {1000 * bare:.0f} | {step / bare:.2f} | {count / step:.0f} "
            f"| {count / bare:.0f} |"
        )
    text = "\n".join(lines) + "\n"
    bench_table.write(RESULTS.with_name("nb201_speed.md"), text)
    print(text)


def measure(name: str, seed: int, size: int, budget: Budget, images: Path, work: Path, count: int) -> None:
    """Learn and score one supernet; writes a ``.csv`` of scores and a ``.json`` of facts into the results."""
    torch.set_num_threads(budget.threads)
    folder = work / budget.run(name, seed, size)
    if not (folder / "config.json").is_file():
        cost = seconds_per_step(Run(configuration(name, seed, size, images, 1), folder))
        steps = round(budget.core_seconds / cost)
        print(f"{name}, {size} architectures, seed {seed}: {1000 * cost:.0f} ms a step, {steps} steps", flush=True)
    else:
        steps = json.loads((folder / "config.json").read_text())["learn"]["steps"]
    config = configuration(name, seed, size, images, steps)
    one = Run(config.model_copy(update={"until": "learn"}), folder)
    one.run()
    space = one.space
    assert isinstance(space, Space)
    archs = [Arch(c) for c in product(range(space.num_candidates), repeat=space.num_layers)]
    archs = [archs[k] for k in sorted(step_rng(0, 0, 0).permutation(len(archs))[:count])]
    started = time.perf_counter()
    scorer = Scorer(one)
    scores = [scorer.score(arch) for arch in archs]
    scoring = time.perf_counter() - started
    curve = engine.read_curve(folder / "learn")
    facts: dict[str, Any] = {
        "run": name,
        "title": RUNS[name][0],
        "seed": seed,
        "architectures": size,
        "scored": len(archs),
        "minutes": budget.minutes,
        "threads": budget.threads,
        "steps": steps,
        "images_per_step": config.learn.batch_size,
        "wall_seconds": read_done(folder / "learn")["seconds"],
        "scoring_seconds": round(scoring, 1),
        "accuracy": round(float(np.mean([values[0] for values in scores])), 4),
        "similarity": round(off_diagonal(one.similarity(run.SIMILARITY_IMAGES, run.SIMILARITY_PATHS)), 4),
        **{key: round(float(np.mean(curve[key][-10:])), 4) for key in ("loss", "spread", "drift") if key in curve},
        "machine": MACHINE,
        "config": config.model_dump(mode="json", include={"space", "views", "learn"}),
    }
    path = RESULTS / f"{results_of(folder.name, size, count)}.csv"
    rows = [[str(space.operations_of(a)), *(f"{v:.5f}" for v in s)] for a, s in zip(archs, scores, strict=True)]
    bench_table.write(path, "".join(f"{','.join(row)}\n" for row in [["arch", *SCORES], *rows]))
    write_json(path.with_suffix(".json"), facts)


def results_of(name: str, size: int, count: int) -> str:
    """What the results of a run are called, when so many of its architectures are scored."""
    return name if count >= size else f"{name}_of_{count}"


class Scorer:
    """Scores of a path by accuracy and squared error of a linear probe of its own, and by what its method learns by, on
    held-out images: consistency of two views for Π-NAS, cross-entropy of the learned classifier for the supervised
    ones. Batch norms go by the batch.
    """

    def __init__(self, one: Run):
        splits, normalise = one.splits, one.views(one.config.views).normalise
        self.supernet = one.supernet
        self.train, self.train_labels = inputs(splits.train, PROBE_IMAGES, normalise)
        self.held, self.held_labels = inputs(splits.val, HELD_OUT, normalise)
        self.classifier = nn.Linear(self.supernet.num_features, splits.num_classes)
        self.consistency = one.consistency if one.config.explore.score == "consistency" else None
        if self.consistency is not None:
            self.consistency.held_out = subset(splits.val, VIEWED)
        else:
            self.classifier.load_state_dict(load_file(one.folder / "learn" / "classifier.safetensors"))

    @torch.no_grad()
    def score(self, path: Arch) -> tuple[float, ...]:
        """As SCORES."""
        with batch_statistics(self.supernet):
            train, held = self.supernet(self.train, path), self.supernet(self.held, path)
        probe = Probe(self.classifier.out_features)
        probe.add(train, self.train_labels)
        outputs = probe.solve()(held)  # N x classes
        accuracy = float((outputs.argmax(1) == self.held_labels).float().mean())
        error = float((outputs - F.one_hot(self.held_labels, outputs.shape[1])).square().sum(1).mean())
        if self.consistency is not None:
            return accuracy, error, self.consistency.score(path).loss
        return accuracy, error, float(F.cross_entropy(self.classifier(held), self.held_labels))


def subset(images: ImageSet, count: int) -> ImageSet:
    return images.subset(step_rng(0, 0, 2).permutation(len(images))[:count])


def inputs(images: ImageSet, count: int, normalise: Any) -> tuple[torch.Tensor, torch.Tensor]:
    batch = next(subset(images, count).batches(count))
    return normalise(batch["pixels"]).contiguous(memory_format=torch.channels_last), batch["labels"]


# the report ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """An architecture of the table."""

    truth: float
    flops: float
    short: float  # accuracy after 12 epochs
    valid: float  # after 200, on held-out images


@dataclass(frozen=True)
class Found:
    """A run that is complete: its facts, and scores by architecture in the benchmark's digits."""

    facts: dict[str, Any]
    scores: dict[str, tuple[float, ...]]  # SCORES

    @property
    def core_minutes(self) -> float:
        return self.facts["minutes"] * self.facts["threads"]


def read_rows(path: Path) -> dict[str, Row]:
    """By the benchmark's digits.

    Raises:
        UserError: Not such a table.
    """
    rows = {}
    for arch, trained in read_table(path).items():
        missing = [name for name in (TEST, SHORT, VALID) if name not in trained.accuracies]
        if missing or trained.flops is None:
            raise UserError(f"expected {', '.join(missing or ['flops_computed'])} of {arch_string(arch)} in {path}")
        truth, short, valid = (trained.accuracies[name] for name in (TEST, SHORT, VALID))
        rows[str(arch)] = Row(truth, trained.flops, short, valid)
    return rows


def read_found(folder: Path) -> list[Found]:
    found = []
    for path in sorted(folder.glob("*.json")):
        with path.with_suffix(".csv").open(newline="") as file:
            scores = {row["arch"]: tuple(float(row[k]) for k in SCORES) for row in csv.DictReader(file)}
        found.append(Found(json.loads(path.read_text()), scores))
    return sorted(
        found, key=lambda f: (list(RUNS).index(f.facts["run"]), f.core_minutes, f.facts["seed"], len(f.scores))
    )


def archs_of(table: Mapping[str, Row], size: int) -> list[str]:
    """The architectures of the table that the space of ``size`` has."""
    digits = {str(OPERATIONS.index(o)) for o in SPACES[size]}
    return [a for a in table if set(a) <= digits]


def tuned_half(archs: Sequence[str]) -> set[str]:
    """Half of the architectures, by seed: what regimes were chosen on."""
    ordered = sorted(archs)
    return {ordered[k] for k in np.random.default_rng(123).permutation(len(ordered))[: len(ordered) // 2]}


def ranking(found: Found, table: Mapping[str, Row], archs: Container[str], by: str) -> Ranking:
    """Of the architectures that were scored and are among ``archs``."""
    return correlate([(a, score(s, by), table[a].flops, table[a].truth) for a, s in found.scores.items() if a in archs])


def score(found: Sequence[float], by: str) -> float:
    """The higher the better; ``by`` is one of the two that are losses."""
    return -found[SCORES.index(by)]


def plain_tau(found: Found, table: Mapping[str, Row], archs: Sequence[str], by: str) -> float:
    return tau(np.array([score(found.scores[a], by) for a in archs]), np.array([table[a].truth for a in archs]))


def criterion(found: Found, table: Mapping[str, Row]) -> str:
    """What a run's architectures are ranked by: chosen on the tuned half."""
    half = tuned_half(archs_of(table, 729))
    tuned = [a for a in found.scores if a in half]
    return max(("objective", "squared_error"), key=lambda by: plain_tau(found, table, tuned, by))


def ranks(found: Sequence[Found], table: Mapping[str, Row], size: int) -> list[str]:
    """Kendall's tau of every run on the spaces of ``size`` architectures, and the accuracy of the best one found."""
    archs = archs_of(table, size)
    held = set(archs) - tuned_half(archs_of(table, 729))
    lines = [
        f"## {size:,} architectures: {', '.join(SPACES[size])}",
        "",
        "| supernet | seed | minutes x threads | steps | images/s a core | scored | accuracy of probes | ranked by "
        "| tau, all | tau, held-out half | tau less that of FLOPs | tau, ranked the other way | best one found |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for f in found:
        facts = f.facts
        if facts["architectures"] != size:
            continue
        by = criterion(f, table)
        other = "objective" if by == "squared_error" else "squared_error"
        everything = ranking(f, table, set(archs), by)
        lines.append(
            f"| {facts['title']} | {facts['seed']} | {facts['minutes']:g} x {facts['threads']} | {facts['steps']:,} "
            f"| {facts['steps'] * facts['images_per_step'] / (60 * f.core_minutes):.0f} | {len(f.scores):,} "
            f"| {facts['accuracy']:.1%} "
            f"| {'objective' if by == 'objective' else 'probe'} | {everything.score} "
            f"| {ranking(f, table, held, by).score} | {everything.difference} "
            f"| {plain_tau(f, table, list(f.scores), other):+.3f} | {everything.best_truth:.2f}% |"
        )
    truth = np.array([table[a].truth for a in archs])
    for title, values in {
        "FLOPs alone": [table[a].flops for a in archs],
        "each trained for 12 epochs": [table[a].short for a in archs],
        "each trained for 200 epochs, validation images": [table[a].valid for a in archs],
    }.items():
        best = truth[int(np.argmax(values))]
        lines.append(f"| {title} | | | | | | | | {tau(np.array(values), truth):+.3f} | | | | {best:.2f}% |")
    lines += ["", f"The best architecture of this space has {truth.max():.2f}%, the mean {truth.mean():.2f}%.", ""]
    return lines


def pairs(found: Sequence[Found], table: Mapping[str, Row], size: int) -> list[str]:
    """Π-NAS beside each other method at the same seed, budget and architectures."""
    known = {(f.facts["run"], f.core_minutes, f.facts["seed"]): f for f in found if f.facts["architectures"] == size}
    lines = [
        f"| tau of Π-NAS less that of ({size:,} architectures) | core minutes | seed | difference |",
        "| --- | --- | --- | --- |",
    ]
    for (name, minutes, seed), other in known.items():
        ours = known.get(("pinas", minutes, seed))
        if name == "pinas" or ours is None:
            continue
        archs = [a for a in ours.scores if a in other.scores]
        by = [criterion(f, table) for f in (ours, other)]
        rows = [(a, score(ours.scores[a], by[0]), score(other.scores[a], by[1]), table[a].truth) for a in archs]
        lines.append(f"| {other.facts['title']} | {minutes:g} | {seed} | {correlate(rows).difference} |")
    return [*lines, ""] if len(lines) > 2 else []


def ablations(found: Sequence[Found], table: Mapping[str, Row]) -> list[str]:
    """Table 7 and Figure 5's mean, and parameter drift, on the 729."""
    lines = [
        "## Ablations (Table 7, Figure 5), 729 architectures",
        "",
        "| supernet | seed | core minutes | tau | similarity of paths | teacher's drift | spread of outputs |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    some = [f for f in found if f.facts["architectures"] == 729]
    if not any(f.facts["run"].startswith("pinas_") for f in some):
        return []
    for f in some:
        values = " | ".join(f"{f.facts[k]:.3f}" if k in f.facts else "–" for k in ("similarity", "drift", "spread"))
        value = ranking(f, table, table, criterion(f, table)).score
        lines.append(f"| {f.facts['title']} | {f.facts['seed']} | {f.core_minutes:g} | {value} | {values} |")
    return [*lines, ""]


def skips(found: Sequence[Found], table: Mapping[str, Row], best: int = 100) -> list[str]:
    """Figure 7: how many edges of the best architectures are skip connections, by truth and by score."""
    digit = str(OPERATIONS.index("skip_connect"))
    some = [f for f in found if f.facts["architectures"] == 15625]
    if not some:
        return []

    def count(archs: Sequence[str]) -> str:
        values = [a.count(digit) for a in archs]
        return f"{np.mean(values):.2f} | {' / '.join(str(values.count(k)) for k in range(7))}"

    lines = [
        f"## Skip connections (Figure 7) among the {best} best of those scored",
        "",
        "| ranked by | seed | mean number | architectures with 0 / 1 / … / 6 |",
        "| --- | --- | --- | --- |",
    ]
    for f in some:
        archs = list(f.scores)
        if f is some[0]:
            lines.append(f"| accuracy alone | | {count(sorted(archs, key=lambda a: -table[a].truth)[:best])} |")
        by = criterion(f, table)
        chosen = sorted(archs, key=lambda a: -score(f.scores[a], by))[:best]
        lines.append(f"| {f.facts['title']} | {f.facts['seed']} | {count(chosen)} |")
    return [*lines, ""]


def report(table: Mapping[str, Row]) -> None:
    """results/nb201.md and, not kept in the repository, a scatter plot of each run (Figures 3 and 8)."""
    found = read_found(RESULTS)
    lines = ["# Ranking on NAS-Bench-201", "", *HEAD]
    for size in SPACES:
        if any(f.facts["architectures"] == size for f in found):
            lines += ranks(found, table, size) + pairs(found, table, size)
    lines += ablations(found, table) + skips(found, table)
    text = "\n".join(lines).rstrip() + "\n"
    bench_table.write(RESULTS.with_suffix(".md"), text)
    print(text)
    for f in found:
        draw(f, table)


def draw(found: Found, table: Mapping[str, Row]) -> None:
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    facts, by = found.facts, criterion(found, table)
    figure, axes = plt.subplots(figsize=(4, 4), layout="constrained")
    scores, truth = [score(s, by) for s in found.scores.values()], [table[a].truth for a in found.scores]
    axes.plot(scores, truth, ".", markersize=4, alpha=0.6)
    axes.set(ylabel="accuracy alone, %", title=f"tau {plain_tau(found, table, list(found.scores), by):+.3f}")
    axes.set_xlabel(f"score in the supernet, by {by.replace('_', ' ')} ({facts['title']}, seed {facts['seed']})")
    budget = Budget(facts["minutes"], facts["threads"])
    name = budget.run(facts["run"], facts["seed"], facts["architectures"])
    figure.savefig(RESULTS / f"{results_of(name, facts['architectures'], facts['scored'])}.svg")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV of NAS-Bench-201's accuracies")
    parser.add_argument("--images", type=Path, help="CIFAR-10: a folder, or an .npz of JPEGs")
    parser.add_argument("--runs", nargs="+", choices=list(RUNS), default=["pinas", "spos", "fairnas"])
    parser.add_argument("--sizes", nargs="+", type=int, choices=list(SPACES), default=[729], help="architectures")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=60, help="of learning, a run")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, help="score so many random architectures only")
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
        args.work_dir.mkdir(parents=True, exist_ok=True)
        images = image_folder(args.images, args.work_dir / "images")
        if args.speed:
            speed(args.runs, args.sizes[0], args.threads, images, args.work_dir)
            return
        budget = Budget(args.minutes, args.threads)
        for seed, size, name in product(args.seeds, args.sizes, args.runs):
            count = args.count or size
            result = results_of(budget.run(name, seed, size), size, count)
            if (RESULTS / f"{result}.json").is_file():
                print(f"{result}: measured already", flush=True)
            else:
                measure(name, seed, size, budget, images, args.work_dir, count)
    report(table)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
