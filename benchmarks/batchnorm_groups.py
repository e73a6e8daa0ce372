"""Batch norm in groups of images: a training step of Π-NAS in one pass, relative to a pass for each group.

    python benchmarks/batchnorm_groups.py                   # 8 groups of 2 images of 112 x 112, the paper's space
    python benchmarks/batchnorm_groups.py --memory loop     # peak memory of one of the two, alone

The paper's groups are 8 x 24 images of 224 x 224 (``--images 24 --size 224``), for machines that have the time. The two
take turns in one thread; times are CPU time of this process, ratios medians over steps.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial

import torch
from count_operators import count_operators
from learn_step import SETTINGS, Step, seconds

from pinas_zoo.arch import Arch
from pinas_zoo.operating_system import peak_memory_mib
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space


class LoopedPiNAS(PiNASMethod):
    """Π-NAS with a pass for each group, in one process."""

    def encode(self, x: torch.Tensor, path: Arch) -> torch.Tensor:
        return torch.cat([self.student(part, path) for part in x.split(self.batch_norm_images or len(x))])  # N x dim

    def encode_by_teacher(self, x: torch.Tensor, path: Arch, step: int) -> torch.Tensor:
        assert self.teacher is not None
        order = torch.from_numpy(step_rng(self.seed, step, Stream.SHUFFLE).permutation(len(x)))
        parts = x[order].split(self.batch_norm_images or len(x))
        return torch.cat([self.teacher(part, path) for part in parts])[order.argsort()]  # N x dim


WAYS: dict[str, type[PiNASMethod]] = {"one pass": PiNASMethod, "loop": LoopedPiNAS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=8)
    parser.add_argument("--images", type=int, default=2, help="in a group")
    parser.add_argument("--size", type=int, default=112, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=4, help="measured, after one that is not")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["fp32 channels-last", "bf16 channels-last"])
    parser.add_argument("--memory", choices=WAYS, help="only the peak memory of one way, of all settings")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{args.groups} groups of {args.images} images of {args.size} x {args.size}, one thread")
    for name in args.settings:
        steps = {
            way: Step(
                *SETTINGS[name],
                args.groups * args.images,
                args.size,
                kind(ResNeSt50Space(), batch_norm_images=args.images),
            )
            for way, kind in WAYS.items()
            if args.memory in (None, way)
        }
        for step in steps.values():
            step.ours(0)
        if args.memory:
            print(f"{name:20} {args.memory}: peak memory {peak_memory_mib():.0f} MiB")
            continue
        times: dict[str, list[float]] = {way: [] for way in steps}
        for number in range(1, args.steps + 1):
            for way in list(steps) if number % 2 else reversed(list(steps)):
                times[way].append(seconds(partial(steps[way].ours, number)))
        ratio = statistics.median(a / b for a, b in zip(times["loop"], times["one pass"], strict=True))
        median = {way: statistics.median(taken) for way, taken in times.items()}
        counts = {way: count_operators(partial(step.ours, 1)) for way, step in steps.items()}
        print(
            f"{name:20} loop {median['loop']:6.2f} s, one pass {median['one pass']:6.2f} s a step: "
            f"{ratio:.2f} times as fast; "
            + ", ".join(
                f"{way} {c.operators.total()} operators, {c.casts} casts, {c.moved.total() / 2**30:.1f} GiB"
                for way, c in counts.items()
            )
        )


if __name__ == "__main__":
    main()
