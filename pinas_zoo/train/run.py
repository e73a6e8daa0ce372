"""A run of stand-alone training: a recipe, a network and images to a timm model folder.

A run is a folder; the same call resumes it::

    work_dirs/NAME/config.json     the resolved recipe
                   train/          curve.csv, epochs.csv, best.safetensors; checkpoint.pth until it is complete
                   train.log       the lines of progress
                   trained/        the timm model folder
                   done.json       results on the test images
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from timm.layers import convert_sync_batchnorm

from pinas_zoo.bounded_reading import MIB, read_json
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.options import Views
from pinas_zoo.engine import distributed, trainer
from pinas_zoo.engine.checkpoint import CHECKPOINT
from pinas_zoo.engine.compiler import check_compiler
from pinas_zoo.errors import UserError
from pinas_zoo.made_with import made_with
from pinas_zoo.operating_system import peak_memory_mib
from pinas_zoo.terminal import is_terminal
from pinas_zoo.train.classifier import Classifier, learning_rate
from pinas_zoo.train.config import FREE, Recipe
from pinas_zoo.train.epochs import BEST, EpochHook
from pinas_zoo.train.evaluate import predict, results
from pinas_zoo.train.images import Splits, TransformedImages, left_out, open_images
from pinas_zoo.train.network import Start, build, image_config, save
from pinas_zoo.weights.atomic import write_json
from pinas_zoo.weights.tensors import load_tensors

Say = Callable[[str], None]
DONE, LOG, STAGE, NETWORK = "done.json", "train.log", "train", "trained"


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


def train(recipe: Recipe, start: Start, folder: Path, say: Say = print) -> dict[str, Any] | None:
    """Train a network by a recipe, or resume; a complete run is left as it is. All processes must call it.

    Args:
        recipe: The recipe.
        start: The network, and its first weights.
        folder: The run's folder.
        say: Takes lines of progress.

    Returns:
        The results, as in ``done.json``; None in processes other than the first.

    Raises:
        UserError: Wrong images, weights, options or folder; a loss that is not finite; a disk that is full.
    """
    first = distributed.rank() == 0
    check_folder(recipe, folder)
    done = read_results(folder)
    distributed.wait()  # all have looked before the first one writes
    if done is not None:
        if first:
            say(f"complete already: {done['summary']}")
            _remove_attempts(folder)
        return done if first else None
    made_with()  # before hours in which the sources may change
    trainer.check_precision(recipe.precision, "precision")
    trainer.log_backends(recipe.log, folder)  # raises an error if one is not installed
    if recipe.compile:
        check_compiler("compile")
    splits = open_images(recipe)
    asked, recipe = recipe, fitted(recipe, len(splits.train))
    torch.manual_seed(recipe.seed)
    model, weights = build(start, splits.class_names, recipe.model_args, recipe.reset_head)
    if recipe.sync_bn and distributed.world() > 1:
        if not torch.cuda.is_available():
            raise UserError("expected GPUs for sync_bn=True, found none; leave it off")
        model = convert_sync_batchnorm(model)
    config = image_config(model, recipe.data)
    images = {
        "train": TransformedImages(splits.train, config, recipe.augment),
        "test": TransformedImages(splits.test, config, workers=recipe.data.workers),
    }
    images["train"].check()
    network = Classifier(model, recipe, splits.train.labels, splits.num_classes, len(splits.train) // recipe.batch_size)
    if first:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", asked.model_dump(mode="json"))
    tell = _Log(folder / LOG, say) if first else lambda text: None
    for line in beginning(asked, recipe, start, splits, config, weights):
        tell(line)
    views = BatchViews(Views(), config["mean"], config["std"])
    steps = recipe.schedule.epochs * network.steps_per_epoch
    options = engine_options(recipe, network.steps_per_epoch)
    batch = min(256, 2 * recipe.batch_size)
    intervals = (options.log_every, options.checkpoint_every)
    hook = EpochHook(folder / STAGE, images["test"], batch, intervals, tell)
    seconds = trainer.train(
        network, images, views, options, steps, [], folder / STAGE, STAGE, recipe.seed, recipe.data.workers,
        recipe.log, [hook], is_terminal(sys.stderr),
    )  # fmt: skip
    if not first:
        distributed.wait()
        return None
    state = {name: value.detach().cpu() for name, value in network.evaluated.state_dict().items()}
    if recipe.keep == "best":
        state = load_tensors(folder / STAGE / BEST)
    network.model.load_state_dict(state)
    found = predict(network.model.to(get_device()), images["test"], views.normalise, batch, None, recipe.precision)
    facts = results(found, splits.class_names)
    summary = (
        f"{recipe.schedule.epochs} epochs, test accuracy {facts['top1']:.2%} (top-5 {facts['top5']:.2%}) on "
        f"{facts['images']} images"
    )
    done = {"summary": summary, "seconds": round(seconds, 2), "weights": weights, **facts, "made_with": made_with()}
    save(
        folder / NETWORK, state, start, recipe.model_args, config, splits.class_names,
        provenance(recipe, weights, facts),
    )  # fmt: skip
    write_json(folder / DONE, {**done, "training_peak_memory_mib": round(peak_memory_mib())})
    _remove_attempts(folder)
    tell(summary)
    distributed.wait()
    return done


def _remove_attempts(folder: Path) -> None:
    """Delete what only an unfinished run needs; a kill just after its end leaves it."""
    for left in (CHECKPOINT, BEST):
        (folder / STAGE / left).unlink(missing_ok=True)
    for log in (folder / STAGE).glob("20[0-9][0-9]*_*"):  # logs of mmengine's Runner, one pair per attempt
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


def beginning(
    asked: Recipe, recipe: Recipe, start: Start, splits: Splits, config: Mapping[str, Any], weights: str
) -> list[str]:
    """Lines about what is trained on what; ``recipe`` has the batch that the images fill."""
    lines = [
        f"network  {start.word}: {weights}",
        f"data     {len(splits.train)} training and {len(splits.test)} test images of {splits.num_classes} classes, "
        f"{config['input_size'][-1]} x {config['input_size'][-2]} pixels",
        f"recipe   {recipe.schedule.epochs} epochs of {len(splits.train) // recipe.batch_size} updates, batch "
        f"{recipe.batch_size}, {recipe.optim.opt}, learning rate {learning_rate(recipe.optim, recipe.batch_size):.4g}",
    ]
    if recipe.batch_size < asked.batch_size:
        lines.append(f"note: batch_size={asked.batch_size} is lowered to {recipe.batch_size}, which the images fill")
    lines += [f"note: {note}" for note in splits.notes]
    if splits.unreadable:
        lines.append(f"warning: {left_out(splits.unreadable)}")
    return lines


def provenance(recipe: Recipe, weights: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts for ``provenance.json`` and the model card."""
    data = recipe.data
    name = "digits" if data.type == "digits" else data.name or Path(data.root).resolve().name
    accuracies = [{"type": "accuracy", "name": key, "value": round(facts[key], 6)} for key in ("top1", "top5")]
    return {
        "dataset": name,
        "seed": recipe.seed,
        "source": weights,
        "metrics": [{**metric, "dataset": {"name": name, "split": "test"}} for metric in accuracies],
        "config": recipe.model_dump(mode="json"),
        **made_with(),
    }


def check_folder(recipe: Recipe, folder: Path) -> None:
    """Check that a folder is new, or that of the same recipe.

    Raises:
        UserError: It is of another recipe, holds something else, or its config.json is damaged.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"expected a folder for the run, got the file {folder}; choose another with --work-dir")
    path = folder / "config.json"
    if not path.is_file():
        # a run that was killed while it wrote config.json has nothing else
        if folder.is_dir() and any(not p.name.startswith(".config.json.") for p in folder.iterdir()):
            raise UserError(f"expected an empty folder or a run, got {folder}; choose another with --work-dir")
        return
    try:
        before = Recipe.model_validate(read_json(path, "a recipe", MIB)).model_dump(mode="json")
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"expected the recipe of a training run in {path}, got: {reason}; use --work-dir") from None
    changed = _differences(before, recipe.model_dump(mode="json"))
    if changed:
        raise UserError(
            f"run folder {folder} was made by another recipe ({'; '.join(changed[:3])}); give its own values to "
            "resume, or another folder with --work-dir"
        )


def _differences(before: Any, now: Any, key: str = "") -> list[str]:
    if key in FREE:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = {**before, **now}
        return [d for k in keys for d in _differences(before.get(k), now.get(k), f"{key}.{k}" if key else str(k))]
    return [] if before == now else [f"{key} was {before!r}, is {now!r}"]


def read_results(folder: Path) -> dict[str, Any] | None:
    """``done.json`` of a run; None while it is not complete.

    Raises:
        UserError: It is damaged.
    """
    path = folder / DONE
    if not path.is_file():
        return None
    try:
        facts = read_json(path, "results", 16 * MIB)  # with a row for each class
        facts["summary"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"expected results in {path}, got a damaged file; delete it to finish the run again") from None
    return dict(facts)


class _Log:
    """Prints lines and appends them to the run's log file."""

    def __init__(self, path: Path, say: Say):
        self.path, self.say = path, say

    def __call__(self, text: str) -> None:
        self.say(text)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
