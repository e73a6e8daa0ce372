"""Stage 4: extract the winner from the supernet, and test it."""

from __future__ import annotations

import time
from typing import Any

import timm

from pinas_zoo.analysis.cost import shown_flops
from pinas_zoo.arch import Arch
from pinas_zoo.engine import distributed
from pinas_zoo.search.context import Context
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.stages.network_folder import accuracy, save_network
from pinas_zoo.search.stages.result import StageResult
from pinas_zoo.weights.entry_points import on_meta


def winner(context: Context) -> StageResult | None:
    """Write the model folder ``winner``: the best architecture with its supernet weights.

    If the run has no supernet, the weights are freshly initialised.

    Returns:
        The result of the stage; None in processes other than the first.
    """
    if distributed.rank() > 0:
        return None
    started = time.perf_counter()
    arch = context.explored_winner()
    state = cut_out(context, arch) if context.supernet is not None else untrained(context, arch)
    save_network(context, "winner", arch, state, {})
    model: Any = timm.create_model(f"local-dir:{context.folder / 'winner'}", pretrained=True)
    value = accuracy(model, context.splits.test, context.views(context.config.views).normalise)
    params_m, flops_g = context.space.cost(arch, context.config.data.image_size)
    how = "with inherited weights" if context.supernet is not None else "untrained"
    summary = f"{arch}, {params_m:.3f} M params, {shown_flops(flops_g)} multiply-adds, test accuracy {value:.1%} {how}"
    facts = {"test_accuracy": value, "test_images": len(context.splits.test)}
    return StageResult(summary, time.perf_counter() - started, facts)


def cut_out(context: Context, arch: Arch) -> dict[str, Any]:
    """State dict of a path with recalibrated batch norms, and with the shared classifier or a probe of its own."""
    supernet = context.supernet
    assert supernet is not None
    data = context.scoring_data()
    shared = data.classifier if "classifier" in context.config.explore.kinds else None
    classifier = data.num_classes if shared is None else shared
    evaluator = PathEvaluator(
        supernet, classifier, data.recalibration, data.held_out, data.normalise, data.batch_size,
        recalibration_batch_size=data.recalibration_batch_size,
    )  # fmt: skip
    with evaluator.recalibrate(arch):
        state: dict[str, Any] = context.space.export(supernet, arch)
    head = on_meta(context.space.architecture, network_args(context, arch)).pretrained_cfg["classifier"]
    return state | {f"{head}.{key}": value for key, value in evaluator.fit(arch).state_dict().items()}


def untrained(context: Context, arch: Arch) -> dict[str, Any]:
    """State dict of a freshly initialised network, for a search without a supernet."""
    model = timm.create_model(context.space.architecture, **network_args(context, arch))
    return dict(model.state_dict())


def network_args(context: Context, arch: Arch) -> dict[str, Any]:
    """Arguments of timm's entry point for the stand-alone network."""
    return {**context.space.model_args(arch), "num_classes": context.splits.num_classes}
