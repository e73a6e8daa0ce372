"""The plan of a dry run: the resolved configuration, the stages, and the memory and files that they need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device

from pinas_zoo.arch import Arch
from pinas_zoo.data.sources import root_found
from pinas_zoo.engine import distributed
from pinas_zoo.engine.memory import live_mib, saved_mib
from pinas_zoo.engine.side_by_side import passes_at_once
from pinas_zoo.engine.trainer import DTYPES
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.config import Learn, Linear, SearchConfig, comparison_epochs
from pinas_zoo.search.context import zero_cost_space
from pinas_zoo.search.methods.base import Method, build_method
from pinas_zoo.search.run_folder import STAGES, check_folder, is_done
from pinas_zoo.search.score_kinds import UNTRAINED, recalibrates, score_kind
from pinas_zoo.search.scorers.protocol import SUPERNET
from pinas_zoo.search.spaces.base import SearchSpace, Supernet, build_space
from pinas_zoo.search.stages.compare import is_wanted
from pinas_zoo.search.stages.needed import why_left_out

CLASSES = 10  # assumed for counting weights, because a dry run reads no images


@dataclass(frozen=True)
class StagePlan:
    """The plan of one stage.

    Attributes:
        name: Name of the stage.
        what: Description of what it would do.
        complete: Whether it is complete.
        state: "complete", "to do", "after until" for a later command, or empty for a stage that the run does not have.
    """

    name: str
    what: str
    complete: bool
    state: str


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run. Memory is given in MiB per process.

    Attributes:
        config: The resolved configuration.
        folder: Folder of the run.
        data_found: Whether ``data.root`` exists.
        space: Description of the search space.
        stages: Plans of the stages, in order.
        processes: Number of processes that share the run.
        images_per_process: Images of each process in a step of learn.
        paths_per_step: Paths in a step of learn.
        weights_mib: Weights, gradients and momentum in learn.
        activations_mib: Activations that a step of learn keeps for its backward pass.
        images_mib_per_1000: Memory of 1,000 decoded images.
        recalibration_mib: Memory of the recalibration images.
        scoring_images: Images of a batch in explore, the larger one of recalibration and scoring; 0 without supernet.
        scoring_mib: Activations of that batch along one path, without gradients.
        supernet_mib: Weights of the supernet, in explore.
        checkpoint_mib: Disk space of the checkpoint while a stage trains.
    """

    config: dict[str, Any]
    folder: str
    data_found: bool
    space: str
    stages: tuple[StagePlan, ...]
    processes: int
    images_per_process: float
    paths_per_step: int
    weights_mib: float
    activations_mib: float
    images_mib_per_1000: float
    recalibration_mib: float
    scoring_images: int
    scoring_mib: float
    supernet_mib: float
    checkpoint_mib: float

    def text(self) -> str:
        """Format the plan as text, without the configuration."""
        data = self.config["data"]
        lines = []
        if not self.data_found:
            lines.append(f"data     NOT FOUND: the search needs the folder {data['root']!r}, which does not exist")
        lines.append(f"space    {self.space}")
        lines += [f"{s.name:8} {s.what}{f' [{s.state}]' if s.state else ''}" for s in self.stages]
        many, paths = "es" if self.processes > 1 else "", "paths" if self.paths_per_step > 1 else "path"
        lines += [
            "",
            f"ranks    {self.processes} process{many}; their number changes neither batch sizes nor learning rates; "
            f"in learn each takes {self.images_per_process:g} images a step",
            f"memory   {self.weights_mib:.0f} MiB of weights, gradients and momentum in learn, and "
            f"{self.activations_mib:.0f} MiB of activations: {self.images_per_process:g} images along "
            f"{self.paths_per_step} {paths} of a step, kept for the backward pass, in each process",
            *([self.scoring_text()] if self.scoring_images else []),
            f"         {self.images_mib_per_1000:.1f} MiB for every 1,000 images of {data['image_size']} x "
            f"{data['image_size']} pixels; images are kept in memory at the size of their files if they need at most "
            f"{data['memory_gib']:g} GiB (data.memory_gib), with {self.recalibration_mib:.0f} MiB more in explore for "
            "the recalibration images; otherwise they are decoded when needed",
            f"disk     a checkpoint of {self.checkpoint_mib:.0f} MiB while a stage trains",
            f"files    {self.folder}/: config.json, learn/, linear/, explore/, winner/, train/, trained/, report.html",
        ]
        if self.config["until"] == STAGES[-1]:
            lines.append(f"registry the winner is registered as {self.config['name']}_winner")
        return "\n".join(lines)

    def scoring_text(self) -> str:
        """The line on the memory of explore."""
        return (
            f"         {self.supernet_mib:.0f} MiB of weights in explore, and {self.scoring_mib:.0f} MiB of "
            f"activations: {self.scoring_images} images along a path without gradients, for each of up to "
            f"{passes_at_once(get_device())} paths at once, in each process"
        )


def plan(config: SearchConfig, folder: Path) -> RunPlan:
    """Plan a run without running it. No file is written and no image is read.

    Raises:
        UserError: The space, the method or the folder is invalid.
    """
    check_folder(config, folder)
    space = build_space(config.space)
    zero_cost_space(config)  # raises an error for wrong keys
    learn, world, size = config.learn, distributed.world(), config.data.image_size
    with torch.device("meta"):
        method = build_method(learn.method, learn.options, space, CLASSES, config.seed, size)
    tensors = [*method.parameters(), *method.buffers()]
    weights = sum(t.numel() * t.element_size() for t in tensors) / 2**20
    trained = sum(p.numel() * p.element_size() for p in method.parameters() if p.requires_grad) / 2**20
    paths = step_paths(method, space, config.seed)
    images, pixels = learn.batch_size // world, 3 * size**2 / 2**20
    supernet, dtype = method.learned, DTYPES[learn.precision]
    kept = 0.0 if supernet is None else sum(path_mib(supernet, path, images, size, dtype) for path in paths)
    at_once = max(method.paths_at_once, len(paths))
    kept *= at_once / max(len(paths), 1)
    scored, scoring, supernet_weights = scoring_images(config, supernet), 0.0, 0.0
    if supernet is not None and scored:
        path = space.sample(step_rng(config.seed, 0, Stream.LEARN_PATHS))[0]
        scoring = scoring_mib(supernet, path, scored, size)
        supernet_weights = sum(p.numel() * p.element_size() for p in supernet.parameters()) / 2**20
    stages = []
    for stage in STAGES:
        reason, complete = why_left_out(config, stage), is_done(folder, stage)
        state = "complete" if complete else "" if reason else "to do"
        if state == "to do" and STAGES.index(stage) > STAGES.index(config.until):
            state = "after until"
        stages.append(StagePlan(stage, reason or describe(stage, config, space, method), complete, state))
    return RunPlan(
        config=config.shown().model_dump(mode="json"),
        folder=str(folder),
        data_found=root_found(config.data),
        space=f"{space.num_layers} layers of {space.num_candidates}",
        stages=tuple(stages),
        processes=world,
        images_per_process=learn.batch_size / world,
        paths_per_step=at_once,
        weights_mib=weights + 2 * trained,
        activations_mib=kept,
        images_mib_per_1000=1000 * pixels,
        recalibration_mib=config.explore.recalibration_images * pixels,
        scoring_images=scored,
        scoring_mib=scoring,
        supernet_mib=supernet_weights,
        checkpoint_mib=weights + trained,
    )


def describe(stage: str, config: SearchConfig, space: SearchSpace, method: Method) -> str:
    """Describe what a stage would do."""
    learn, explore, kind = config.learn, config.explore, score_kind(config)
    if stage == "learn":
        views = learn.batch_size * method.num_views
        each = "1 view" if method.num_views == 1 else f"{method.num_views} views"
        return f"{length(learn)} of {learn.batch_size} images, {each} each ({views} in all)"
    if stage == "linear":
        return f"{length(config.linear)} of {config.linear.batch_size} images, a random path each"
    if stage == "explore":
        crops = "" if explore.recalibration_views is None else "augmented "
        how = f"{explore.recalibration_images} {crops}images each to recalibrate"
        if kind.build is None:
            how = "scored by the method"
        elif SUPERNET not in kind.needs:
            how = "scored without training"
        elif not recalibrates(config):
            how = "scored without labels"
        if explore.zero_cost_space and kind.build is not None and UNTRAINED & set(explore.kinds):
            changes = ", ".join(f"{key}={value}" for key, value in explore.zero_cost_space.items())
            how += f", untrained networks with {changes}"
        return f"{min(explore.evaluations, space.size)} of {space.size:,} architectures by {explore.sampler}, {how}"
    if stage == "winner":
        return f"the best one {'cut out of the supernet' if SUPERNET in kind.needs else 'untrained'}, and tested"
    return f"{config.train.epochs} epochs stand-alone, batch {config.train.batch_size}{describe_comparison(config)}"


def describe_comparison(config: SearchConfig) -> str:
    """Describe the networks that are trained beside the winner; empty without any."""
    options = config.train.compare
    if not is_wanted(options):
        return ""
    others = ["the reference"] if options.reference else []
    others += [f"{options.random} random networks of like cost"] if options.random else []
    start = "from scratch" if options.start == "scratch" else "from the supernet's weights"
    epochs = comparison_epochs(config.train)
    return f"; the winner, {' and '.join(others)} {start}, {epochs} epochs with each of {options.seeds} seeds"


def length(options: Learn | Linear) -> str:
    """Describe the length of a stage, in epochs or steps."""
    return f"{options.epochs} epochs" if options.epochs else f"{options.steps} steps"


def step_paths(method: Method, space: SearchSpace, seed: int) -> list[Arch]:
    """The paths of the first step of learn; one random path for a method that samples none."""
    paths = list(method.sample_paths(0))
    if paths or method.learned is None:
        return paths
    return space.sample(step_rng(seed, 0, Stream.LEARN_PATHS))


def scoring_images(config: SearchConfig, supernet: Supernet | None) -> int:
    """Images of the largest batch in explore; 0 if scores need no supernet."""
    explore = config.explore
    if supernet is None or SUPERNET not in score_kind(config).needs:
        return 0
    batch = explore.batch_size
    return max(batch, explore.recalibration_batch_size or batch) if recalibrates(config) else batch


def scoring_mib(supernet: Supernet, path: Arch, images: int, size: int) -> float:
    """Activations in MiB at the peak of scoring one batch along one path, with what the tree of paths holds.

    Args:
        supernet: A supernet on the meta device.
        path: The path.
        images: Number of images in the batch.
        size: Height and width of the images in pixels.
    """

    def run() -> None:
        outputs = [torch.empty(images, 3, size, size, device="meta")]  # of every piece, for the paths that branch off
        for piece in supernet.pieces(path):
            outputs.append(piece.run(outputs[-1]))

    return live_mib(supernet.eval(), run)


def path_mib(supernet: Supernet, path: Arch, images: int, size: int, dtype: torch.dtype | None = None) -> float:
    """Activations in MiB that one path keeps for its backward pass.

    Args:
        supernet: A supernet on the meta device.
        path: The path.
        images: Number of images in the batch.
        size: Height and width of the images in pixels.
        dtype: Data type of mixed precision; None for fp32.
    """

    def run() -> torch.Tensor:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            return supernet(torch.empty(images, 3, size, size, device="meta"), path)

    return saved_mib(supernet.train(), run)
