"""Kendall's tau of Π-NAS and SPOS on NAS-Bench-201 at the benchmark's own size, for the minutes that remain.

The search is that of configs/evidence/nasbench201.py on 729 architectures, but with 5 cells a stage and 32 x 32 pixels.
Each run learns for a share of the remaining time; the paper's runs are longer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from gpu_stages.pictures import write_folder
from gpu_stages.settings import Answer, NotHere, Row, Settings
from pinas_zoo.arch import Arch
from pinas_zoo.search.context import Context
from pinas_zoo.search.evidence.budget import learning_step, step_seconds, steps_within
from pinas_zoo.search.evidence.images import image_folder
from pinas_zoo.search.evidence.measure import scored_archs
from pinas_zoo.search.evidence.plan import EvidenceConfig, PlannedRun, find_evidence, load_evidence
from pinas_zoo.search.evidence.results import SCORES
from pinas_zoo.search.evidence.scoring import score_paths
from pinas_zoo.search.evidence.truth import load_truth
from pinas_zoo.search.pipeline import run as run_stages
from pinas_zoo.search.ranking.kendall import tau
from pinas_zoo.search.ranking.main_effects import main_effects
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space

CHANGES = ("space.cells=5", "data.image_size=32", "learn.checkpoint_every=200", "linear.steps=300")
TINY = ("space.cells=1", "space.channels=4", "data.image_size=8", "data.val_per_class=4", "learn.batch_size=8",
        "linear.steps=2", "linear.batch_size=8", "explore.batch_size=8", "explore.held_out_images=16",
        "explore.recalibration_images=16")  # fmt: skip
SIZE, COUNT = 729, 150  # architectures of the space, and scored ones
LEARNING = 0.5  # share of a row's time that learns; the rest trains the classifier and scores
PRINTED = {"pinas": "0.70", "spos": "0.57"}  # Figure 3
TINY_STEPS = 2


def measure(run: str, settings: Settings) -> Answer:
    evidence = load_evidence(find_evidence("nasbench201"))
    work = settings.out / "work"
    if settings.smoke:
        images = write_folder(work / "tiny_images", 12, 10, 8, 8)
    elif settings.images is None or settings.truth is None:
        raise NotHere("needs --images and --truth")
    else:
        images = image_folder(settings.images, work)
    seconds = settings.seconds_left / (2 if run == "pinas" else 1) * LEARNING
    planned = PlannedRun(evidence, run, SIZE, 0, round(seconds / 60, 2), 1, TINY if settings.smoke else CHANGES)
    folder = work / f"evidence_{run}"
    steps = learning_steps(planned, images, folder, seconds, settings)
    context = Context.of(planned.search_config(images, steps).model_copy(update={"until": "linear"}), folder)
    run_stages(context)
    space = context.space
    assert isinstance(space, NASBench201Space)
    archs = scored_archs(space, evidence.spaces[SIZE], 5 if settings.smoke else COUNT)
    scores = dict(zip(archs, score_paths(context, archs), strict=True))
    truth = accuracies(evidence, settings, space)
    consistency = {arch: -values[SCORES.index("consistency")] for arch, values in scores.items()}
    effects = main_effects(consistency, space.num_candidates, space.reachable)
    taus = {
        "consistency": correlation(consistency, truth),
        "effects of consistency": correlation({arch: effects.score(arch) for arch in truth}, truth),
        "classifier": correlation({a: -values[SCORES.index("cross_entropy")] for a, values in scores.items()}, truth),
    }
    text = ", ".join(f"{name} {value:+.3f}" for name, value in taus.items())
    text = f"tau of {text}; {steps} steps of {context.config.learn.batch_size} images, {len(archs)} scored"
    return Answer(f"{text} (printed, longer: {PRINTED[run]})", {"tau": taus, "steps": steps, "scored": len(archs)})


def learning_steps(planned: PlannedRun, images: Path, folder: Path, seconds: float, settings: Settings) -> int:
    """Steps that fit into the seconds; those of a run that has begun stay as they are."""
    if settings.smoke:
        return TINY_STEPS
    begun = folder / "config.json"
    if begun.is_file():
        return json.loads(begun.read_text(encoding="utf-8"))["learn"]["steps"]
    (taken,) = step_seconds(learning_step(Context.of(planned.search_config(images, 1), folder)))
    return steps_within(seconds / 60, 1, taken)


def accuracies(evidence: EvidenceConfig, settings: Settings, space: NASBench201Space) -> dict[Arch, float]:
    """Accuracy of the space's architectures after training each alone; made-up ones in smoke."""
    archs = scored_archs(space, evidence.spaces[SIZE], SIZE)
    if settings.truth is None:
        return dict(zip(archs, np.random.default_rng(0).random(len(archs)).tolist(), strict=True))
    networks = load_truth(settings.truth, evidence.truth, 1).networks
    return {arch: networks[str(space.operations_of(arch))].accuracy for arch in archs}


def correlation(values: Mapping[Arch, float], truth: Mapping[Arch, float]) -> float:
    return float(tau(np.array(list(values.values())), np.array([truth[arch] for arch in values])))


ROWS: dict[str, Row] = {run: partial(measure, run) for run in PRINTED}
