"""How the last stage of a search trains a network alone: by the ``train`` table as a recipe, or by a whole recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import ImageSet
from pinas_zoo.data.options import Views
from pinas_zoo.search.config import SearchConfig, Train
from pinas_zoo.search.context import Context
from pinas_zoo.train.classifier import Classifier
from pinas_zoo.train.config import Loss, Optim, Recipe, Schedule, TrainData
from pinas_zoo.train.fit import Trained, Words, fit, fitted
from pinas_zoo.train.images import TransformedImages

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


@dataclass(frozen=True)
class Training:
    """What all networks have in common that are trained alike.

    Attributes:
        recipe: The recipe, with a batch that the images fill.
        images: The splits ``train`` and ``test``.
        views: Normalisation, and the augmentation of training images that the image sets do not augment themselves.
    """

    recipe: Recipe
    images: Mapping[str, ImageSet]
    views: BatchViews


def by_table(context: Context, options: Train, seed: int) -> Training:
    """Training by a ``train`` table, or a variant, with the search's own augmentation."""
    images = {"train": context.splits.trainval, "test": context.splits.test}
    recipe = fitted(recipe_of(context.config, options, seed), len(images["train"]))
    return Training(recipe, images, context.views(options.views))


def by_recipe(context: Context, recipe: Recipe) -> Training:
    """Training by a recipe, with timm's transforms of the recipe; size and normalisation are the search's."""
    splits, data, (mean, std) = context.splits, context.config.data, context.normalisation
    size = (3, data.image_size, data.image_size)
    shown = dict(input_size=size, mean=mean, std=std, interpolation=data.interpolation, crop_pct=data.crop_pct)
    prepared = {**shown, "crop_mode": "center"}
    images = {
        "train": TransformedImages(splits.trainval, prepared, recipe.augment),
        "test": TransformedImages(splits.test, prepared, workers=data.workers),
    }
    return Training(fitted(recipe, len(images["train"])), images, BatchViews(Views(), mean, std))


def train_alone(context: Context, model: Any, how: Training, folder: Path, label: str, key: str) -> Trained | None:
    """Train a network on all training images, or resume, and test it. All processes must call it.

    Args:
        context: Context of the run.
        model: Classifier with its first weights.
        how: Recipe, images and views.
        folder: Folder of the curve and the checkpoint.
        label: What progress and messages call the training.
        key: Name of the learning rate in the configuration.

    Returns:
        The network and its results; None in processes other than the first.
    """
    splits, images = context.splits, how.images
    steps = len(images["train"]) // how.recipe.batch_size
    network = Classifier(model, how.recipe, images["train"].labels, splits.num_classes, steps)
    cure = CURE.format(key=key)
    words = Words(label, cure, cure, bar=True)
    return fit(network, images, how.views, splits.class_names, folder, words, lambda line: None)
