"""Checks before a run, so that errors in a later stage are reported before anything is computed."""

from __future__ import annotations

import torch

from pinas_zoo.data.images import StepSampler
from pinas_zoo.engine import distributed
from pinas_zoo.engine.trainer import check_precision, log_backends
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import Learn, Linear
from pinas_zoo.search.context import Context
from pinas_zoo.search.run_folder import STAGES, is_done
from pinas_zoo.search.stages.needed import needs_labels, why_left_out
from pinas_zoo.search.stages.train import check_compiler
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
        if any(phase.split == "held_out" for phase in method.phases):
            StepSampler(len(context.splits.val), config.learn.batch_size, 0, 0, 1, world=distributed.world())
