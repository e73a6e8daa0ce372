"""A recipe: the configuration of stand-alone training, as plain data that is validated when it is read.

Names of fields are timm's where a value is handed to timm.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pinas_zoo.data.decoding import Interpolation
from pinas_zoo.data.options import Data, Positive, Range, Share, Shares, Strength, Table, Turn
from pinas_zoo.engine.trainer import Log, Precision

Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FREE = ("log", "data.workers", "data.memory_gib")  # may differ when a run is resumed


_SECTION = re.compile(r"(m|n|p|w|d|a|b|inc|mstd|mmax)(\d{1,6}(?:\.\d{0,6})?)|t[a-z]{1,20}")
OPERATIONS = 16  # of one image: timm's n, w and d


def _augment_text(text: str) -> str:
    """Check the numbers of timm's text: it lets others pass, and makes as many operations as they say."""
    for section in text.split("-")[1:]:
        found = _SECTION.fullmatch(section)
        if found is None or (found[1] in ("n", "w", "d") and float(found[2]) > OPERATIONS):
            raise ValueError(f"expected sections such as m9, mstd0.5 and n2, with n, w and d of at most {OPERATIONS}")
    return text


AugmentText = Annotated[str, Field(max_length=200), AfterValidator(_augment_text)]


class TrainData(Data):
    """Where images come from; None is the network's own value, also for mean and std."""

    image_size: int | None = Field(None, ge=1, le=2048)  # type: ignore[assignment]
    crop_pct: float | None = Field(None, ge=0.125, le=1)  # type: ignore[assignment]
    interpolation: Interpolation | None = None  # type: ignore[assignment]

    def table(self) -> Data:
        """The table by which images are opened; it has sizes where this one has None."""
        return Data.model_validate(self.model_dump(exclude_none=True))


class Augment(Table):
    """Arguments of ``timm.data.create_transform`` for training images."""

    train_crop_mode: Literal["rrc", "rkrc", "rkrr"] = "rrc"  # random resized crop, or keep the ratio
    scale: Shares = (0.08, 1.0)  # area of the crop relative to the image
    ratio: Range = (0.75, 4 / 3)  # aspect of the crop
    hflip: Probability = 0.5
    vflip: Probability = 0.0
    # brightness, contrast, saturation; no hue unless four are given
    color_jitter: Strength | tuple[Strength, Strength, Strength] | tuple[Strength, Strength, Strength, Turn] = 0.4
    auto_augment: AugmentText | None = None  # timm's text, such as "rand-m9-mstd0.5" or "augmix-m3-w3"
    interpolation: Literal["random", "bilinear", "bicubic"] = "random"
    re_prob: Probability = 0.0  # random erasing
    re_mode: Literal["const", "rand", "pixel"] = "const"
    re_count: int = Field(1, ge=1, le=100)


class Mix(Table):
    """Arguments of ``timm.data.Mixup``; off where both alphas are 0."""

    mixup_alpha: Rate = 0.0
    cutmix_alpha: Rate = 0.0
    prob: Probability = 1.0
    switch_prob: Probability = 0.5  # of cutmix, where both are on
    mode: Literal["batch", "pair", "elem"] = "batch"

    @property
    def on(self) -> bool:
        return (self.mixup_alpha > 0 or self.cutmix_alpha > 0) and self.prob > 0


class Loss(Table):
    """The loss; ``ce`` and ``bce`` take mixed labels."""

    # cross-entropy, binary cross-entropy (timm's A1 to A3), or cross-entropy with AugMix's Jensen-Shannon term
    type: Literal["ce", "bce", "jsd"] = "ce"
    smoothing: float = Field(0.1, ge=0, lt=1)
    bce_target_thresh: Probability | None = None  # labels above it count as 1, others as 0
    jsd_weight: Rate = 12.0  # lambda of AugMix's paper
    # weight of each class in the loss: "inv_freq" and "effective_num" of timm, or a number for each class
    class_weight: Literal["inv_freq", "effective_num"] | tuple[Positive, ...] | None = None


class Optim(Table):
    """Arguments of ``timm.optim.create_optimizer_v2``."""

    opt: str = "sgd"  # timm's name
    lr: Rate = 0.1  # at the batch lr_batch; at any batch where that is None
    lr_batch: int | None = Field(256, ge=1)
    lr_scaling: Literal["linear", "sqrt"] = "linear"  # with the batch
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: Rate = 1e-4
    weight_decay_exclude_1d: bool = True  # no decay of norms and biases
    layer_decay: Share | None = None  # a layer's rate relative to that of the layer above it
    clip_grad: Positive | None = None  # largest norm of all gradients together
    options: dict[str, Any] = Field(default_factory=dict)  # further arguments of the optimiser, such as betas


class Schedule(Table):
    """Arguments of ``timm.scheduler.create_scheduler_v2``, which is stepped with each update."""

    sched: Literal["cosine", "tanh", "step", "multistep", "poly", "wsd", "constant"] = "cosine"
    epochs: int = Field(270, ge=1)
    warmup_epochs: int = Field(5, ge=0)
    warmup_lr: Rate = 0.0
    min_lr: Rate = 0.0
    decay_epochs: Positive | None = None
    decay_milestones: tuple[int, ...] = (90, 180, 270)
    decay_rate: Rate = 0.1

    @model_validator(mode="after")
    def _warms_up_before_the_end(self) -> Schedule:
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise ValueError(
                f"expected schedule.warmup_epochs below schedule.epochs, got {self.warmup_epochs} of {self.epochs}; "
                "lower schedule.warmup_epochs, to 0 for a short trial"
            )
        return self


class Ema(Table):
    """Moving average of the weights (timm's ``ModelEmaV3``), which is evaluated and saved in place of the weights."""

    enabled: bool = False
    decay: float = Field(0.9998, ge=0, lt=1)
    use_warmup: bool = True  # a short average at first


class Recipe(Table):
    """The whole configuration of a run of stand-alone training."""

    name: str = Field("trained", pattern=r"^[a-z][a-z0-9_]{0,63}$")  # names the folder and the registered network
    seed: int = Field(0, ge=0, lt=2**32)
    model: str = ""  # a timm name, an architecture of digits, a model folder or hf-hub:user/name
    model_args: dict[str, Any] = Field(default_factory=dict)  # of the network: depths, widths, drop_path_rate, …
    # new weights, or the network's own; None: its own for a folder or repo, new ones for a name or an architecture
    start: Literal["scratch", "weights"] | None = None
    weights: str = ""  # start from these: another network's name, folder or repo, a .safetensors file or a checkpoint
    reset_head: bool = False  # a new classifier also where the classes are those of the weights
    data: TrainData = TrainData()
    holdout: Annotated[float, Field(gt=0, lt=1)] | None = None  # test on this share of the training images of a class
    skip_unreadable: bool = False  # leave out images that cannot be decoded, and say how many
    augment: Augment = Augment()
    mix: Mix = Mix()
    loss: Loss = Loss()
    optim: Optim = Optim()
    schedule: Schedule = Schedule()
    ema: Ema = Ema()
    batch_size: int = Field(256, ge=2)  # of an update, over all processes
    accumulate: int = Field(1, ge=1)  # parts in which a process's batch goes through the network, one after the other
    precision: Precision = "fp32"
    channels_last: bool = False
    compile: bool = False  # torch.compile
    sync_bn: bool = False  # batch statistics over all processes
    keep: Literal["best", "last"] = "best"  # which epoch's weights are saved, by test accuracy
    # stop after so many evaluations after the warm-up without a better test accuracy
    patience: int | None = Field(None, ge=1)
    eval_every: int = Field(1, ge=1)  # epochs
    checkpoint_every: int | None = Field(None, ge=1)  # updates; None: every epoch
    log_every: int = Field(50, ge=1)  # updates
    log: Log = Log()

    @model_validator(mode="after")
    def _parts_fit(self) -> Recipe:
        jsd = self.loss.type == "jsd"
        augmix = (self.augment.auto_augment or "").startswith("augmix")
        if jsd != augmix:
            raise ValueError(
                f"expected loss.type='jsd' and an augment.auto_augment of augmix together, got {self.loss.type!r} and "
                f"{self.augment.auto_augment!r}"
            )
        if jsd and self.mix.on:
            raise ValueError("expected no mixup or cutmix with loss.type='jsd', got them on; set mix={}")
        if jsd and self.loss.class_weight is not None:
            raise ValueError("expected no loss.class_weight with loss.type='jsd'; set it to None")
        if self.weights and self.start == "scratch":
            raise ValueError(f"expected start='weights' or none with weights={self.weights!r}, got 'scratch'")
        return self
