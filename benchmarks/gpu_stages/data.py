"""Images/s of both ways of making four views of 224 pixels: in the loader's workers, and on the card."""

from __future__ import annotations

import json
import os
import statistics

import torch

from gpu_stages.pictures import HEIGHT, WIDTH, jpeg, write_folder
from gpu_stages.settings import Answer, Row, Settings, gib, peak_gib
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.decoding import decode
from pinas_zoo.data.images import Images, ViewsOptions, step_loader
from pinas_zoo.data.loader import BatchPart, StepSampler, checked
from pinas_zoo.data.options import Data, Views
from pinas_zoo.data.splits import load_splits

BATCH, SIZE, VIEWS = 192, 224, 4
WORKERS = 16
STEPS = 12  # measured, of views on the card
AHEAD = 2  # batches that each worker makes before they are asked for, which come at once
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEMAND = "pinas_bf16"  # row of learn_step that says what a step takes


def sizes(settings: Settings) -> tuple[int, int, int, int]:
    """Images of a batch, their pixels, workers, and measured steps."""
    return (4, 32, 0, 2) if settings.smoke else (BATCH, SIZE, min(WORKERS, os.cpu_count() or 1), STEPS)


def files(settings: Settings) -> Answer:
    batch, size, workers, steps = sizes(settings)
    each = 8 if settings.smoke else 192
    folder = write_folder(settings.out / "work" / f"jpegs_{each}", each, 2)
    data = Data(root=str(folder), image_size=size, val_per_class=2, workers=workers, memory_gib=0)
    images = load_splits(data, 0).train
    warm = 1 + AHEAD * workers  # the first is there once the workers have started
    steps = max(steps, 2 * warm)
    sampler = StepSampler(len(images), batch, 0, 0, warm + steps)
    seconds, started = [], settings.clock()
    for made in checked(step_loader(images, sampler, ViewsOptions(Views(), VIEWS, 0), workers)):
        made["views"].to(settings.device, non_blocking=True)
        now = settings.clock()
        seconds.append(now - started)
        started = now
    rate = batch * steps / sum(seconds[warm:])
    return fed(settings, rate, f"{workers} workers, JPEGs of {WIDTH} x {HEIGHT}", {"workers": workers})


def device(settings: Settings) -> Answer:
    batch, size, _, steps = sizes(settings)
    decoded = torch.stack([torch.from_numpy(decode(jpeg(k))).permute(2, 0, 1) for k in range(min(batch, 32))])
    pixels = decoded.repeat(batch // len(decoded), 1, 1, 1).contiguous()  # N x 3 x H x W
    pixels = pixels.pin_memory() if settings.on_card else pixels
    images = Images(pixels, torch.zeros(len(pixels), dtype=torch.long), size)
    make = BatchViews(Views(), MEAN, STD).to(settings.device)
    options, seconds = ViewsOptions(Views(), VIEWS, 0), []

    def step(k: int) -> None:
        part = images.step_batch(BatchPart(k, 0, list(range(len(pixels)))), options)
        make.views(part["pixels"].to(settings.device, non_blocking=True), part["draws"])

    for k in range(1 + steps):
        started = settings.clock()
        step(k)
        if k:
            seconds.append(settings.clock() - started)
    peak = peak_gib(settings, lambda: step(0))
    rate = len(pixels) / statistics.median(seconds)
    return fed(settings, rate, f"decoded images of {WIDTH} x {HEIGHT}, {gib(peak)}", {"peak_gib": peak})


def fed(settings: Settings, rate: float, how: str, values: dict[str, object]) -> Answer:
    """The answer, beside the images/s that a step takes if that stage has been measured."""
    values = {**values, "images_per_second": rate}
    path = settings.out / "learn_step.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else {}
    demand = rows.get(DEMAND, {}).get("values", {}).get("ours_images_per_second")
    text = f"{rate:.0f} images/s ({how})"
    if demand is None:
        return Answer(text, values)
    goal = f"at least the {demand:.0f} images/s of {DEMAND}"
    return Answer(f"{text}; {rate / demand:.2f} times what a step takes", values, rate >= demand, goal)


ROWS: dict[str, Row] = {"files": files, "device": device}
