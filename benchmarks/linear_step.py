"""Share of the stem, which all paths have in common, in a step of linear evaluation: the most that caching could save.

    OMP_NUM_THREADS=1 python benchmarks/linear_step.py          # 8 images of 224 x 224, the paper's space

Times are CPU time of this process, as medians over steps. The step and its parts run in turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from pinas_zoo.engine.batchnorm import batch_statistics
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from pinas_zoo.search.stages.linear import LinearEvaluation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--steps", type=int, default=4)
    args = parser.parse_args()
    torch.manual_seed(0)
    space = ResNeSt50Space()
    supernet = space.supernet()
    network = LinearEvaluation(space, supernet, num_classes=1000, seed=0)
    views, labels = torch.randn(args.images, 1, 3, args.size, args.size), torch.zeros(args.images, dtype=torch.long)

    @torch.no_grad()
    def frozen(run: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        with batch_statistics(supernet):
            return run(views[:, 0])

    first = supernet.conv1[0]
    parts: dict[str, Callable[[int], object]] = {
        "a step": lambda step: network.losses(Batch(views, labels), step, network.phases[0])["loss"].backward(),
        "its stem": lambda step: frozen(supernet.stem),
        "the stem's first convolution": lambda step: frozen(first),
    }
    taken: dict[str, list[float]] = {name: [] for name in parts}
    for step in range(1 + args.steps):
        for name, run in parts.items():
            started = time.process_time()
            run(step)
            if step:  # step 0 is a warm-up
                taken[name].append(time.process_time() - started)
    whole = statistics.median(taken["a step"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {args.images} images of {args.size} pixels\n")
    print("| | CPU seconds | of a step |\n| --- | ---: | ---: |")
    for name, seconds in taken.items():
        print(f"| {name} | {statistics.median(seconds):.3f} | {statistics.median(seconds) / whole:.1%} |")
    for name, output in (("stem", frozen(supernet.stem)), ("first convolution", frozen(first))):
        print(f"output of the {name}: {output.numel() * 4 / args.images / 2**20:.2f} MiB an image in fp32")


if __name__ == "__main__":
    main()
