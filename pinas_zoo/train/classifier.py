"""A classifier as the engine trains it, with timm's loss, mixing of images, optimiser, schedule and moving average."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from timm.loss import JsdCrossEntropy
from timm.loss._loss_factory import create_classification_loss
from timm.loss.class_weights import compute_class_weights
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.utils import ModelEmaV3
from torch import nn

from pinas_zoo.engine import distributed
from pinas_zoo.engine.fused_sgd import FusedSGD
from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.engine.trainable import Batch, Phase, Trainable
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.train.config import Loss, Optim, Recipe
from pinas_zoo.train.images import kept_generators, seed_generators

AUGMIX_VIEWS = 3  # a clean image and two augmented versions (AugMix, sec. 3)


class Classifier(Trainable):
    """A timm model with everything that a recipe says of its training.

    The learning rate, mixing and dropout of a step follow from the seed and the step, so that a resumed run repeats
    them.

    Args:
        model: Classifier, N x 3 x H x W to N x num_classes.
        recipe: The recipe.
        labels: Labels of all training images, N, from which class weights follow.
        num_classes: Number of classes.
        steps_per_epoch: Updates in an epoch.

    Attributes:
        loss_sum: Sum of the losses since it was last reset, and their number.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, labels: torch.Tensor, num_classes: int, steps_per_epoch: int):
        super().__init__()
        self.model, self.recipe, self.steps_per_epoch = model, recipe, steps_per_epoch
        self.num_views = AUGMIX_VIEWS if recipe.loss.type == "jsd" else 1
        self.criterion = criterion(recipe, labels, num_classes)
        self.ema = (
            ModelEmaV3(model, decay=recipe.ema.decay, use_warmup=recipe.ema.use_warmup) if recipe.ema.enabled else None
        )
        self.mix = mixup(recipe, num_classes)
        self.erase: dict[torch.device, RandomErasing] = {}
        self.loss_sum: torch.Tensor
        self.register_buffer("loss_sum", torch.zeros(2, dtype=torch.float64))
        # a bound method, because a module would be registered as a second submodule
        self.run: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(model.forward, dynamic=False) if recipe.compile else model.__call__
        )
        self._optimizer = optimizer(model, recipe.optim, recipe.batch_size)
        self.schedule = self._schedule()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """As in torch; a checkpoint of a search's last stage of version 0.1 has no sum of losses."""
        state_dict.setdefault(f"{prefix}loss_sum", torch.zeros_like(self.loss_sum))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _schedule(self) -> Any:
        options = self.recipe.schedule
        schedule, _ = create_scheduler_v2(
            self._optimizer,
            sched=options.sched,
            num_epochs=options.epochs,
            step_on_epochs=False,
            updates_per_epoch=self.steps_per_epoch,
            decay_milestones=list(options.decay_milestones),
            **options.model_dump(include={"warmup_epochs", "warmup_lr", "min_lr", "decay_epochs", "decay_rate"}),
        )
        return schedule

    @property
    def evaluated(self) -> nn.Module:
        """The network that is tested and saved: the moving average if there is one."""
        return self.model if self.ema is None else self.ema.module

    def parameters_of(self, phase: Phase) -> Iterable[nn.Parameter]:
        return self.model.parameters()

    def optimizer(self, phase: Phase) -> torch.optim.Optimizer:
        return self._optimizer

    def train(self, mode: bool = True) -> Classifier:
        """As in torch; the moving average stays in eval mode."""
        super().train(mode)
        if self.ema is not None:
            self.ema.eval()
        return self

    def before_update(self, step: int, phase: Phase) -> None:
        """Set the step's learning rate, and seed torch for dropout and noise."""
        self.schedule.step_update(step)
        torch.manual_seed(self._seed(step))

    def _seed(self, step: int) -> int:
        """Seed of a step's noise in this process."""
        return int(step_rng(self.recipe.seed, step, Stream.TRAIN_NOISE, distributed.rank()).integers(2**32))

    def losses(self, batch: Batch, step: int, phase: Phase) -> dict[str, torch.Tensor]:
        """The recipe's loss, and the accuracy on images that are not mixed."""
        x = batch.views.transpose(0, 1).flatten(0, 1)  # VN x 3 x H x W, all clean images first
        labels, target = batch.labels, batch.labels
        with torch.no_grad(), kept_generators():
            seed_generators(self._seed(step))
            if self.mix is not None:
                x, target = self.mix(x, labels)  # N x num_classes
            if self.recipe.augment.re_prob:
                x = self._eraser(x.device)(x)
        logits = at_least_fp32(self.run(x))  # VN x num_classes
        if self.recipe.loss.type == "jsd":
            target = labels.repeat(AUGMIX_VIEWS)
        loss = self.criterion(logits, target)
        self.loss_sum += torch.stack([loss.detach().double(), torch.ones_like(loss, dtype=torch.float64)])
        out = {"loss": loss}
        if self.mix is None:
            out["accuracy"] = (logits[: len(labels)].argmax(1) == labels).float().mean()
        return out

    def _eraser(self, device: torch.device) -> RandomErasing:
        if device not in self.erase:
            options = self.recipe.augment
            self.erase[device] = RandomErasing(
                options.re_prob, mode=options.re_mode, max_count=options.re_count, device=device,
                num_splits=self.num_views if self.num_views > 1 else 0,
            )  # fmt: skip
        return self.erase[device]

    def after_update(self, step: int, phase: Phase) -> None:
        if self.ema is not None:
            self.ema.update(self.model, step=step + 1)

    def logged(self, step: int) -> dict[str, float]:
        """The learning rate of the step. Of several groups, the one with the highest rate."""
        return {"lr": max(group["lr"] for group in self._optimizer.param_groups)}

    def mean_loss(self) -> float:
        """Mean loss over processes since the last call."""
        mean = distributed.mean(self.loss_sum[0] / self.loss_sum[1].clamp(min=1))
        self.loss_sum.zero_()
        return mean


def criterion(recipe: Recipe, labels: torch.Tensor, num_classes: int) -> nn.Module:
    """timm's loss of a recipe, or torch's cross-entropy where classes have weights, which timm's has not.

    Raises:
        UserError: Class weights that are not one for each class.
    """
    options = recipe.loss
    if options.type == "jsd":
        return JsdCrossEntropy(num_splits=AUGMIX_VIEWS, alpha=options.jsd_weight, smoothing=options.smoothing)
    weight = class_weight(options, labels, num_classes)
    soft = recipe.mix.on
    if options.type == "ce" and weight is not None:
        return nn.CrossEntropyLoss(weight, label_smoothing=0.0 if soft else options.smoothing)
    bce: dict[str, Any] = {}
    if options.type == "bce":
        bce = dict(class_weight=weight, bce_target_thresh=options.bce_target_thresh)
    return create_classification_loss(options.type, smoothing=options.smoothing, soft_targets=soft, **bce)


def class_weight(options: Loss, labels: torch.Tensor, num_classes: int) -> torch.Tensor | None:
    """Weight of each class in the loss, with mean 1; None for equal weights."""
    if options.class_weight is None:
        return None
    if isinstance(options.class_weight, str):
        counts = torch.bincount(labels, minlength=num_classes)
        _, weights = compute_class_weights(counts, len(labels), method=options.class_weight)
        return weights
    if len(options.class_weight) != num_classes:
        raise UserError(
            f"expected loss.class_weight with a number for each of {num_classes} classes, got "
            f"{len(options.class_weight)}; try 'inv_freq'"
        )
    return torch.tensor(options.class_weight)


def mixup(recipe: Recipe, num_classes: int) -> Mixup | None:
    """timm's mixup and cutmix; None where both are off. It also smooths the labels."""
    if not recipe.mix.on:
        return None
    options: Mapping[str, Any] = recipe.mix.model_dump()
    return Mixup(**options, label_smoothing=recipe.loss.smoothing, num_classes=num_classes)


def learning_rate(options: Optim, batch_size: int) -> float:
    """The learning rate at a batch size."""
    if options.lr_batch is None:
        return options.lr
    ratio = batch_size / options.lr_batch
    return options.lr * (ratio if options.lr_scaling == "linear" else ratio**0.5)


def optimizer(model: nn.Module, options: Optim, batch_size: int) -> torch.optim.Optimizer:
    """timm's optimiser of a recipe, over all parameters of a network that require gradients.

    SGD with plain momentum and one group of parameters is the engine's, which is that of timm but fused on CPUs too.

    Raises:
        UserError: An optimiser or an option that timm does not know.
    """
    made: torch.optim.Optimizer
    numbers: dict[str, Any] = dict(
        lr=learning_rate(options, batch_size), weight_decay=options.weight_decay, momentum=options.momentum
    )
    one_group = not (options.weight_decay_exclude_1d or options.layer_decay or options.options)
    try:
        if options.opt == "momentum" and one_group:
            made = FusedSGD((p for p in model.parameters() if p.requires_grad), **numbers)
        else:
            made = create_optimizer_v2(
                model,
                opt=options.opt,
                filter_bias_and_bn=options.weight_decay_exclude_1d,
                layer_decay=options.layer_decay,
                **numbers,
                **options.options,
            )
    except (ValueError, TypeError, AssertionError, ImportError) as error:
        raise UserError(f"expected an optimiser of timm for optim.opt={options.opt!r}, got: {error}; try sgd") from None
    limit = options.clip_grad
    if limit is not None:
        parameters = [p for group in made.param_groups for p in group["params"]]

        def clip(*_: object) -> None:
            nn.utils.clip_grad_norm_(parameters, limit)

        made.register_step_pre_hook(clip)
    return made
