"""Checks before a run, so that errors in a later stage are reported before anything is computed."""

from __future__ import annotations

import torch

from pinas_zoo.data.images import StepSampler
from pinas_zoo.engine import distributed
from pinas_zoo.engine.compiler import check_compiler
from pinas_zoo.engine.machine_memory import check_fits
from pinas_zoo.engine.trainer import check_precision, log_backends
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Learn, Linear
from pinas_zoo.search.context import Context
from pinas_zoo.search.methods.base import Method
from pinas_zoo.search.run_folder import STAGES, is_done
from pinas_zoo.search.stages.compare import check_comparison
from pinas_zoo.search.stages.needed import needs_labels, why_left_out
from pinas_zoo.search.study.constraints import Limits
from pinas_zoo.search.study.storage import check_storage
from pinas_zoo.zoo import registry


def check_run(context: Context) -> None:
    """Check the requirements of the stages that are not complete: compiler, images, precision, log backends, method,
    limits of the candidates, and the registry that the winner goes to.

    Raises:
        UserError: A requirement is not met.
    """
    config, folder = context.config, context.folder
    if config.train.enabled and config.train.compile and not is_done(folder, "train"):
        check_compiler("train.compile")
    if config.train.enabled and not is_done(folder, "train"):
        check_comparison(config, context.space)
    tables: dict[str, Learn | Linear] = {"learn": config.learn, "linear": config.linear}
    trained = {stage: table for stage, table in tables.items() if why_left_out(config, stage) is None}
    if all(is_done(folder, stage) for stage in (*trained, "explore")):
        return
    if context.splits.num_classes < 2 and (needs_labels(config) or config.until not in ("learn", "explore")):
        raise UserError(
            f"expected images of at least 2 classes in {config.data.root}, got {context.splits.num_classes}; without "
            "labels, explore.score='consistency' ranks what an unsupervised method has learned: add until='explore', "
            "as no accuracy can be told"
        )
    if config.until not in ("learn", "linear") and not is_done(folder, "explore"):
        Limits(context.space, config.explore, config.data.image_size).reachable(config.seed)
        if distributed.rank() == 0:
            check_storage(config.explore.storage)
    if config.until == STAGES[-1]:
        registry.check_writable()
    for stage, options in trained.items():
        StepSampler(len(context.splits.train), options.batch_size, 0, 0, 1, world=distributed.world())
        check_precision(options.precision, f"{stage}.precision")
    log_backends(config.log, folder)  # raises an error if one is not installed
    if "learn" in trained:
        with torch.device("meta"):
            method = context.method()  # raises an error for wrong options; takes no memory on the meta device
        check_memory(context, method)
        if any(phase.split == "held_out" for phase in method.phases):
            StepSampler(len(context.splits.val), config.learn.batch_size, 0, 0, 1, world=distributed.world())


def check_memory(context: Context, method: Method) -> None:
    """Check that weights, gradients, momentum and buffers of learn, and the pixels of a step, can fit in memory.

    Args:
        context: Of the run.
        method: Its method on the meta device.

    Raises:
        UserError: They cannot; activations, which come on top, are not counted.
    """
    config = context.config
    tensors = [*method.parameters(), *method.buffers()]
    held = sum(t.numel() * t.element_size() for t in tensors)
    trained = sum(p.numel() * p.element_size() for p in method.parameters() if p.requires_grad)
    check_fits((held + 2 * trained) / 2**20, "the weights and buffers of learn", "lower learn.options or the space's")
    images = config.learn.batch_size / distributed.world() * max(method.num_views, 1)
    pixels = images * 3 * config.data.image_size**2 * 4  # in fp32
    check_fits(pixels / 2**20, "the images of a step of learn", "lower learn.batch_size or data.image_size")
