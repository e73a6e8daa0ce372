"""Candidates of the paper's space that are scored a minute, with recalibration, together and one by one."""

from __future__ import annotations

import torch
from explore import CLASSES, SMALL, Comparison, Jpegs

from gpu_stages.pictures import jpeg
from gpu_stages.settings import Answer, Row, Settings, gib, peak_gib, precision
from pinas_zoo.engine.side_by_side import SideBySide
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

STREAMS = 2
CANDIDATES, IMAGES, BATCH, SIZE = 16, 512, 128, 224  # images: to recalibrate, and as many to score


def candidates(settings: Settings) -> Answer:
    count, images, batch, size = (3, 4, 4, 32) if settings.smoke else (CANDIDATES, IMAGES, BATCH, SIZE)
    files = [jpeg(number) for number in range(min(32, 2 * images))]
    files = [files[k % len(files)] for k in range(2 * images)]
    labels = torch.arange(images) % CLASSES
    space = ResNeSt50Space(**SMALL) if settings.smoke else None  # type: ignore[arg-type]
    with precision("tf32", settings.device):
        parts = Jpegs(files[:images], labels, size), Jpegs(files[images:], labels, size)
        comparison = Comparison(parts, count, batch, space)
        seconds = {}
        for name in ("together", "kept"):
            started = settings.clock()
            comparison.ways[name]()
            seconds[name] = settings.clock() - started
        started = settings.clock()
        comparison.passes()
        seconds["passes"] = settings.clock() - started
        peak = peak_gib(settings, comparison.ways["together"])
        evaluator = comparison.evaluator
        evaluator.side_by_side = SideBySide(evaluator.supernet, STREAMS)
        comparison.ways["together"]()
        started = settings.clock()
        comparison.ways["together"]()
        seconds["streams"] = settings.clock() - started
    rate = {name: 60 * count / taken for name, taken in seconds.items()}
    text = (
        f"{rate['together']:.0f} candidates a minute ({images} + {images} images of {size} pixels, TF32), "
        f"{rate['together'] / rate['kept']:.2f} times one by one, "
        f"{rate['together'] / rate['passes']:.2f} times forward passes alone; {gib(peak)}; "
        f"{rate['streams'] / rate['together']:.2f} times as many on {STREAMS} streams side by side"
    )
    values = {f"{name}_a_minute": value for name, value in rate.items()} | {"peak_gib": peak, "candidates": count}
    return Answer(text, values, rate["together"] >= rate["kept"], "not slower than one by one")


ROWS: dict[str, Row] = {"candidates": candidates}
