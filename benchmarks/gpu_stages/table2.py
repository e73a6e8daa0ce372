"""Table 2 on this card: images/s and peak memory in inference, batch 128; eager, fused and compiled; TF32 and bf16."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from torch import nn

import pinas_zoo
from gpu_stages.plan import STAGES
from gpu_stages.settings import DTYPES, Answer, Row, Settings, gib, peak_gib, precision
from pinas_zoo.analysis import paper_tables

BATCH, SIZE = 128, 224
SIZES = {"efficientnet_b3": 300}
PRINTED = {  # rows of Table 2, which has none of pinas_trans; on a GTX 2080 Ti
    "resnet50": "ResNet-50",
    "resnest50d": "ResNeSt-50",
    "pinas_cls": "Π-NAS-cls",
    "efficientnet_b3": "EfficientNet-B3†",
}
REFERENCE = "resnest50d"
GOAL = 1.3  # pinas_cls fused or compiled, times resnest50d compiled
TINY: dict[str, Any] = dict(arch="0123", depths=[1, 1, 1, 1], widths=[16, 16, 16, 16], stem_width=8)
SECONDS = 1.0  # of measuring, after warm-up
ROUNDS = 5  # at least; 1 in smoke


def parts(row: str) -> tuple[str, str, str]:
    """Name of a row to network, way and precision."""
    for way in ("fused_compiled", "compiled", "fused", "eager"):
        if f"_{way}_" in row:
            network, number = row.split(f"_{way}_")
            return network, way, number
    raise ValueError(f"expected NETWORK_WAY_PRECISION, got {row!r}")


def build(network: str, way: str, number: str, settings: Settings) -> nn.Module:
    """A network in eval mode, channels-last, on the device; in bf16 its weights are bf16, too."""
    model: nn.Module = timm.create_model("pinas", **TINY) if settings.smoke else timm.create_model(network)
    model = model.eval()
    if "fused" in way:
        model = pinas_zoo.fuse(model)
    dtype = DTYPES[number] or torch.float32
    model = model.to(settings.device, dtype).to(memory_format=torch.channels_last)
    if "compiled" in way:
        torch.compiler.reset()  # or the networks of other rows count towards torch's limit of recompilations
        model.compile(disable=settings.smoke)
    return model


def measure(row: str, settings: Settings) -> Answer:
    network, way, number = parts(row)
    batch = 2 if settings.smoke else BATCH
    size = 32 if settings.smoke else SIZES.get(network, SIZE)
    model = build(network, way, number, settings)
    images = torch.randn(batch, 3, size, size, device=settings.device, dtype=DTYPES[number] or torch.float32)
    images = images.contiguous(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode(), precision("tf32", settings.device):
            model(images)

    started = time.perf_counter()
    run()
    settings.clock()
    first = time.perf_counter() - started
    run()
    peak = peak_gib(settings, run)
    seconds = timed(settings, run, 0.0 if settings.smoke else SECONDS)
    rate = batch / statistics.median(seconds)
    values = {
        "images_per_second": rate,
        "peak_gib": peak,
        "first_seconds": first,
        "rounds": len(seconds),
        "batch": batch,
    }
    text = f"{rate:.0f} images/s, {gib(peak)}, first pass {first:.1f} s"
    if network == REFERENCE:
        return Answer(text, values)
    return compared(settings, network, way, number, text, values)


def timed(settings: Settings, run: Callable[[], None], seconds: float) -> list[float]:
    """Seconds of each run, for that long in all."""
    taken: list[float] = []
    while sum(taken) < seconds or len(taken) < (1 if settings.smoke else ROUNDS):
        started = settings.clock()
        run()
        taken.append(settings.clock() - started)
    return taken


def compared(settings: Settings, network: str, way: str, number: str, text: str, values: dict[str, Any]) -> Answer:
    """The answer with its ratio to resnest50d in the same precision, and the ratio that the paper prints."""
    path = settings.out / "table2.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else {}

    def rate(way: str) -> float | None:
        return rows.get(f"{REFERENCE}_{way}_{number}", {}).get("values", {}).get("images_per_second")

    eager, compiled = rate("eager"), rate("compiled")
    if way == "eager" and eager:
        values["ratio"] = values["images_per_second"] / eager
        text += f"; {values['ratio']:.3f} of {REFERENCE}"
        if network in PRINTED:
            values["printed_ratio"] = printed(network) / printed(REFERENCE)
            text += f" (printed: {values['printed_ratio']:.3f})"
        return Answer(text, values)
    if compiled and network == "pinas_cls":
        values["ratio_to_compiled"] = values["images_per_second"] / compiled
        text += f"; {values['ratio_to_compiled']:.3f} of compiled {REFERENCE}"
        goal = f"fused or compiled, at least {GOAL} of compiled {REFERENCE}"
        return Answer(text, values, values["ratio_to_compiled"] >= GOAL, goal)
    return Answer(text, values)


def printed(network: str) -> float:
    """Images/s that the paper prints."""
    return paper_tables.number(paper_tables.TABLES[2].cell(PRINTED[network], "img/sec"))


ROWS: dict[str, Row] = {row: partial(measure, row) for row in STAGES["table2"].questions}
