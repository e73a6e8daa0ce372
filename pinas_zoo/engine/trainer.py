"""The trainer of all stages, on mmengine's Runner.

It adds batches and random numbers that depend only on (seed, step), steps of several phases with one optimiser each,
averages of gradients over processes, checkpoints that are read without executing code, and curves as CSV.
"""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import nn

from pinas_zoo.data.augmentation import BatchViews, ViewDraws
from pinas_zoo.data.images import ImageSet, StepSampler, ViewsOptions, step_loader
from pinas_zoo.data.options import Table
from pinas_zoo.engine import distributed
from pinas_zoo.engine.checkpoint import load_checkpoint
from pinas_zoo.engine.fused_sgd import FusedSGD
from pinas_zoo.engine.hooks import StepHook
from pinas_zoo.engine.optim_wrappers import DistributedOptimWrapper, ScaledDistributedOptimWrapper
from pinas_zoo.engine.step_loop import SPLIT_STREAMS, StepLoader, StepLoop
from pinas_zoo.engine.trainable import Batch, Phase, Trainable
from pinas_zoo.errors import UserError
from pinas_zoo.models.pooling import mend_pools

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Log(Table):
    """Additional outputs of curves, beside curve.csv, by mmengine's visualizer."""

    tensorboard: bool | None = None  # writes <stage>/tensorboard; None: if it is installed
    wandb: dict[str, Any] | None = None  # arguments of wandb.init, such as dict(project="search")


class TrainOptions(Protocol):
    """The options that the trainer reads from a stage's table of the configuration."""

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
    """The model of mmengine's Runner: it makes the views of each batch and runs the phases of a step.

    Args:
        network: The network to train.
        views: Augmentation and normalisation. Views that the loader has made are only normalised.
        precision: Precision of convolutions and matrix products. Parameters, statistics and losses are fp32.
        channels_last: Whether activations and weights have the channels-last memory format.
        steps: Total number of steps, of which phases can be active in a part.
        accumulate: Number of equal parts of a process's batch that go through the network one after the other; their
            gradients are averaged before the update. Batch statistics are those of a part.
    """

    def __init__(
        self,
        network: Trainable,
        views: BatchViews,
        precision: str = "fp32",
        channels_last: bool = False,
        steps: int = 1,
        accumulate: int = 1,
    ):
        super().__init__(dict(type="BaseDataPreprocessor", non_blocking=True))
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        mend_pools(network)
        self.network, self.views = network.to(memory_format=self.memory_format), views
        self.steps, self.accumulate, self.dtype = steps, accumulate, DTYPES[precision]
        self.trained = {phase.name: tuple(network.parameters_of(phase)) for phase in network.phases}

    def batch(
        self,
        labels: torch.Tensor,
        pixels: torch.Tensor | None = None,
        draws: ViewDraws | None = None,
        views: torch.Tensor | None = None,
    ) -> Batch:
        """Augment and normalise images, or only normalise views that the loader has made.

        Args:
            labels: Labels, N.
            pixels: Images of this process, uint8 N x 3 x H x W; None if there are views.
            draws: Random draws of the N x num_views views of the pixels.
            views: Augmented views, uint8 N x num_views x 3 x S x S.
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
        """Losses of one phase (the first by default) on a batch; ``images`` are the arguments of :meth:`batch`."""
        batch = self.batch(**images)._replace(progress=step / self.steps)
        with torch.autocast(batch.views.device.type, self.dtype, enabled=self.dtype is not None):
            return self.network.losses(batch, step, phase or self.network.phases[0])

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapperDict) -> dict[str, torch.Tensor]:
        """Run one step: every active phase computes its losses and updates its parameters.

        Args:
            data: ``step``, and for each split the arguments of :meth:`batch`.
            optim_wrapper: Optimiser of each phase.

        Returns:
            Values to log. Those of phases after the first have the prefix ``PHASE.``.
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
                values = self._update(data[phase.split], step, phase, wrapper)
            self.network.after_update(step, phase)
            first = phase is self.network.phases[0]
            logged |= values if first else {f"{phase.name}.{key}": value for key, value in values.items()}
        return logged

    def _update(
        self, images: dict[str, Any], step: int, phase: Phase, wrapper: OptimWrapper
    ) -> dict[str, torch.Tensor]:
        """Compute the losses of one phase, part of the batch by part, and update its parameters once."""
        parts = _split_batch(images, self.accumulate)
        sums: dict[str, torch.Tensor] = {}
        for part in parts:
            with wrapper.optim_context(self):
                losses = self(**part, step=step, phase=phase)
            loss, values = self.parse_losses(losses)
            wrapper.backward(loss / len(parts) if len(parts) > 1 else loss)
            sums = {key: sums[key] + value for key, value in values.items()} if sums else values
        wrapper.step()
        wrapper.zero_grad()
        return {key: value / len(parts) for key, value in sums.items()} if len(parts) > 1 else sums

    def alone(self, phase: Phase) -> _Frozen:
        """Context manager in which only the phase's parameters require gradients."""
        others = [p for name, some in self.trained.items() if name != phase.name for p in some]
        own = {id(p) for p in self.trained[phase.name]}
        return _Frozen([p for p in others if id(p) not in own])


def _split_batch(images: dict[str, Any], parts: int) -> list[dict[str, Any]]:
    """Split the arguments of :meth:`RunnerModel.batch` into equal parts of the images."""
    if parts == 1:
        return [images]
    size = len(images["labels"]) // parts
    rows = [slice(start, start + size) for start in range(0, size * parts, size)]
    return [{key: value[some] for key, value in images.items()} for some in rows]


class _Frozen:
    """Context manager in which some parameters do not require gradients."""

    def __init__(self, parameters: Sequence[nn.Parameter]):
        self.parameters = [p for p in parameters if p.requires_grad]

    def __enter__(self) -> None:
        for p in self.parameters:
            p.requires_grad_(False)

    def __exit__(self, *error: object) -> None:
        for p in self.parameters:
            p.requires_grad_(True)


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
    hooks: Sequence[Hook] = (),
    bar: bool = True,
    cure: str = "",
) -> float:
    """Train a network in place, or resume from the checkpoint in the folder. All processes must call it.

    Args:
        network: The network to train.
        images: Images by split. Each phase gets batches of its split.
        views: Augmentation and normalisation.
        options: The stage's table of the configuration.
        steps: Total number of steps.
        schedule: mmengine's schedulers of the stage's SGD, in units of steps.
        folder: Folder of the stage, for the curve and the checkpoint.
        label: Name of the stage.
        seed: Seed of the run.
        workers: Number of loader processes per split.
        log: Additional outputs of the curve.
        hooks: Additional hooks of mmengine's Runner.
        bar: Whether to show progress in steps.
        cure: What a message recommends where the learning rate is too high; empty: the words of a search's stage.

    Returns:
        Duration of training in seconds, over all attempts.

    Raises:
        UserError: An image or the checkpoint cannot be read; this machine does not support the precision; or the loss
            or the weights are not finite. The last checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = load_checkpoint(folder, steps)
    start = state["step"] if state else 0
    check_precision(options.precision, f"{label}.precision")
    accumulate = getattr(options, "accumulate", 1)
    model = RunnerModel(network, views, options.precision, options.channels_last, steps, accumulate)
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
    hook = StepHook(folder, label, steps, state, options, bar, cure)
    runner = Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=StepLoader(loaders),
        train_cfg=dict(type=StepLoop, max_iters=steps),
        optim_wrapper=optimisers(model, options),
        param_scheduler={
            p.name: [dict(by_epoch=False, **part) for part in (schedule if p.optim is None else p.schedule(steps))]
            for p in network.phases
        },
        default_hooks=dict(logger=None, checkpoint=None, sampler_seed=None, timer=None, runtime_info=None),
        custom_hooks=[hook, *hooks],
        randomness=dict(seed=seed),
        log_level="ERROR",
        visualizer=dict(type="Visualizer", vis_backends=log_backends(log, folder)),
        experiment_name=f"{label}-{uuid.uuid4().hex[:8]}",
    )
    with warnings.catch_warnings():  # a phase that starts late has not stepped its optimiser when its scheduler steps
        warnings.filterwarnings("ignore", message="Detected call of `scheduler.step")
        runner.train()
    distributed.wait()
    return hook.seconds


def optimisers(model: RunnerModel, options: TrainOptions) -> OptimWrapperDict:
    """Build the optimisers of all phases, by the name of the phase."""
    return OptimWrapperDict(
        **{
            phase.name: _optimiser(model.trained[phase.name], phase, options, model.network.optimizer(phase))
            for phase in model.network.phases
        }
    )


def _optimiser(
    parameters: Sequence[nn.Parameter],
    phase: Phase,
    options: TrainOptions,
    optimizer: torch.optim.Optimizer | None = None,
) -> OptimWrapper:
    """Build the optimiser of a phase, unless the network gives it, for the stage's precision."""
    if optimizer is None and phase.optim is not None:
        optimizer = OPTIMIZERS.build(dict(phase.optim, params=list(parameters)))
    elif optimizer is None:
        optimizer = FusedSGD(parameters, options.lr, options.momentum, options.weight_decay)
    kind = ScaledDistributedOptimWrapper if options.precision == "fp16" else DistributedOptimWrapper
    return kind(optimizer=optimizer)


def cosine(steps: int, warmup: float = 0.0) -> list[dict[str, Any]]:
    """Schedule of the learning rate: a linear warm-up, then a cosine.

    Args:
        steps: Total number of steps.
        warmup: Fraction of the steps in the warm-up, which leaves at least one step to the cosine. A warm-up of fewer
            than two steps is skipped, because the rate would not reach its maximum.

    Returns:
        Arguments of mmengine's schedulers.
    """
    rising = min(round(steps * warmup), steps - 1)
    if rising < 2:
        return [dict(type="CosineAnnealingLR", T_max=steps)]
    fall: dict[str, Any] = dict(type="CosineAnnealingLR", T_max=steps - rising)
    return [dict(type="LinearLR", start_factor=1 / (rising + 1), end=rising), dict(**fall, begin=rising, end=steps)]


def log_backends(log: Log, folder: Path) -> list[dict[str, Any]]:
    """Arguments of the mmengine backends that a configuration selects; empty in ranks other than 0.

    Raises:
        UserError: A selected backend is not installed.
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
    """Check that this machine supports a precision.

    Raises:
        UserError: It does not support it.
    """
    if precision == "fp16" and not torch.cuda.is_available():
        raise UserError(f"expected a GPU for {key}='fp16', found none; try 'fp32', or 'bf16' where a CPU has it")
