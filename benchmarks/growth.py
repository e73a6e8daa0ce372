"""Growth of the cost of a search with candidates per layer, depth, explored candidates, queue length and processes.

`make bench` (benchmarks/bench.py) uses these functions. Two of them need separate processes, which are commands here:

    python benchmarks/growth.py queue 8192                                              # peak MB of one step
    torchrun --standalone --nproc-per-node 2 benchmarks/growth.py steps 16              # seconds of each step
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from explore import SMALL, build, normalise
from inference import interleave, resident_kb
from learn_step import Step
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.data.images import Images
from pinas_zoo.engine import distributed
from pinas_zoo.models.blocks import CANDIDATES, PiNASBlock
from pinas_zoo.search import config
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.scorers.evaluator import PathEvaluator
from pinas_zoo.search.scorers.protocol import Score
from pinas_zoo.search.spaces.base import SearchSpace
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space, ResNeStSupernet
from pinas_zoo.search.study.loop import explore_study
from pinas_zoo.search.study.storage import open_study

SHALLOW = (1, 1, 1, 1)  # layers per stage, with the paper's widths
IMAGES, SIZE, DIM = 8, 64, 128
STEPS = 4  # measured steps of a process group, after a warm-up step


class Copies(ResNeSt50Space):
    """A shallow version of the paper's space in which all candidates are ResNeSt's block.

    The cost of a path does not depend on the number of candidates.

    Args:
        count: Number of candidates per layer.
    """

    def __init__(self, count: int):
        super().__init__(depths=SHALLOW)
        self.num_candidates = count

    def supernet(self, in_chans: int = 3) -> ResNeStSupernet:
        supernet = super().supernet(in_chans)
        for name, spec in zip(supernet.layer_names, self.specs, strict=True):
            layer = supernet.get_submodule(name)
            assert isinstance(layer, nn.ModuleList)
            shared = layer[0].downsample
            assert isinstance(shared, nn.Module)
            del layer[:]
            layer.extend(PiNASBlock(spec, CANDIDATES[1], shared) for _ in range(self.num_candidates))
        return supernet


def exponent(taken: Mapping[int, float]) -> float:
    """Exponent of the best-fitting power law of cost over size: 0 is constant, 1 is linear."""
    return float(np.polyfit(np.log(list(taken)), np.log(list(taken.values())), 1)[0])


def step_seconds(spaces: Mapping[int, SearchSpace], repeats: int) -> dict[int, list[float]]:
    """CPU seconds of a learning step in each space; the spaces run in turn."""

    def stepping(space: SearchSpace) -> Callable[[], None]:
        step = Step("fp32", False, IMAGES, SIZE, PiNASMethod(space, queue_size=4096))
        numbers = iter(range(1000))
        return lambda: step.ours(next(numbers))

    runs = {str(size): stepping(space) for size, space in spaces.items()}
    seconds = interleave(runs, repeats, time.process_time)
    return {size: seconds[str(size)] for size in spaces}


def explore_seconds(counts: Sequence[int], repeats: int, scored: bool) -> dict[int, list[float]]:
    """CPU seconds to explore each number of candidates from an empty study.

    Args:
        counts: Numbers of candidates.
        repeats: Number of rounds.
        scored: Whether candidates are scored by the evaluator; otherwise scores are computed from the digits.
    """
    space = ResNeSt50Space(depths=(2, 2, 2, 2), widths=(32, 32, 32, 32), stem_width=16, zero_init_last=False)
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images = Images(pixels, torch.arange(64) % 10)
    evaluator = PathEvaluator(*build(space), images, images, normalise, 32)

    def made_up(paths: list[Arch]) -> list[Score]:
        return [Score(sum(path) / (3 * len(path)), 1.0) for path in paths]

    def exploring(count: int) -> Callable[[], None]:
        def run() -> None:
            options = config.Explore(evaluations=count)
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):  # its progress bar
                explore_study(
                    space, evaluator.scores if scored else made_up, options, open_study("", Path(folder)), 0, 32
                )

        return run

    seconds = interleave({str(count): exploring(count) for count in counts}, repeats, time.process_time)
    return {count: seconds[str(count)] for count in counts}


def queue_megabytes(length: int) -> float:
    """Peak memory of a separate process that runs two steps, minus its memory after imports."""
    command = [sys.executable, __file__, "queue", str(length)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def process_seconds(processes: int, images: int) -> list[float]:
    """Seconds of each step when ``processes`` processes, with one thread each, share a batch of ``images`` images."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, __file__, "steps", str(images)], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    return [float(word) for word in run.stdout.split()]


def queue(length: int) -> None:
    before = resident_kb("VmRSS")
    space = ResNeSt50Space(**SMALL)  # type: ignore[arg-type]
    step = Step("fp32", False, IMAGES, 32, PiNASMethod(space, queue_size=length, dim=DIM))
    for number in range(2):
        step.ours(number)
    print((resident_kb("VmHWM") - before) * 1024 / 1e6)


def steps(images: int) -> None:
    distributed.start("pytorch")
    step = Step(
        "fp32", False, images // distributed.world(), SIZE, PiNASMethod(ResNeSt50Space(depths=SHALLOW), queue_size=4096)
    )
    seconds = []
    for number in range(1 + STEPS):
        distributed.wait()
        started = time.perf_counter()
        step.ours(number)
        seconds.append(time.perf_counter() - started)
    if distributed.rank() == 0:
        print(*seconds[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("queue").add_argument("length", type=int)
    commands.add_parser("steps").add_argument("images", type=int, help="of all processes together")
    args = parser.parse_args()
    torch.set_num_threads(1)
    queue(args.length) if args.command == "queue" else steps(args.images)


if __name__ == "__main__":
    main()
