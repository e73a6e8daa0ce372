"""What a search would do, without doing it: the resolved configuration, steps, memory, files."""

from __future__ import annotations

from pathlib import Path

import torch

from pinas_zoo.search.config import SearchConfig
from pinas_zoo.search.methods import build_method
from pinas_zoo.search.run import DONE, STAGES, check_folder, needs_linear
from pinas_zoo.search.space import build_space


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
    evaluations = min(config.explore.evaluations, space.size)
    alone = f"{config.train.epochs} epochs, batch {config.train.batch_size}" if config.train.enabled else "switched off"
    what = {
        "learn": f"{learn.steps} steps of {learn.batch_size} images, {method.num_views} views each ({views} views)",
        "linear": f"{config.linear.steps} steps of {config.linear.batch_size} images, a random path each"
        if needs_linear(config)
        else f"left out: {learn.method} learns a classifier",
        "explore": f"{evaluations} of {space.size:,} architectures by {config.explore.sampler}, "
        f"{config.explore.recalibration_images} images each to recalibrate",
        "winner": "the best one cut out of the supernet, and tested",
        "train": alone,
    }
    lines = [config.model_dump_json(indent=2), "", f"space    {space.num_layers} layers of {space.num_candidates}"]
    for stage in STAGES:
        state = "complete" if (folder / stage / DONE).is_file() else "to do"
        lines.append(f"{stage:8} {what[stage]} [{state}]")
    lines += [
        "",
        f"memory   {weights_mib + 2 * trained_mib:.0f} MiB of weights, gradients and momentum in learn; activations "
        "come on top",
        f"         {1000 * pixels_mib:.1f} MiB for every 1,000 images, all of which are decoded into memory, and as "
        "much again for the recalibration images in explore",
        f"disk     a checkpoint of {weights_mib + trained_mib:.0f} MiB while a stage trains",
        f"files    {folder}/: config.json, learn/, linear/, explore/, winner/, train/, trained/, report.html",
        f"registry the winner is registered as {config.name}_winner",
    ]
    return "\n".join(lines)
