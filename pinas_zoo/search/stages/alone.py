"""How the last stage of a search trains a network alone: the configuration's ``train`` table as a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pinas_zoo.search.config import SearchConfig, Train
from pinas_zoo.search.context import Context
from pinas_zoo.train.classifier import Classifier
from pinas_zoo.train.config import Loss, Optim, Recipe, Schedule, TrainData
from pinas_zoo.train.fit import Trained, Words, fit, fitted

CURE = "lower {key} and search in another folder"


def recipe_of(config: SearchConfig, options: Train, seed: int) -> Recipe:
    """The recipe of a ``train`` table: SGD with plain momentum, decay of all weights, a cosine, the last weights.

    Images and their augmentation are the search's, not the recipe's.

    Args:
        config: Configuration of the run.
        options: Its ``train`` table, or a variant.
        seed: Seed of the training.
    """
    return Recipe(
        seed=seed,
        data=TrainData(workers=config.data.workers),
        loss=Loss(smoothing=options.label_smoothing),
        optim=Optim(
            opt="momentum",
            lr=options.lr,
            lr_batch=None,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            weight_decay_exclude_1d=False,
        ),
        schedule=Schedule(epochs=options.epochs, warmup_epochs=0),
        batch_size=options.batch_size,
        precision=options.precision,
        channels_last=options.channels_last,
        compile=options.compile,
        keep="last",
        eval_every=options.epochs,  # the test images choose nothing
        checkpoint_every=options.checkpoint_every,
        log_every=options.log_every,
        log=config.log,
    )


def train_alone(
    context: Context, model: Any, options: Train, seed: int, folder: Path, label: str, key: str
) -> Trained | None:
    """Train a network on all training images, or resume, and test it. All processes must call it.

    Args:
        context: Context of the run.
        model: Classifier with its first weights.
        options: The ``train`` table, or a variant.
        seed: Seed of the training.
        folder: Folder of the curve and the checkpoint.
        label: What progress and messages call the training.
        key: Name of the learning rate in the configuration.

    Returns:
        The network and its results; None in processes other than the first.
    """
    splits = context.splits
    images = {"train": splits.trainval, "test": splits.test}
    recipe = fitted(recipe_of(context.config, options, seed), len(images["train"]))
    steps = len(images["train"]) // recipe.batch_size
    network = Classifier(model, recipe, images["train"].labels, splits.num_classes, steps)
    cure = CURE.format(key=key)
    words = Words(label, cure, cure, bar=True)
    return fit(network, images, context.views(options.views), splits.class_names, folder, words, lambda line: None)
