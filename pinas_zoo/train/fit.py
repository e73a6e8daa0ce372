"""One network trained alone on images by a recipe, and tested: what `pinas-zoo train` and the end of a search share."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine import distributed, trainer
from pinas_zoo.engine.checkpoint import CHECKPOINT
from pinas_zoo.engine.curve import read_curve
from pinas_zoo.errors import UserError
from pinas_zoo.train.classifier import Classifier, learning_rate
from pinas_zoo.train.config import Recipe
from pinas_zoo.train.epochs import BEST, EPOCHS, EpochHook
from pinas_zoo.train.evaluate import predict, results
from pinas_zoo.weights.tensors import load_tensors

Say = Callable[[str], None]


@dataclass(frozen=True)
class EngineOptions:
    """What the engine reads of a recipe (:class:`pinas_zoo.engine.trainer.TrainOptions`)."""

    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    precision: trainer.Precision
    channels_last: bool
    log_every: int
    checkpoint_every: int
    accumulate: int


@dataclass(frozen=True)
class Words:
    """How a training names itself to its user.

    Attributes:
        label: Name of the stage, for progress and messages.
        unstable: What to change where the loss is not finite.
        too_fast: What to change where the learning rate is too high and the folder cannot be used again.
        bar: Whether to show progress in steps.
    """

    label: str
    unstable: str
    too_fast: str
    bar: bool


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        state_dict: The weights that the recipe keeps, on the CPU.
        facts: Results on the test images (:func:`pinas_zoo.train.evaluate.results`).
        epochs: Number of epochs that were trained, fewer than the recipe's after early stopping.
        seconds: Duration of training over all attempts.
    """

    state_dict: dict[str, torch.Tensor]
    facts: dict[str, Any]
    epochs: int
    seconds: float


def fit(
    network: Classifier,
    images: Mapping[str, ImageSet],
    views: BatchViews,
    class_names: Sequence[str],
    folder: Path,
    words: Words,
    say: Say,
) -> Trained | None:
    """Train a network, or resume from the checkpoint in the folder, and test it. All processes must call it.

    Args:
        network: The network with its recipe, whose batch the images fill (:func:`fitted`).
        images: The splits ``train`` and ``test``.
        views: Normalisation, and the augmentation of training images that the image set does not augment itself.
        class_names: Names of the classes.
        folder: Folder of the curve and the checkpoint.
        words: How messages name this training.
        say: Takes a line of progress after each epoch.

    Returns:
        The network and its results; None in processes other than the first.

    Raises:
        UserError: A loss or weights that are not finite; a disk that is full.
    """
    recipe = network.recipe
    options = engine_options(recipe, network.steps_per_epoch)
    batch = min(256, 2 * recipe.batch_size)
    intervals = (options.log_every, options.checkpoint_every)
    hook = EpochHook(folder, images["test"], batch, intervals, say, words.unstable)
    steps = recipe.schedule.epochs * network.steps_per_epoch
    seconds = trainer.train(
        network, images, views, options, steps, [], folder, words.label, recipe.seed, recipe.data.workers, recipe.log,
        [hook], words.bar, words.too_fast,
    )  # fmt: skip
    if distributed.rank() > 0:
        return None
    state = {name: value.detach().cpu() for name, value in network.evaluated.state_dict().items()}
    if recipe.keep == "best":
        state = load_tensors(folder / BEST)
    found = hook.last
    if found is None:
        network.model.load_state_dict(state)
        model, how = network.model.to(get_device()), (recipe.precision, recipe.channels_last)
        found = predict(model, images["test"], views.normalise, batch, None, *how)
    facts = results(found, class_names)
    if not math.isfinite(facts["loss"]):
        raise UserError(
            f"expected a finite loss on the test images after {words.label}, got {facts['loss']}; the likely cause is "
            f"a learning rate that is too high: {words.too_fast}"
        )
    return Trained(state, facts, int(read_curve(folder, EPOCHS)["epoch"][-1]), seconds)


def remove_attempts(folder: Path) -> None:
    """Delete what only an unfinished training needs; a kill just after its end leaves it."""
    for left in (CHECKPOINT, BEST):
        (folder / left).unlink(missing_ok=True)
    for log in folder.glob("20[0-9][0-9]*_*"):  # logs of mmengine's Runner, one pair per attempt
        shutil.rmtree(log) if log.is_dir() else log.unlink()


def fitted(recipe: Recipe, images: int) -> Recipe:
    """The recipe with a batch that the images fill, and that the processes and parts share equally.

    Raises:
        UserError: Fewer than two images for each process and part, whose batch statistics would be of one image; or an
            odd number of images to mix in pairs.
    """
    shares = distributed.world() * recipe.accumulate
    size = min(recipe.batch_size, images // shares * shares)
    if recipe.mix.on:
        size -= size % (2 * shares)
    if size < 2 * shares:
        raise UserError(
            f"expected at least 2 images for each of {shares} processes and parts of a batch, got {images} images and "
            f"batch_size={recipe.batch_size}; lower accumulate, or add images"
        )
    if size % shares:
        raise UserError(
            f"expected a batch_size that {shares} processes and parts share equally, got {size}; try "
            f"{size // shares * shares}"
        )
    return recipe if size == recipe.batch_size else recipe.model_copy(update={"batch_size": size})


def engine_options(recipe: Recipe, steps_per_epoch: int) -> EngineOptions:
    """The engine's view of a recipe."""
    return EngineOptions(
        batch_size=recipe.batch_size,
        lr=learning_rate(recipe.optim, recipe.batch_size),
        momentum=recipe.optim.momentum,
        weight_decay=recipe.optim.weight_decay,
        precision=recipe.precision,
        channels_last=recipe.channels_last,
        log_every=recipe.log_every,
        checkpoint_every=recipe.checkpoint_every or steps_per_epoch,
        accumulate=recipe.accumulate,
    )
