"""How many learning steps a budget of time pays for: measured on a few steps.

Time is CPU seconds of this process where learning runs on a CPU, so that other work on the machine counts little, and
seconds of the clock where it runs on another device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.device import get_device

from pinas_zoo.data.images import ViewsOptions
from pinas_zoo.data.loader import BatchPart
from pinas_zoo.engine.trainable import prepare
from pinas_zoo.engine.trainer import RunnerModel, optimisers
from pinas_zoo.search.context import Context

WARM, TIMED = 5, 50  # steps before the clock starts, and steps that it measures; their costs differ by several times

Step = Callable[[int], None]  # takes the number of the step


def learning_step(context: Context) -> Step:
    """A function that takes steps 0 to WARM + TIMED - 1 as the trainer takes them, augmentation included."""
    method, learn, splits = context.method(), context.config.learn, context.splits
    views = context.views(context.config.views)
    images = {"train": splits.train, "held_out": splits.val}
    options = ViewsOptions(context.config.views, method.num_views, context.config.seed)
    # all phases are active in their share of the measured steps; with one step in all, later ones would do nothing
    model = RunnerModel(method, views, learn.precision, learn.channels_last, WARM + TIMED).to(get_device())
    prepare(method, context.config.seed)
    wrapper = optimisers(model, learn)

    def step(k: int) -> None:
        batches: dict[str, Any] = {"step": k}
        for split in {phase.split for phase in method.phases}:
            indices = torch.randperm(len(images[split]))[: learn.batch_size].tolist()
            batches[split] = images[split].step_batch(BatchPart(k, 0, indices), options)
        model.train_step(batches, wrapper)

    return step


def clock() -> float:
    """Seconds of the budget's kind that have passed; a device has finished its work when they are read."""
    if get_device() == "cpu":
        return time.process_time()
    torch.accelerator.synchronize()
    return time.perf_counter()


def step_seconds(*steps: Step) -> list[float]:
    """Mean seconds of a step of each kind; they take turns, so that other work on the machine slows all alike."""
    spent = [0.0] * len(steps)
    for k in range(WARM + TIMED):
        for turn, step in enumerate(steps):
            started = clock()
            step(k)
            spent[turn] += (clock() - started) * (k >= WARM)
    return [value / TIMED for value in spent]


def steps_within(minutes: float, threads: int, seconds: float) -> int:
    """Steps of so many seconds within the minutes, at least one; CPU seconds count for each thread."""
    return max(1, round(60 * minutes * (threads if get_device() == "cpu" else 1) / seconds))
