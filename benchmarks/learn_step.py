"""Time of a step of Π-NAS learning relative to its bare compute, in several settings.

    python benchmarks/learn_step.py                 # 16 images of 112 x 112, the paper's space, one thread

Bare compute is what any implementation must do: two forward and backward passes and two forward passes of the
stand-alone networks of the step's two paths, at the same batch size and precision. The forward passes have networks of
their own, as a mean teacher has: with the student's, autocast would keep the casts of its weights for them. A step adds
the head, the queue of 49,152 negatives, both losses, the teacher's moving averages, normalisation of the views, and the
optimiser.

Times are CPU time of this process in one thread, as medians over steps. Step and bare compute run in turn, so that
other load affects both. The operators, casts and bytes of both are the same on every machine. What a step adds is
mostly traffic of weights, which depends on neither the number of images nor their size: the share is smaller in larger
batches, and larger where a processor computes bf16 faster.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import timm
import torch
from count_operators import count_operators
from mmengine.optim import OptimWrapperDict
from torch import nn

import pinas_zoo  # noqa: F401
from pinas_zoo.arch import Arch
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.engine.fused_sgd import FusedSGD
from pinas_zoo.engine.optim_wrappers import DistributedOptimWrapper
from pinas_zoo.engine.trainable import Trainable
from pinas_zoo.engine.trainer import RunnerModel
from pinas_zoo.operating_system import peak_memory_mib
from pinas_zoo.search.config import Views
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

STEPS = 10**6  # more than are measured: phases are active in a share of them
SETTINGS = {"fp32": ("fp32", False), "fp32 channels-last": ("fp32", True), "bf16 channels-last": ("bf16", True)}


def seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


class Step:
    """A training step of the search, and the bare compute of its passes; by default Π-NAS in the paper's space.

    Args:
        precision: ``fp32``, ``bf16`` or ``fp16`` (without the loss scaling of training).
        channels_last: Memory format of weights and activations.
        images: Number of images.
        size: Height and width of the views in pixels.
        method: The network that is trained. None: Π-NAS in the paper's space.
        device: Where it runs; on a card, views come from pinned memory.
    """

    def __init__(
        self,
        precision: str,
        channels_last: bool,
        images: int,
        size: int,
        method: Trainable | None = None,
        device: str = "cpu",
    ):
        torch.manual_seed(0)
        self.method, self.device = method or PiNASMethod(ResNeSt50Space()), device
        views = BatchViews(Views(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        self.trainee = RunnerModel(self.method, views, precision, channels_last, STEPS).to(device).train()
        trained = [p for p in self.trainee.parameters() if p.requires_grad]
        optimizer = FusedSGD(trained, lr=0.03, momentum=0.9, weight_decay=1e-4)
        self.wrapper = OptimWrapperDict(weights=DistributedOptimWrapper(optimizer=optimizer))
        self.views = torch.randint(0, 256, (images, self.method.num_views, 3, size, size), dtype=torch.uint8)
        self.labels = torch.zeros(images, dtype=torch.long)
        if device != "cpu":
            self.views, self.labels = self.views.pin_memory(), self.labels.pin_memory()
        self.dtype, self.memory_format = self.trainee.dtype, self.trainee.memory_format

    def ours(self, step: int) -> None:
        batch = {"train": {"views": self.views, "labels": self.labels}, "step": step}
        self.trainee.train_step(batch, self.wrapper)

    def bare(self, step: int) -> Callable[[], None]:
        assert isinstance(self.method, PiNASMethod)
        return self.passes(self.stand_alone(self.method.sample_paths(step)))

    def stand_alone(self, paths: Sequence[Arch]) -> list[nn.Module]:
        """Networks of paths of the method's space, without classifier."""
        space: ResNeSt50Space = self.method.space  # type: ignore[assignment]
        with torch.device(self.device):
            return [timm.create_model("pinas", **space.model_args(path), num_classes=0) for path in paths]

    def passes(
        self, networks: Sequence[nn.Module], student: bool = True, teacher: bool = True, group: int | None = None
    ) -> Callable[[], None]:
        """Return a function that runs passes of networks with the step's batch, precision and memory format.

        Args:
            networks: Networks that map images to vectors.
            student: Whether each runs forward and backward.
            teacher: Whether a copy of each runs forward without gradient.
            group: Images of a pass, as in groups of batch norm. None: all.
        """
        networks = [network.to(self.device).to(memory_format=self.memory_format).train() for network in networks]
        teachers = [copy.deepcopy(network).requires_grad_(False) for network in networks] if teacher else []
        x = torch.randn(len(self.views), 3, *self.views.shape[3:], device=self.device)
        parts = x.contiguous(memory_format=self.memory_format).split(group or len(x))

        def run() -> None:
            with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
                outputs = [network(part) for network in networks for part in parts if student]
                with torch.no_grad():
                    for network in teachers:
                        for part in parts:
                            network(part)
            for output in outputs:
                output.float().sum().backward()

        return run


def timed_parts(step: Step, numbers: Sequence[int]) -> dict[str, float]:
    """Median milliseconds of what a step of Π-NAS adds to its passes, by part; the backward pass is not among them."""
    method, optimizer = step.method, step.wrapper["weights"].optimizer
    taken: dict[str, list[float]] = {}

    def timed(owner: object, name: str, label: str) -> Callable[[], None]:
        function = getattr(owner, name)

        def run(*args: object, **kwargs: object) -> object:
            started = time.process_time()
            result = function(*args, **kwargs)
            taken[label][-1] += time.process_time() - started
            return result

        setattr(owner, name, run)
        return lambda: delattr(owner, name)

    parts = {"views": (step.trainee, "batch"), "teacher's average": (method, "update_teacher")}
    parts |= {"loss": (method, "contrast"), "SGD": (optimizer, "step")}
    undo = [timed(owner, name, label) for label, (owner, name) in parts.items()]
    for number in numbers:
        for label in parts:
            taken.setdefault(label, []).append(0.0)
        step.ours(number)
    for restore in undo:
        restore()
    return {label: 1000 * statistics.median(seconds) for label, seconds in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, default=112, help="height and width in pixels")
    parser.add_argument("--steps", type=int, default=7, help="measured, after one that is not")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--parts", action="store_true", help="also the time of what a step adds to its passes")
    parser.add_argument("--profile", type=Path, help="write the operators of one step, by time, to this file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    median = {}
    print(f"{args.images} images of {args.size} x {args.size}, 4 views, one thread, median of {args.steps} steps")
    for name in args.settings:
        step = Step(*SETTINGS[name], args.images, args.size)
        step.ours(0)
        times, bare = [], []
        for number in range(1, args.steps + 1):
            run = step.bare(number)
            if number % 2:
                bare.append(seconds(run))
            times.append(seconds(lambda: step.ours(number)))  # noqa: B023
            if not number % 2:
                bare.append(seconds(run))
        median[name] = statistics.median(times)
        ratio = statistics.median(a / b for a, b in zip(times, bare, strict=True))
        print(
            f"{name:20} {median[name]:6.2f} s a step, {ratio:5.3f} x bare compute ({statistics.median(bare):.2f} s), "
            f"{median[args.settings[0]] / median[name]:.2f} x as fast as {args.settings[0]}"
        )
        if args.parts:
            added = timed_parts(step, range(args.steps + 2, 2 * args.steps + 2))
            print("    ms of a step: " + ", ".join(f"{label} {value:.0f}" for label, value in added.items()))
        for what, run in (("step", lambda: step.ours(args.steps)), ("bare", step.bare(args.steps))):  # noqa: B023
            count = count_operators(run)
            total = count.moved.total() / 2**30
            print(f"    {what}: {count.operators.total()} operators, {count.casts} of them casts, on {total:.2f} GiB")
        if args.profile:
            with torch.profiler.profile() as profile:
                step.ours(args.steps + 1)
            table = profile.key_averages().table("self_cpu_time_total", row_limit=40, max_name_column_width=60)
            args.profile.write_text(f"{name}\n{table}")
    print(f"peak memory {peak_memory_mib():.0f} MiB, of all settings")


if __name__ == "__main__":
    main()
