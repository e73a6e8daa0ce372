"""Training steps in the paper's space beside their bare compute, and beside a step written as the released code is.

Bare compute runs the passes of the step's paths as stand-alone networks, in one batch. Ours, bare and released run in
turn; a ratio is the median over rounds. Ours and bare are channels-last, the released way is not.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from learn_step import Step

from gpu_stages.released_step import ReleasedStep
from gpu_stages.settings import Answer, NotHere, Row, Settings, gib, host_waits, peak_gib, precision
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.methods.spos import SPOSMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.stages.linear import LinearEvaluation

SIZE, CLASSES = 224, 1000
GROUP = {"pinas": 24, "linear": 32}  # images that share batch statistics
IMAGES = {"pinas": 192, "spos": 192, "linear": 256}
WARM, ROUNDS = 2, 5
LARGEST, LEAST = 1.05, 1.5  # times bare compute, and times the released code's step
Runs = dict[str, Callable[[], object]]


def measure(kind: str, number: str, settings: Settings) -> Answer:
    """Measure with the configuration's batch, or the largest half, quarter or eighth that the card's memory holds."""
    images = 4 if settings.smoke else IMAGES[kind]
    smallest = images // 8
    while images >= max(2, smallest):
        try:
            return measured(kind, number, images, settings)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            images //= 2
    raise NotHere(f"needs more memory than this card has, also for {2 * images} images")


def measured(kind: str, number: str, images: int, settings: Settings) -> Answer:
    step, group = build(kind, number, images, settings)
    rounds = range(2) if settings.smoke else range(WARM + ROUNDS)
    with precision("tf32", settings.device):  # what autocast leaves in fp32 runs in TF32 for all alike
        taken = by_turns(kind, number, step, group, rounds, settings)
        waits = host_waits(settings, partial(step.ours, len(rounds)))
        peak = peak_gib(settings, partial(step.ours, len(rounds) + 1))
    return answer(taken, images, waits, peak)


def by_turns(
    kind: str, number: str, step: Step, group: int | None, rounds: range, settings: Settings
) -> dict[str, list[float]]:
    """Seconds of ours, of the bare passes and of the released way, round by round without those of the warm-up."""
    released: Callable[[int], object] | None = None
    if isinstance(step.method, PiNASMethod):
        other, _ = build(kind, number, len(step.views), settings, channels_last=False)
        assert isinstance(other.method, PiNASMethod)
        images = group or len(step.views)
        released = partial(released_step, other, ReleasedStep(other.method, images, other.dtype))
    taken: dict[str, list[float]] = {}
    warm = 1 if settings.smoke else WARM
    for k in rounds:
        runs: Runs = {"ours": partial(step.ours, k), **bare_runs(kind, step, k, group)}
        if released is not None:
            runs["released"] = partial(released, k)
        for name in list(runs) if k % 2 else reversed(list(runs)):
            started = settings.clock()
            runs[name]()
            if k >= warm:
                taken.setdefault(name, []).append(settings.clock() - started)
    return taken


def build(
    kind: str, number: str, images: int, settings: Settings, channels_last: bool = True
) -> tuple[Step, int | None]:
    """A step, and the images that share batch statistics (None: all)."""
    small: dict[str, Any] = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8) if settings.smoke else {}
    space = ResNeSt50Space(**small)
    group = 2 if settings.smoke else GROUP.get(kind)
    group = None if group is None or images % group else group
    queue = 64 if settings.smoke else 49152
    method: Any
    if kind == "pinas":
        method = PiNASMethod(space, queue_size=queue, batch_norm_images=group)
    elif kind == "spos":
        method, group = SPOSMethod(space, CLASSES), None
    else:
        method = LinearEvaluation(space, space.supernet(), CLASSES, 0, group)
    size = 32 if settings.smoke else SIZE
    step = Step("bf16" if number == "bf16" else "fp32", channels_last, images, size, method, settings.device)
    return step, group


def bare_runs(kind: str, step: Step, k: int, group: int | None) -> Runs:
    """The passes of the step's paths: in one batch and, where batch statistics have groups, in groups."""
    method = step.method
    if isinstance(method, PiNASMethod):
        paths, passes = list(method.sample_paths(k)), dict(student=True, teacher=True)
    elif isinstance(method, SPOSMethod):
        paths, passes = method.sample_paths(k), dict(student=True, teacher=False)
    else:
        assert isinstance(method, LinearEvaluation)
        paths = method.space.sample(step_rng(method.seed, k, Stream.LINEAR_PATHS))
        passes = dict(student=False, teacher=True)
    networks = step.stand_alone(paths)
    runs: Runs = {"bare": step.passes(networks, **passes)}
    if group is not None:
        runs["bare_in_groups"] = step.passes(networks, **passes, group=group)
    return runs


def released_step(step: Step, released: ReleasedStep, k: int) -> None:
    views = step.views.to(step.device, non_blocking=True)
    released(step.trainee.views.normalise(views), k)


def answer(taken: dict[str, list[float]], images: int, waits: int | None, peak: float | None) -> Answer:
    rate = {name: images / statistics.median(seconds) for name, seconds in taken.items()}

    def times(name: str) -> float:
        return statistics.median(a / b for a, b in zip(taken["ours"], taken[name], strict=True))

    bare = times("bare")
    values: dict[str, Any] = {"images": images, "host_waits": waits, "peak_gib": peak, "times_bare": bare}
    values |= {f"{name}_images_per_second": value for name, value in rate.items()}
    text = f"{images} images: {rate['ours']:.0f} images/s, {bare:.2f} times bare compute"
    met, goal = bare <= LARGEST, f"at most {LARGEST} times bare compute, 0 waits"
    if "bare_in_groups" in taken:
        values["times_bare_in_groups"] = times("bare_in_groups")
        text += f" ({values['times_bare_in_groups']:.2f} of the same passes in groups)"
    if "released" in taken:
        values["times_released"] = 1 / times("released")
        text += f"; {values['times_released']:.2f} times as fast as the released code's way"
        met, goal = met and values["times_released"] >= LEAST, f"{goal}, at least {LEAST} times the released way"
    if waits is not None:
        met = met and waits == 0
    return Answer(
        f"{text}; {'waits not' if waits is None else f'{waits} waits'} counted, {gib(peak)}", values, met, goal
    )


ROWS: dict[str, Row] = {
    f"{kind}_{number}": partial(measure, kind, number) for kind in IMAGES for number in ("bf16", "tf32")
}
