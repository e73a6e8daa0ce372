"""A run of stand-alone training: a recipe, a network and images to a timm model folder.

A run is a folder; the same call resumes it::

    work_dirs/NAME/config.json     the resolved recipe
                   images.json     classes and a digest of the images, with which a resumed run compares its own
                   train/          curve.csv, epochs.csv, best.safetensors; checkpoint.pth until it is complete
                   train.log       the lines of progress
                   trained/        the timm model folder
                   done.json       results on the test images
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm

from pinas_zoo.bounded_reading import MIB, read_json
from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.image_record import check_images
from pinas_zoo.data.options import Views
from pinas_zoo.engine import distributed, trainer
from pinas_zoo.engine.compiler import check_compiler
from pinas_zoo.engine.folder_links import refuse_links
from pinas_zoo.engine.folder_lock import LOCK, FolderLock, hold_folder, refuse_if_held
from pinas_zoo.engine.guessing import at_chance
from pinas_zoo.errors import UserError
from pinas_zoo.made_with import made_with
from pinas_zoo.operating_system import open_regular, peak_memory_mib
from pinas_zoo.terminal import is_terminal
from pinas_zoo.train.classifier import Classifier, learning_rate
from pinas_zoo.train.config import FREE, Recipe
from pinas_zoo.train.epochs import CURE
from pinas_zoo.train.evaluate import tells_top5
from pinas_zoo.train.fit import Trained, Words, fit, fitted, remove_attempts
from pinas_zoo.train.images import Splits, TransformedImages, left_out, open_images
from pinas_zoo.train.network import Start, build, image_config, save
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.atomic import write_json

Say = Callable[[str], None]
DONE, LOG, STAGE, NETWORK = "done.json", "train.log", "train", "trained"
FEW_UPDATES = 100  # of a whole training
NAMED = "with --name NAME, or its folder with --work-dir"


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
        UserError: Wrong images, weights, options or folder; a folder that another process uses; a loss that is not
            finite; a disk that is full.
    """
    first = distributed.rank() == 0
    if first:
        refuse_if_held(folder)
    check_folder(recipe, folder)
    done = read_results(folder)
    distributed.wait()  # all have looked before the first one writes
    if done is not None:
        if first:
            say(f"complete already: {done['summary']}")
            for text in done.get("warnings", ()):
                say(f"warning: {text}")
            remove_attempts(folder / STAGE)
            FolderLock(folder).remove_abandoned()
        return done if first else None
    made_with()  # before hours in which the sources may change
    trainer.check_precision(recipe.precision, "precision")
    trainer.log_backends(recipe.log, folder)  # raises an error if one is not installed
    if recipe.compile:
        check_compiler("compile")
    splits = open_images(recipe)
    check_images(folder, splits.record, write=False)
    asked, recipe = recipe, fitted(recipe, len(splits.train))
    torch.manual_seed(recipe.seed)
    model, weights = build(start, splits.class_names, recipe.model_args, recipe.reset_head)
    if recipe.sync_bn and distributed.world() > 1:
        if not torch.cuda.is_available():
            raise UserError("expected GPUs for sync_bn=True, found none; leave it off")
        model = convert_sync_batchnorm(model)
    if entry_points.is_generic(start.architecture) and "arch" not in {**start.args, **recipe.model_args}:
        start = replace(start, args={**start.args, "arch": str(model.arch)})  # the entry point's own default
    config = image_config(model, recipe.data)
    images = {
        "train": TransformedImages(splits.train, config, recipe.augment),
        "test": TransformedImages(splits.test, config, workers=recipe.data.workers),
    }
    images["train"].check()
    network = Classifier(model, recipe, splits.train.labels, splits.num_classes, len(splits.train) // recipe.batch_size)
    views = BatchViews(Views(), config["mean"], config["std"])
    with hold_folder(folder) if first else nullcontext() as lock:
        if first:
            write_json(folder / "config.json", asked.model_dump(mode="json"))
            check_images(folder, splits.record, write=True)
        tell = _Log(folder / LOG, say) if first else lambda text: None
        for line in beginning(asked, recipe, start, splits, config, weights):
            tell(line)
        trained = fit(network, images, views, splits.class_names, folder / STAGE, words(), tell)
        if trained is None or lock is None:
            distributed.wait()
            return None
        lock.check()
        done = finish(trained, recipe, start, config, weights, splits.class_names, folder)
        tell(done["summary"])
        for text in done["warnings"]:
            tell(f"warning: {text}")
    distributed.wait()
    return done


def finish(
    trained: Trained,
    recipe: Recipe,
    start: Start,
    config: Mapping[str, Any],
    weights: str,
    class_names: Sequence[str],
    folder: Path,
) -> dict[str, Any]:
    """Write the model folder and ``done.json``, and return the results."""
    facts = trained.facts
    early = f"{trained.epochs} of " if trained.epochs < recipe.schedule.epochs else ""
    top5 = f" (top-5 {facts['top5']:.2%})" if tells_top5(facts) else ""
    summary = (
        f"{early}{recipe.schedule.epochs} epochs, test accuracy {facts['top1']:.2%}{top5} on {facts['images']} images"
    )
    chance = learned_nothing(recipe, facts, config["input_size"][-1])
    done = {
        "summary": summary, "epochs": trained.epochs, "seconds": round(trained.seconds, 2), "weights": weights,
        "warnings": [chance] if chance else [], **facts, "made_with": made_with(),
    }  # fmt: skip
    save(
        folder / NETWORK, trained.state_dict, start, recipe.model_args, config, class_names,
        provenance(recipe, weights, facts),
    )  # fmt: skip
    write_json(folder / DONE, {**done, "training_peak_memory_mib": round(peak_memory_mib())})
    remove_attempts(folder / STAGE)
    return done


def learned_nothing(recipe: Recipe, facts: Mapping[str, Any], size: int) -> str | None:
    """One line where the test accuracy is that of guessing; None where it is more.

    Args:
        recipe: The recipe, with the batch that the images fill.
        facts: Results on the test images.
        size: Height and width in pixels of the images.
    """
    guess = max(row["images"] for row in facts["per_class"]) / facts["images"]
    cure = (
        f"a smaller batch_size (now {recipe.batch_size}) or more schedule.epochs (now {recipe.schedule.epochs}), which "
        f"make more updates, another optim.lr, or a larger data.image_size (now {size})"
    )
    return at_chance(facts["top1"], facts["images"], guess, "the test accuracy", cure)


def words() -> Words:
    """How messages name this training."""
    another = "in another folder (--work-dir)"
    return Words(STAGE, f"{CURE}, {another}", f"lower optim.lr and train {another}", is_terminal(sys.stderr))


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
    updates = recipe.schedule.epochs * (len(splits.train) // recipe.batch_size)
    if updates < FEW_UPDATES:
        lines.append(
            f"note: {updates} updates in all are few to learn from; a smaller batch_size (now {recipe.batch_size}) or "
            f"more schedule.epochs (now {recipe.schedule.epochs}) makes more"
        )
    lines += [f"note: {note}" for note in splits.notes]
    if splits.unreadable:
        lines.append(f"warning: {left_out(splits.unreadable)}")
    return lines


def provenance(recipe: Recipe, weights: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts for ``provenance.json`` and the model card."""
    data = recipe.data
    name = "digits" if data.type == "digits" else data.name or Path(data.root).resolve().name
    keys = ("top1", "top5") if tells_top5(facts) else ("top1",)
    accuracies = [{"type": "accuracy", "name": key, "value": round(facts[key], 6)} for key in keys]
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
        raise UserError(f"expected a folder for the run, got the file {folder}; choose another {NAMED}")
    refuse_links(folder, (STAGE, NETWORK))
    path = folder / "config.json"
    if not path.is_file():
        # a run that was killed while it wrote config.json has nothing but that and its lock
        if folder.is_dir() and any(p.name != LOCK and not p.name.startswith(".config.json.") for p in folder.iterdir()):
            raise UserError(f"expected an empty folder or a run, got {folder}; choose another {NAMED}")
        return
    try:
        before = Recipe.model_validate(read_json(path, "a recipe", MIB)).model_dump(mode="json")
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"expected the recipe of a training run in {path}, got: {reason}; choose another {NAMED}"
        ) from None
    changed = _differences(before, recipe.model_dump(mode="json"))
    if changed:
        raise UserError(
            f"run folder {folder} was made by another recipe ({'; '.join(changed[:3])}); give its own values to "
            f"resume, or choose another run {NAMED}"
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
        if not all(isinstance(text, str) for text in facts.get("warnings", ())):  # earlier versions wrote none
            raise ValueError("warnings")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"expected results in {path}, got a damaged file; delete it to finish the run again") from None
    return dict(facts)


class _Log:
    """Prints lines and appends them to the run's log file."""

    def __init__(self, path: Path, say: Say):
        self.path, self.say = path, say

    def __call__(self, text: str) -> None:
        self.say(text)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND  # what lies behind a link is not written
        with os.fdopen(open_regular(self.path, flags, follow=False), "a", encoding="utf-8") as file:
            file.write(f"{text}\n")
