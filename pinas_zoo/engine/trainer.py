"""The training engine, for every stage that trains: mmengine's Runner.

Ours around it: batches and random numbers that follow from (seed, step), steps of several phases with an optimiser
each, gradients averaged over processes, a checkpoint read without executing code, and a curve in a text file.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from mmengine.model import BaseModel
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.registry import LOOPS, OPTIMIZERS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from pinas_zoo.data.augmentation import BatchViews, ViewDraws
from pinas_zoo.data.images import ImageSet, StepSampler, ViewsOptions, step_loader
from pinas_zoo.data.options import Table
from pinas_zoo.engine import distributed
from pinas_zoo.engine.checkpoint import load_checkpoint
from pinas_zoo.engine.hooks import StepHook
from pinas_zoo.engine.trainable import Batch, Phase, Trainable
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Log(Table):
    """Where curves go beside curve.csv, through mmengine's visualizer."""

    tensorboard: bool | None = None  # <stage>/tensorboard; None: when it is installed
    wandb: dict[str, Any] | None = None  # arguments of wandb.init, such as dict(project="search")


class TrainOptions(Protocol):
    """What of a stage's table of the configuration the engine reads."""

    @property
    def batch_size(self) -> int: ...  # images of all processes together
    @property
    def lr(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def channels_last(self) -> bool: ...
    @property
    def log_every(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...


Losses = dict[str, torch.Tensor]


class RunnerModel(BaseModel):
    """What the Runner trains: makes the views of each batch, then runs the phases of a step.

    Args:
        network: Says what a step minimises.
        views: Makes the views of images that come with draws in their place; normalises.
        precision: Of convolutions and matrix products; parameters, statistics and losses are fp32.
        channels_last: Order of activations and weights in memory.
        steps: In all; phases may start late or stop early.
    """

    def __init__(
        self,
        network: Trainable,
        views: BatchViews,
        precision: str = "fp32",
        channels_last: bool = False,
        steps: int = 1,
    ):
        super().__init__()
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network, self.views = network.to(memory_format=self.memory_format), views
        self.steps, self.dtype = steps, DTYPES[precision]
        self.trained = {phase.name: tuple(network.parameters_of(phase)) for phase in network.phases}

    def batch(
        self,
        labels: torch.Tensor,
        pixels: torch.Tensor | None = None,
        draws: ViewDraws | None = None,
        views: torch.Tensor | None = None,
    ) -> Batch:
        """Make and normalise the views of images, or normalise views that the loader has made.

        Args:
            labels: N.
            pixels: uint8 N x 3 x H x W.
            draws: N x num_views, of the pixels.
            views: uint8 N x num_views x 3 x S x S, in place of pixels and draws.
        """
        if views is not None:
            x = self.views.normalise(views)  # N x num_views x 3 x S x S
        else:
            assert pixels is not None
            assert draws is not None
            x = self.views.views(pixels, draws)  # N x num_views x 3 x S x S
        if self.memory_format == torch.channels_last:
            x = x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        return Batch(x, labels)

    def forward(self, step: int, phase: Phase | None = None, mode: str = "loss", **images: Any) -> Losses:
        """Losses of one phase, the first unless told, on images as :meth:`batch` takes them."""
        batch = self.batch(**images)
        with torch.autocast(batch.views.device.type, self.dtype, enabled=self.dtype is not None):
            return self.network.losses(batch, step, phase or self.network.phases[0])

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapperDict) -> dict[str, torch.Tensor]:
        """One step: every phase that is active takes its losses and updates its parameters.

        Args:
            data: ``step``, and by split the arguments of :meth:`batch`.
            optim_wrapper: One for each phase.
        """
        data = self.data_preprocessor(data, True)
        step: int = data["step"]
        logged: dict[str, torch.Tensor] = {}
        for phase in self.network.phases:
            if not phase.is_active(step, self.steps):
                continue
            self.network.before_update(step, phase)
            wrapper = optim_wrapper[phase.name]
            with self.alone(phase):
                with wrapper.optim_context(self):
                    losses = self(**data[phase.split], step=step, phase=phase)
                loss, values = self.parse_losses(losses)
                wrapper.update_params(loss)
            self.network.after_update(step, phase)
            first = phase is self.network.phases[0]
            logged |= values if first else {f"{phase.name}.{key}": value for key, value in values.items()}
        return logged

    def alone(self, phase: Phase) -> _Frozen:
        """Context manager: inside, other phases' parameters take no gradient."""
        others = [p for name, some in self.trained.items() if name != phase.name for p in some]
        own = {id(p) for p in self.trained[phase.name]}
        return _Frozen([p for p in others if id(p) not in own])


class _Frozen:
    """Context manager: inside, parameters take no gradient."""

    def __init__(self, parameters: Sequence[nn.Parameter]):
        self.parameters = [p for p in parameters if p.requires_grad]

    def __enter__(self) -> None:
        for p in self.parameters:
            p.requires_grad_(False)

    def __exit__(self, *error: object) -> None:
        for p in self.parameters:
            p.requires_grad_(True)


class _Averaged:
    """An optimiser's wrapper that averages gradients over processes."""

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        super().backward(loss, **kwargs)  # type: ignore[misc]
        groups = self.optimizer.param_groups  # type: ignore[attr-defined]
        distributed.average_gradients(p for group in groups for p in group["params"])


class DistributedOptimWrapper(_Averaged, OptimWrapper):
    """In fp32 and bf16."""


class ScaledDistributedOptimWrapper(_Averaged, AmpOptimWrapper):
    """In fp16, whose gradients need a scale; they are averaged before it is taken out, so that all processes agree on
    whether a step is skipped."""


@LOOPS.register_module()
class StepLoop(IterBasedTrainLoop):
    """mmengine's iteration loop over a loader that already starts at the step where training resumes."""

    def run(self) -> nn.Module:
        self.dataloader_iterator = None  # the base class has started one; its workers end here
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        for batch in self.dataloader:
            self.run_iter(batch)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model


class SplitStreams:
    """Random streams of a split's order and views."""

    def __init__(self, order: Stream, views: Stream):
        self.order, self.views = order, views


SPLIT_STREAMS = {
    "train": SplitStreams(Stream.ORDER, Stream.IMAGE_VIEWS),
    "held_out": SplitStreams(Stream.HELD_OUT_ORDER, Stream.HELD_OUT_VIEWS),
}


class StepLoader:
    """Batches of every split that a step takes, by split: ``{"train": {...}, "held_out": {...}}``."""

    def __init__(self, loaders: Mapping[str, Any]):
        self.loaders = loaders
        self.dataset = next(iter(loaders.values())).dataset  # mmengine looks for metainfo there

    def __len__(self) -> int:
        return min(map(len, self.loaders.values()))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batches in zip(*self.loaders.values(), strict=True):
            for batch in batches:
                if isinstance(batch, UserError):
                    raise batch
            yield dict(zip(self.loaders, batches, strict=True))


def train(
    network: Trainable,
    images: Mapping[str, ImageSet],
    views: BatchViews,
    options: TrainOptions,
    steps: int,
    schedule: Sequence[dict[str, Any]],
    folder: Path,
    label: str,
    seed: int,
    workers: int = 0,
    log: Log = Log(),  # noqa: B008
) -> float:
    """Train a network in place; resume from the folder's checkpoint when there is one. All processes call it alike.

    Args:
        network: What is trained.
        images: By split; a phase's batches come from its own.
        views: Augmentation and normalisation.
        options: The stage's table of the configuration.
        steps: In all.
        schedule: mmengine's schedulers of the stage's SGD, counted in steps.
        folder: Of the stage: curve and checkpoint.
        label: The stage's name.
        seed: Of the run.
        workers: Loader processes, for each split.
        log: Where curves go besides.

    Returns:
        Seconds that training took, over all attempts.

    Raises:
        UserError: An image that cannot be read, or a checkpoint that cannot be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint(folder)
    start = state["step"] if state else 0
    check_precision(options.precision, f"{label}.precision")
    model = RunnerModel(network, views, options.precision, options.channels_last, steps)
    loaders = {}
    for split in dict.fromkeys(phase.split for phase in network.phases):
        sampler = StepSampler(
            len(images[split]), options.batch_size, seed, start, steps, distributed.rank(), distributed.world(),
            SPLIT_STREAMS[split].order,
        )  # fmt: skip
        loaders[split] = step_loader(
            images[split],
            sampler,
            ViewsOptions(views.options, network.num_views, seed, SPLIT_STREAMS[split].views),
            workers,
        )
    hook = StepHook(folder, label, steps, state, options)
    runner = Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=StepLoader(loaders),
        train_cfg=dict(type="StepLoop", max_iters=steps),
        optim_wrapper=OptimWrapperDict(
            **{p.name: _optimiser(model.trained[p.name], p, options) for p in network.phases}
        ),
        param_scheduler={
            p.name: [dict(by_epoch=False, **part) for part in schedule] if p.optim is None else []
            for p in network.phases
        },
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


def _optimiser(parameters: Sequence[nn.Parameter], phase: Phase, options: TrainOptions) -> OptimWrapper:
    """The optimiser of a phase, in the stage's precision."""
    sgd = dict(type="SGD", lr=options.lr, momentum=options.momentum, weight_decay=options.weight_decay)
    optimizer = OPTIMIZERS.build(dict(phase.optim or sgd, params=list(parameters)))
    kind = ScaledDistributedOptimWrapper if options.precision == "fp16" else DistributedOptimWrapper
    return kind(optimizer=optimizer)


def cosine(steps: int, warmup: float = 0.0) -> list[dict[str, Any]]:
    """A schedule that rises from near 0 in a fraction of the steps, then falls along half a cosine.

    At least one step falls, and at least two rise: fewer would leave the rate short of its height, from which it falls.
    """
    rising = min(round(steps * warmup), steps - 1)
    if rising < 2:
        return [dict(type="CosineAnnealingLR", T_max=steps)]
    fall: dict[str, Any] = dict(type="CosineAnnealingLR", T_max=steps - rising)
    return [dict(type="LinearLR", start_factor=1 / (rising + 1), end=rising), dict(**fall, begin=rising, end=steps)]


def log_backends(log: Log, folder: Path) -> list[dict[str, Any]]:
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


def check_precision(precision: str, key: str) -> None:
    """Make sure that this machine computes in a precision.

    Raises:
        UserError: It does not.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise UserError(f"expected a GPU for {key}='fp16', found none; try 'fp32', or 'bf16' where a CPU has it")
