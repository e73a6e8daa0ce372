"""The one training engine: mmengine's Runner, for every stage that trains.

What is ours around it: batches and random numbers that follow from (seed, step), a checkpoint that is written whole
and read without executing code, a progress bar, and a loss curve in a text file.
"""

from __future__ import annotations

import csv
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import LOOPS, OPTIM_WRAPPERS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from tqdm import tqdm

from pinas_zoo.data.augmentation import BatchViews, ViewDraws
from pinas_zoo.data.images import ImageSet, StepSampler, ViewsOptions, step_loader
from pinas_zoo.engine import distributed
from pinas_zoo.errors import UserError
from pinas_zoo.search import config
from pinas_zoo.search.methods.base import Method
from pinas_zoo.weights.atomic import replacing

CHECKPOINT, CURVE = "checkpoint.pth", "curve.csv"
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainee(BaseModel):
    """What the Runner trains: makes the views of a batch, then asks the network for the step's losses.

    Args:
        network: Has ``forward(views, labels, step) -> dict`` as :class:`pinas_zoo.search.methods.base.Method`.
        views: Makes the views of images that come with draws in their place; normalises.
        precision: Of convolutions and matrix products; parameters, statistics and losses are fp32.
        channels_last: Order of activations and weights in memory.
    """

    def __init__(self, network: nn.Module, views: BatchViews, precision: str = "fp32", channels_last: bool = False):
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network, self.views = network.to(memory_format=self.memory_format), views
        self.dtype = DTYPES[precision]

    def forward(
        self,
        labels: torch.Tensor,
        step: int,
        pixels: torch.Tensor | None = None,
        draws: ViewDraws | None = None,
        views: torch.Tensor | None = None,
        mode: str = "loss",
    ) -> dict[str, torch.Tensor]:
        if views is not None:
            x = self.views.normalise(views)
        else:
            assert pixels is not None
            assert draws is not None
            x = self.views.views(pixels, draws)
        if self.memory_format == torch.channels_last:
            x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype is not None):
            return self.network(x, labels, step)  # x: N x num_views x C x H x W


class _Averaged:
    """An optimiser's wrapper that averages gradients over ranks."""

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        super().backward(loss, **kwargs)  # type: ignore[misc]
        distributed.average_gradients(p for group in self.optimizer.param_groups for p in group["params"])  # type: ignore[attr-defined]


@OPTIM_WRAPPERS.register_module()
class RanksOptimWrapper(_Averaged, OptimWrapper):
    """In fp32 and bf16."""


@OPTIM_WRAPPERS.register_module()
class ScaledRanksOptimWrapper(_Averaged, AmpOptimWrapper):
    """In fp16, whose gradients need a scale; they are averaged before it is taken out, so that all ranks agree whether
    a step is left out."""


@LOOPS.register_module()
class StepLoop(IterBasedTrainLoop):
    """mmengine's iteration loop over a loader that already starts at the step where training goes on."""

    def run(self) -> nn.Module:
        self.dataloader_iterator = None  # the base class has started one; its workers end here
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for batch in self.dataloader:
            if isinstance(batch, UserError):
                raise batch
            self.run_iter(batch)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


class StepHook(Hook):
    """Tells the batch its step, shows progress, keeps the curve and the checkpoint."""

    priority = "VERY_LOW"  # after the optimiser's schedule has moved on

    def __init__(self, folder: Path, label: str, steps: int, state: Mapping[str, Any] | None, options: Any):
        self.folder, self.label, self.steps, self.state = folder, label, steps, state
        self.log_every, self.checkpoint_every = options.log_every, options.checkpoint_every
        self.seconds_before = state["seconds"] if state else 0.0

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def before_train(self, runner: Runner) -> None:
        done = 0
        if self.state:
            done = self.state["step"]
            runner.model.load_state_dict(self.state["model"])
            runner.optim_wrapper.load_state_dict(self.state["optimizer"])
            for scheduler, state in zip(runner.param_schedulers, self.state["schedulers"], strict=True):
                scheduler.load_state_dict(state)
            runner.train_loop._iter = done
            self.state = None  # its tensors are the model's now
        self.first = distributed.rank() == 0
        if self.first:
            _truncate_curve(self.folder / CURVE, done)
            self.curve = (self.folder / CURVE).open("a", newline="")
        self.started = time.perf_counter()
        self.bar = tqdm(
            total=self.steps, initial=done, desc=self.label, unit="step", file=sys.stderr, mininterval=0.5,
            disable=not self.first,
        )  # fmt: skip

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        data_batch["step"] = runner.iter
        self.lr = runner.optim_wrapper.get_lr()["lr"][0]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        step = runner.iter + 1  # steps that are done
        self.bar.update()
        if step % self.log_every == 0 or step == self.steps:
            values = {k: distributed.mean(v) for k, v in outputs.items()}
            if isinstance(runner.model.network, Method):
                values |= runner.model.network.logged(runner.iter)
            if self.first:
                if self.curve.tell() == 0:
                    csv.writer(self.curve).writerow(["step", "lr", *values])
                csv.writer(self.curve).writerow([step, f"{self.lr:.6g}", *(f"{v:.6g}" for v in values.values())])
            runner.visualizer.add_scalars({"lr": self.lr, **values}, step)
            self.bar.set_postfix({k: f"{v:.3f}" for k, v in values.items() if k != "loss" or len(values) == 1})
        if self.first and step % self.checkpoint_every == 0 and step < self.steps:
            self.save(runner, step)

    def after_train(self, runner: Runner) -> None:
        self.bar.close()
        if self.first:
            self.curve.close()

    def save(self, runner: Runner, step: int) -> None:
        self.curve.flush()
        state = {
            "step": step,
            "seconds": self.seconds,
            "model": runner.model.state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "schedulers": [scheduler.state_dict() for scheduler in runner.param_schedulers],
        }
        with replacing(self.folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)


def train(
    network: nn.Module,
    images: ImageSet,
    views: BatchViews,
    num_views: int,
    options: config.Learn | config.Linear | config.Train,
    steps: int,
    schedule: Sequence[dict[str, Any]],
    folder: Path,
    label: str,
    seed: int,
    workers: int = 0,
    log: config.Log = config.Log(),  # noqa: B008
) -> float:
    """Train ``network`` in place, going on from the folder's checkpoint when there is one; all ranks call it alike.

    Returns:
        Seconds that training took, over all attempts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint(folder)
    start = state["step"] if state else 0
    precision = options.precision
    check_precision(precision, f"{label}.precision")
    model = Trainee(network, views, precision, options.channels_last)
    sampler = StepSampler(len(images), options.batch_size, seed, start, steps, distributed.rank(), distributed.world())
    hook = StepHook(folder, label, steps, state, options)
    runner = Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=step_loader(images, sampler, ViewsOptions(views.options, num_views, seed), workers),
        train_cfg=dict(type="StepLoop", max_iters=steps),
        optim_wrapper=dict(
            **(dict(type="ScaledRanksOptimWrapper") if precision == "fp16" else dict(type="RanksOptimWrapper")),
            optimizer=dict(
                type="SGD",
                lr=options.lr,
                momentum=options.momentum,
                weight_decay=options.weight_decay,
            ),
        ),
        param_scheduler=[dict(by_epoch=False, **part) for part in schedule],
        default_hooks=dict(logger=None, checkpoint=None, sampler_seed=None, timer=None, runtime_info=None),
        custom_hooks=[hook],
        randomness=dict(seed=seed),
        log_level="ERROR",
        visualizer=dict(type="Visualizer", vis_backends=log_backends(log, folder)),
        experiment_name=f"{label}-{uuid.uuid4().hex[:8]}",
    )
    runner.train()
    distributed.wait()
    return hook.seconds


def cosine(steps: int, warmup: float = 0.0) -> list[dict[str, Any]]:
    """A schedule that rises from near 0 in a fraction of the steps, then falls along half a cosine.

    At least one step falls, and at least two rise: fewer would leave the rate short of its height, from which it falls.
    """
    rising = min(round(steps * warmup), steps - 1)
    if rising < 2:
        return [dict(type="CosineAnnealingLR", T_max=steps)]
    fall: dict[str, Any] = dict(type="CosineAnnealingLR", T_max=steps - rising)
    return [dict(type="LinearLR", start_factor=1 / (rising + 1), end=rising), dict(**fall, begin=rising, end=steps)]


def log_backends(log: config.Log, folder: Path) -> list[dict[str, Any]]:
    """mmengine's backends that a configuration asks for.

    Raises:
        UserError: One that is not installed.
    """
    backends: list[dict[str, Any]] = []
    if log.tensorboard or (log.tensorboard is None and find_spec("tensorboard")):
        if not find_spec("tensorboard"):
            raise UserError("expected tensorboard for log.tensorboard=True, found none; pip install tensorboard")
        backends.append(dict(type="TensorboardVisBackend", save_dir=str(folder / "tensorboard")))
    if log.wandb is not None:
        if not find_spec("wandb"):
            raise UserError("expected wandb for log.wandb, found none; pip install wandb and wandb login")
        backends.append(dict(type="WandbVisBackend", save_dir=str(folder), init_kwargs=log.wandb))
    return backends if distributed.rank() == 0 else []


def total_steps(options: config.Learn | config.Linear, images: int) -> int:
    """As many as the configuration says, in steps or in epochs without their last incomplete batch."""
    return options.epochs * (images // options.batch_size) if options.epochs else options.steps


def check_precision(precision: str, key: str) -> None:
    """Make sure that this machine computes in it.

    Raises:
        UserError: It does not.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise UserError(f"expected a GPU for {key}='fp16', found none; try 'fp32', or 'bf16' where a CPU has it")


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The folder's checkpoint, or None; tensors and plain values only, so that nothing in it can run.

    Raises:
        UserError: A file that is torn, or that holds anything else.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a torn zip file and a pickle that wants more raise many kinds
        raise UserError(f"checkpoint {path} cannot be read as tensors and plain values; delete it") from error


def read_curve(folder: Path) -> dict[str, list[float]]:
    """Columns of a stage's curve: ``step``, ``lr``, losses."""
    with (folder / CURVE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in (rows[0] if rows else ())}


def peak_memory_mb() -> float:
    """Highest resident memory of this process so far, in MiB."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _truncate_curve(path: Path, done: int) -> None:
    """Forget what was logged after the checkpoint from which training goes on."""
    if not path.is_file():
        return
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    kept = rows[:1] if done else []
    for row in rows[1:]:  # a row that a kill has cut short ends what is kept
        if len(row) != len(rows[0]) or not len(kept) or not 0 < int(row[0]) <= done:
            break
        kept.append(row)
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        csv.writer(file).writerows(kept)
