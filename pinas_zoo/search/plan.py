"""What a search would do, without doing it: the resolved configuration, steps, memory, files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from pinas_zoo.arch import Arch
from pinas_zoo.data.splits import root_found
from pinas_zoo.engine import distributed
from pinas_zoo.engine.memory import path_mib
from pinas_zoo.engine.trainer import DTYPES
from pinas_zoo.rng import step_rng
from pinas_zoo.search.config import Learn, Linear, SearchConfig
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.run_folder import DONE, STAGES, check_folder
from pinas_zoo.search.scorers.kinds import KINDS, needs_linear
from pinas_zoo.search.spaces.base import build_space


def length(options: Learn | Linear) -> str:
    return f"{options.epochs} epochs" if options.epochs else f"{options.steps} steps"


def plan(config: SearchConfig, folder: Path) -> str:
    """Text for a person; nothing is written and no image is read.

    Raises:
        UserError: As a run would: a bad space, method or folder.
    """
    check_folder(config, folder)
    space = build_space(config.space)
    learn = config.learn
    with torch.device("meta"):
        method = build_method(learn.method, learn.options, space, 10, config.seed)
    tensors = [*method.parameters(), *method.buffers()]
    weights_mib = sum(t.numel() * t.element_size() for t in tensors) / 2**20
    pixels_mib = 3 * config.data.image_size**2 / 2**20
    trained_mib = sum(p.numel() * p.element_size() for p in method.parameters() if p.requires_grad) / 2**20
    views = learn.batch_size * method.num_views
    world = distributed.world()
    (first,) = space.sample(step_rng(config.seed, 0, 0))
    sample: Callable[[int], Sequence[Arch]] = getattr(method, "sample_paths", lambda step: [first])
    paths = sample(0)
    images, dtype = learn.batch_size // world, DTYPES[learn.precision]
    kept_mib = sum(path_mib(method.learned, path, images, config.data.image_size, dtype) for path in paths)
    subset_mib = config.explore.recalibration_images * pixels_mib
    evaluations = min(config.explore.evaluations, space.size)
    alone = f"{config.train.epochs} epochs, batch {config.train.batch_size}" if config.train.enabled else "switched off"
    recalibrated = f"{config.explore.recalibration_images} images each to recalibrate"
    what = {
        "learn": f"{length(learn)} of {learn.batch_size} images, {method.num_views} views each ({views} in all)",
        "linear": f"{length(config.linear)} of {config.linear.batch_size} images, a random path each"
        if needs_linear(config)
        else f"left out: {KINDS[config.explore.score].left_out}",
        "explore": f"{evaluations} of {space.size:,} architectures by {config.explore.sampler}, "
        + ("scored without labels" if config.explore.score == "consistency" else recalibrated),
        "winner": "the best one cut out of the supernet, and tested",
        "train": alone,
    }
    lines = [config.model_dump_json(indent=2), ""]
    if not root_found(config.data):
        lines.append(f"data     NOT HERE: there is no folder {config.data.root!r}, which the search will ask for")
    lines += [f"space    {space.num_layers} layers of {space.num_candidates}"]
    for stage in STAGES:
        state = "complete" if (folder / stage / DONE).is_file() else "to do"
        lines.append(f"{stage:8} {what[stage]} [{state}]")
    lines += [
        "",
        f"ranks    {world} process{'es' * (world > 1)}; batches and learning rates are as configured however many "
        f"share them: in learn each takes {learn.batch_size / world:g} images a step",
        f"memory   {weights_mib + 2 * trained_mib:.0f} MiB of weights, gradients and momentum in learn, and "
        f"{kept_mib:.0f} MiB of activations: {images} images along {len(paths)} path{'s' * (len(paths) > 1)} of "
        f"a step, kept for the backward pass, in each process",
        f"         {1000 * pixels_mib:.1f} MiB for every 1,000 images of {config.data.image_size} x "
        f"{config.data.image_size} pixels; images are held in memory at the size of their files when they take no more "
        f"than {config.data.memory_gib:g} GiB (data.memory_gib), with {subset_mib:.0f} MiB more in explore for the "
        f"recalibration images; or else all are decoded as needed",
        f"disk     a checkpoint of {weights_mib + trained_mib:.0f} MiB while a stage trains",
        f"files    {folder}/: config.json, learn/, linear/, explore/, winner/, train/, trained/, report.html",
        f"registry the winner is registered as {config.name}_winner",
    ]
    return "\n".join(lines)
