"""Measure one run: learn a supernet within the budget, score its paths, keep scores and facts."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device

from pinas_zoo.analysis.hardware import hardware
from pinas_zoo.arch import Arch
from pinas_zoo.engine.curve import read_curve
from pinas_zoo.errors import UserError
from pinas_zoo.made_with import made_with
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import SearchConfig, read_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.evidence.budget import learning_step, step_seconds, steps_within
from pinas_zoo.search.evidence.plan import PlannedRun, Teacher
from pinas_zoo.search.evidence.replacements import replacements, write_estimates
from pinas_zoo.search.evidence.results import BY_CLASSIFIER, SCORES, read_run
from pinas_zoo.search.evidence.scoring import classifier_accuracies, score_paths
from pinas_zoo.search.evidence.teacher import trained_teacher
from pinas_zoo.search.methods.base import method_class
from pinas_zoo.search.pipeline import run as run_stages
from pinas_zoo.search.ranking.similarity import off_diagonal
from pinas_zoo.search.run_folder import read_done
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from pinas_zoo.search.stages.explore import SIMILARITY_IMAGES, SIMILARITY_PATHS, similarity
from pinas_zoo.search.stages.needed import why_left_out
from pinas_zoo.version import __version__
from pinas_zoo.weights.atomic import write_json, write_text
from pinas_zoo.weights.size_limits import shortened

Say = Callable[[str], None]
MOST_CHANGES = 5  # that are told of a kept run
LATER = ("head_init",)  # options that version 0.1.0 did not have


def is_measured(planned: PlannedRun, count: int, results: Path) -> bool:
    """Whether both result files of a run exist."""
    name = planned.result_name(count)
    return all((results / f"{name}.{suffix}").is_file() for suffix in ("csv", "json"))


def changed_since(planned: PlannedRun, images: Path, count: int, results: Path) -> str:
    """In words, what a measured run was learned with and would not be now; empty if that is nothing.

    Values that its version did not keep are left out, but for options of its method.
    """
    kept = read_run(results / f"{planned.result_name(count)}.json").facts
    before, now = kept.get("config", {}), _kept_config(planned, images, max(1, kept["steps"]))
    if not isinstance(before, dict):
        return ""
    changes = [] if ("teacher" in before) == ("teacher" in now) else ["its teacher"]
    differences = _differences(before, now)
    changes += [f"{key}: {shortened(old)} then, {shortened(new)} now" for key, old, new in differences]
    return ", ".join(changes[:MOST_CHANGES]) + (", …" if len(changes) > MOST_CHANGES else "")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Values that differ of keys that both have; of a method's options, of all keys but those that are LATER."""
    both = [key for key in now if key in before]
    either = [key for key in {**before, **now} if key not in LATER or key in before]
    for key in either if prefix == "learn.options." else both:
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{prefix}{key}.")
        elif old != new:
            yield f"{prefix}{key}", old, new


def measure(planned: PlannedRun, images: Path, work: Path, count: int, results: Path, say: Say = print) -> None:
    """Learn and score one supernet.

    Writes ``NAME.csv`` (scores) and ``NAME.json`` (facts) into ``results``. A stopped run resumes from ``work``.

    Args:
        planned: The run.
        images: CIFAR-10 as a folder.
        work: Where the folder of its search is kept.
        count: Architectures that are scored at most, random ones.
        results: Folder of result files.
        say: Takes progress messages, one line each.
    """
    torch.set_num_threads(planned.threads)
    folder = work / planned.name
    teacher = trained_teacher(planned, images, work, say)
    steps = _steps(planned, images, folder, teacher, say)
    config = planned.search_config(images, steps, teacher)
    context = Context.of(config.model_copy(update={"until": "linear"}), folder, say=say)
    run_stages(context)
    space = context.space
    assert isinstance(space, NASBench201Space)
    archs = scored_archs(space, planned.evidence.spaces[planned.scored], count)
    started = time.perf_counter()
    scores = score_paths(context, archs, planned.scores)
    scoring = time.perf_counter() - started
    path = results / f"{planned.result_name(count)}.csv"
    by_classifier = bool(set(BY_CLASSIFIER) & set(planned.scores)) and planned.run in planned.evidence.replacements
    if (
        by_classifier
        and not method_class(config.learn.method).scores_paths
        and planned.scored == planned.size
        and "skip_connect" in space.operations
    ):
        write_estimates(path, estimate_replacements(context, space, archs))
    facts: dict[str, Any] = {
        "run": planned.run,
        "title": planned.evidence.runs[planned.run].title,
        "changes": list(planned.changes),
        "seed": planned.seed,
        "architectures": planned.size,
        "subspace": planned.scored,
        "scored": len(archs),
        **_budget(planned, folder),
        "threads": planned.threads,
        "steps": config.learn.steps,
        "images_per_step": config.learn.batch_size,
        "wall_seconds": read_done(folder / "learn")["seconds"],
        **_linear_facts(config, folder),
        **({} if teacher is None else {"teacher_seconds": teacher.seconds, "teacher_accuracy": teacher.accuracy}),
        **_chosen(space, folder),
        "scoring_seconds": round(scoring, 1),
        **({"accuracy": mean} if math.isfinite(mean := round(float(np.mean([v[0] for v in scores])), 4)) else {}),
        **_similarity(context),
        **_ends(read_curve(folder / "learn")),
        "machine": machine(),
        "version": __version__,
        "made_with": made_with(),
        "config": _kept_config(planned, images, steps),
    }
    rows = [
        [str(space.operations_of(arch)), *("" if math.isnan(value) else f"{value:.5f}" for value in values)]
        for arch, values in zip(archs, scores, strict=True)
    ]
    write_text(path, "".join(f"{','.join(row)}\n" for row in [["arch", *SCORES], *rows]))
    write_json(path.with_suffix(".json"), facts)  # last: a run is measured once it exists


def scored_archs(space: NASBench201Space, operations: Sequence[str], count: int) -> list[Arch]:
    """The architectures of these operations that are scored: all, or ``count`` random ones, the same for every run."""
    choices = [k for k, name in enumerate(space.operations) if name in operations]
    archs = [Arch(path) for path in product(choices, repeat=space.num_layers)]
    return [archs[k] for k in sorted(step_rng(0, 0, Stream.EVIDENCE).permutation(len(archs))[:count])]


def estimate_replacements(context: Context, space: NASBench201Space, archs: Sequence[Arch]) -> dict[str, float]:
    """Accuracies by the shared classifier of architectures and of replacements in them, by the benchmark's digits."""
    before = [str(space.operations_of(arch)) for arch in archs]
    wanted = dict.fromkeys([*before, *(one.after for one in replacements(before))])
    paths = [space.from_operations(Arch.parse(digits)) for digits in wanted]
    return dict(zip(wanted, classifier_accuracies(context, paths), strict=True))


def _ends(curve: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Means of the last ten logged losses, spreads and drifts; a phase that ended before has none."""
    ends = {key: float(np.mean(curve[key][-10:])) for key in ("loss", "spread", "drift") if key in curve}
    return {key: round(value, 4) for key, value in ends.items() if math.isfinite(value)}


def _similarity(context: Context) -> dict[str, float]:
    """Figure 5's mean; none if the method's paths are not learned as a whole."""
    if method_class(context.config.learn.method).scores_paths:
        return {}
    return {"similarity": round(off_diagonal(similarity(context, SIMILARITY_IMAGES, SIMILARITY_PATHS)), 4)}


def _kept_config(planned: PlannedRun, images: Path, steps: int) -> dict[str, Any]:
    """Tables of the search, with the teacher's recipe in place of its folder."""
    config = planned.search_config(images, steps)
    kept = config.model_dump(mode="json", include={"space", "views", "learn", "linear"})
    kept["data"] = config.data.model_dump(mode="json", include={"image_size", "val_per_class"})
    recipe = planned.teacher_recipe(images)
    return kept if recipe is None else {**kept, "teacher": recipe.model_dump(mode="json", exclude={"data"})}


def _budget(planned: PlannedRun, folder: Path) -> dict[str, float | int]:
    """The minutes of learning: of the budget, or those that its steps have taken."""
    if planned.steps is None:
        return {"minutes": planned.minutes}
    minutes = read_done(folder / "learn")["seconds"] / 60
    return {"minutes": max(0.01, round(minutes, 2)), "budget_steps": planned.steps}


def _linear_facts(config: SearchConfig, folder: Path) -> dict[str, Any]:
    """Steps and seconds of the linear stage; none if the method has learned the classifier itself."""
    if why_left_out(config, "linear") is not None:
        return {}
    return {"linear_steps": config.linear.steps, "linear_seconds": read_done(folder / "linear")["seconds"]}


def _chosen(space: NASBench201Space, folder: Path) -> dict[str, Any]:
    """The architecture that learning chose, in the benchmark's digits, and whether learning warned; no architecture if
    the method leaves that to scores."""
    done = read_done(folder / "learn")
    chosen, warned = done.get("chosen"), {"warned": bool(done.get("trouble") or done.get("warnings"))}
    return warned if chosen is None else {"chosen": str(space.operations_of(space.parse(chosen))), **warned}


def machine() -> str:
    """What a run's steps and seconds depend on: the card, if it runs on one, and the processor."""
    card = f"{torch.cuda.get_device_name()}; " if get_device() == "cuda" else ""
    return f"{card}{hardware()}; Python {platform.python_version()}, torch {torch.__version__}"


def _steps(planned: PlannedRun, images: Path, folder: Path, teacher: Teacher | None, say: Say) -> int:
    """Steps that the budget pays for; those of a run that has begun stay as they are."""
    begun = folder / "config.json"
    if begun.is_file():
        learn = read_config(begun).get("learn")
        steps = learn.get("steps") if isinstance(learn, dict) else None
        if type(steps) is not int:
            raise UserError(f"expected learn.steps in {begun}, got {steps!r}; delete {folder} to measure the run again")
        return steps
    if planned.steps is not None:
        return planned.steps
    context = Context.of(planned.search_config(images, 1, teacher), folder, say=say)
    (seconds,) = step_seconds(learning_step(context))
    steps = steps_within(planned.minutes, planned.threads, seconds)
    say(f"{planned.name}: {1000 * seconds:.0f} ms a step, {steps} steps")
    return steps
