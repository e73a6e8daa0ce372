"""Stage 1 (sec. 3.2): supernet learning."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mmengine.device import get_device

from pinas_zoo.engine import distributed
from pinas_zoo.engine.curve import read_curve
from pinas_zoo.engine.trainable import prepare
from pinas_zoo.engine.trainer import cosine
from pinas_zoo.search.context import Context
from pinas_zoo.search.methods.base import Method
from pinas_zoo.search.stages.result import StageResult, fit, total_steps
from pinas_zoo.weights.tensors import load_state, save_tensors

METHOD_FILE = "method.safetensors"  # the whole state of a method that scores paths itself


def learn(context: Context) -> StageResult | None:
    """Train the method, and save the supernet, the method's classifier, and the architecture that it selected, if any.

    Returns:
        The result of the stage; None in processes other than the first.
    """
    folder, options, images = context.folder / "learn", context.config.learn, context.splits.train
    method = context.method()
    steps = total_steps(options, len(images))
    seconds = fit(context, "learn", method, images, context.config.views, options, steps, cosine(steps, options.warmup))
    if distributed.rank() > 0:
        return None
    if method.learned is not None:
        save_tensors(folder / "supernet.safetensors", method.learned.state_dict())
    if method.classifier is not None:
        save_tensors(folder / "classifier.safetensors", method.classifier.state_dict())
    if method.scores_paths:
        save_tensors(folder / METHOD_FILE, method.state_dict())
    first, last = first_and_last_loss(read_curve(folder))
    rate = steps * options.batch_size * method.num_views / seconds
    loss = f"{last:.2f}" if first == last else f"{first:.2f} to {last:.2f}"  # equal if it was logged once
    summary = f"{steps} steps, loss {loss}, {rate:.0f} views/s"
    facts: dict[str, str | None] = {"trouble": method.warning()}
    chosen = method.choose()
    if chosen is not None:
        facts["chosen"] = str(chosen)
        summary += f"; chose {chosen}"
    return StageResult(summary + (f"; WARNING: {facts['trouble']}" if facts["trouble"] else ""), seconds, facts)


def first_and_last_loss(curve: Mapping[str, list[float]]) -> tuple[float, float]:
    """The first and the last loss of the first phase that logged one; a phase may start late or stop early."""
    name = next(key for key in curve if key.rpartition(".")[2] == "loss")
    logged = [k for k, value in enumerate(curve[name]) if not math.isnan(value)]
    return (curve[name][logged[0]], curve[name][logged[-1]]) if logged else (math.nan, math.nan)


def learned_method(context: Context) -> Method:
    """Load the trained state of a method that scores paths itself."""
    method = context.method()
    load_state(method, context.folder / "learn" / METHOD_FILE)
    method.to(get_device())
    prepare(method, context.config.seed)
    return method
