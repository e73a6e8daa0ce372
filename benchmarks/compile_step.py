"""A training step of the stand-alone winner, with and without torch.compile.

    OMP_NUM_THREADS=1 python benchmarks/compile_step.py                                       # a tiny network
    OMP_NUM_THREADS=1 python benchmarks/compile_step.py --images 32 --size 224 --whole        # the paper's

Compiled and eager steps run in turn. Times are the CPU time of this process, as medians over steps. They do not include
the C++ compiler, but the elapsed time of the first step does. torch caches compiled code between runs
(TORCHINDUCTOR_CACHE_DIR).
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from typing import Any

import timm
import torch

import pinas_zoo  # noqa: F401
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.train.classifier import Classifier
from pinas_zoo.train.config import Recipe

TINY: dict[str, Any] = dict(arch="0123", depths=[1, 1, 1, 1], widths=[16, 16, 16, 16], stem_width=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--whole", action="store_true", help="the paper's network for classification")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = timm.create_model("pinas_cls" if args.whole else "pinas", num_classes=10, **({} if args.whole else TINY))
    views, labels = torch.randn(args.images, 1, 3, args.size, args.size), torch.arange(args.images) % 10
    networks = {
        name: Classifier(copy.deepcopy(model), Recipe(compile=name == "compiled"), labels, 10, 1).train()
        for name in ("plain", "compiled")
    }
    taken: dict[str, list[float]] = {name: [] for name in networks}
    for step in range(1 + args.steps):
        for name, network in networks.items():
            started, worked = time.perf_counter(), time.process_time()
            network.losses(Batch(views, labels), step, network.phases[0])["loss"].backward()
            if step:
                taken[name].append(time.process_time() - worked)
            else:
                print(f"{name}: first step {time.perf_counter() - started:.1f} s", flush=True)
    plain, compiled = (statistics.median(taken[name]) for name in ("plain", "compiled"))
    print(
        f"a step: plain {1000 * plain:.1f} ms, compiled {1000 * compiled:.1f} ms, {plain / compiled:.2f} times as fast"
    )


if __name__ == "__main__":
    main()
