"""What a card computes, against the reference numbers: networks and a learning step in every precision.

Where there are no reference numbers (``--golden``), the reference is the same computation in fp32 on this machine's
CPU. In fp32, a network is compared with fp64 on this machine's CPU, too: the authors' numbers are fp32 and up to
1.6e-4 from it. Weights are random, which amplifies rounding: in bf16 a CPU is 0.16 from the reference in a network's
outputs, 0.008 in the loss and 0.06 in gradient norms. The bounds leave two to six times as much; those of TF32 and
fp16, which have 8 times bf16's resolution, a quarter of that. They say that nothing is wrong, not how exact a trained
network is.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

import pinas_zoo  # noqa: F401
from gpu_stages import right_runs
from gpu_stages.settings import Answer, Row, Settings, precision
from pinas_zoo.models.pooling import PaddedAvgPool2d
from tests.golden import fill_, relative_error, seeded_input
from tests.golden_step import GoldenStep, golden_step
from tests.tf32 import tf32

SETTINGS = {  # precision, channels-last, compiled
    "fp32": ("fp32", False, False),
    "tf32": ("tf32", False, False),
    "bf16": ("bf16", False, False),
    "fp16": ("fp16", False, False),
    "channels_last": ("fp32", True, False),
    "compiled": ("fp32", False, True),
}
LOGITS = {"fp32": 1e-3, "tf32": 0.08, "fp16": 0.08, "bf16": 0.32}  # largest relative error
EXACT = 5e-4  # the same in fp32, against fp64, of which a CPU's fp32 is up to 1.3e-4
LOSS = {"fp32": 1e-4, "tf32": 0.0125, "fp16": 0.0125, "bf16": 0.05}
GRADIENTS = {"fp32": 2e-3, "tf32": 0.05, "fp16": 0.05, "bf16": 0.2}  # median relative error of gradient norms
TINY: dict[str, Any] = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)
STAGES = (1, 2, 3, 4)
Outputs = dict[str, torch.Tensor]


def network(setting: str, settings: Settings) -> Answer:
    number, channels_last, compiled = SETTINGS[setting]
    errors: dict[str, float] = {}
    inexact: dict[str, float] = {}
    for name, reference, build, images in references(settings):
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        model = build().to(settings.device).to(memory_format=memory_format)
        x = images.to(settings.device).contiguous(memory_format=memory_format)
        with torch.inference_mode(), precision(number, settings.device):
            if compiled:
                model.compile(disable=settings.smoke)
                found = {"logits": model(x)}
            else:
                found = outputs(model, x)
        for key, value in found.items():
            errors[f"{name} {key}"] = relative_error(value, reference[key])
        if number == "fp32":
            with torch.inference_mode():
                exact = outputs(build().double(), images.double())
            inexact |= {f"{name} {key}": relative_error(value, exact[key]) for key, value in found.items()}
    worst = max(errors, key=lambda key: errors[key])
    text = f"{errors[worst]:.1e} at most ({worst}), relative; against {source(settings)}"
    met, goal = errors[worst] < LOGITS[number], f"below {LOGITS[number]:g}"
    if inexact:
        largest = max(inexact.values())
        text, goal = f"{text}; {largest:.1e} against fp64", f"{goal}, of fp64 below {EXACT:g}"
        met = met and largest < EXACT
    return Answer(text, {"errors": errors, "of_fp64": inexact}, met, goal)


def outputs(model: nn.Module, x: torch.Tensor) -> Outputs:
    """Logits, and of each stage's features the mean over pixels."""
    final, features = model.forward_intermediates(x, indices=STAGES)  # type: ignore[operator]
    found = {f"layer{stage}": feature.mean((2, 3)) for stage, feature in zip(STAGES, features, strict=True)}
    return {"logits": model.forward_head(final), **found}  # type: ignore[operator]


def references(settings: Settings) -> list[tuple[str, Outputs, Callable[[], nn.Module], torch.Tensor]]:
    """Networks with their outputs on some images: the reference numbers, or those of this CPU in fp32."""
    if settings.golden is None or settings.smoke:
        args = dict(arch="3013", **TINY) if settings.smoke else dict(arch="3013231203213032")
        images = seeded_input((2, 3, 32, 32) if settings.smoke else (2, 3, 96, 96), 0)

        def build() -> nn.Module:
            return fill_(timm.create_model("pinas", **args)).eval()

        with torch.inference_mode():
            return [("network", outputs(build(), images), build, images)]
    found: list[tuple[str, Outputs, Callable[[], nn.Module], torch.Tensor]] = []
    for name in ("alpha", "mixed"):
        with np.load(settings.golden / f"backbone_{name}.npz") as file:
            stored = dict(file)
        reference = {f"layer{k}": torch.from_numpy(stored[f"os32_layer{k}_chan_mean"]) for k in STAGES}
        reference["logits"] = torch.from_numpy(stored["logits"])
        arch = stored["arch"].tolist()
        images = seeded_input(stored["input_shape"].tolist(), int(stored["input_seed"]))
        found.append((name, reference, partial(golden_network, arch), images))
    return found


def golden_network(arch: list[int]) -> nn.Module:
    return fill_(timm.create_model("pinas", arch=arch)).eval()


def step(setting: str, settings: Settings) -> Answer:
    number, channels_last, _ = SETTINGS[setting]
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    if settings.golden is None or settings.smoke:
        made = right_runs.small_step(settings, "cpu", "fp32", torch.contiguous_format)
        ours = right_runs.small_step(settings, settings.device, number, memory_format)
        loss = abs(ours["loss"] - made["loss"]) / abs(made["loss"])
        gradients = [abs(ours[n] - v) / v for n, v in made.items() if n != "loss" and v > 1e-4 * max(made.values())]
    else:
        with tf32(number == "tf32"):  # for the backward pass, too
            autocast = precision(number, settings.device)
            golden: GoldenStep = golden_step(settings.golden, settings.device, memory_format, autocast)
        loss, gradients = golden.loss_error(), golden.gradient_errors()
    median = statistics.median(gradients)
    text = f"loss {loss:.1e}, gradient norms {median:.1e} in the median, {max(gradients):.1e} at most, relative"
    values = {"loss": loss, "gradients_median": median, "gradients_largest": max(gradients)}
    goal = f"loss below {LOSS[number]:g}, median below {GRADIENTS[number]:g}"
    met = loss < LOSS[number] and median < GRADIENTS[number]
    return Answer(f"{text}; against {source(settings)}", values, met, goal)


def pooling(settings: Settings) -> Answer:
    """Gradients of torch's pooling, which some versions compute wrongly on CUDA, and of the package's."""
    x = torch.randn(8, 64, 28, 28, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def gradient(pool: nn.Module, *how: Any) -> torch.Tensor:
        own = x.to(*how).contiguous(memory_format=torch.channels_last).requires_grad_()
        pool(own).square().sum().backward()
        assert own.grad is not None
        return own.grad

    exact = gradient(nn.AvgPool2d(3, 2, 1), "cpu")
    kinds = {"ours": PaddedAvgPool2d(3, 2, 1), "torch's": nn.AvgPool2d(3, 2, 1)}
    errors = {name: relative_error(gradient(p, settings.device, torch.float32), exact) for name, p in kinds.items()}
    text = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
    return Answer(f"{text}, relative; against this CPU's fp64", errors, errors["ours"] < 1e-5, "ours below 1e-5")


def source(settings: Settings) -> str:
    return "this CPU's fp32" if settings.golden is None or settings.smoke else "the authors' code"


ROWS: dict[str, Row] = {
    **{f"network_{setting}": partial(network, setting) for setting in SETTINGS},
    **{f"step_{setting}": partial(step, setting) for setting in SETTINGS if setting != "compiled"},
    "pooling": pooling,
    **right_runs.ROWS,
}
