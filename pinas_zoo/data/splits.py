"""The images of a run, split deterministically; decoded once into memory when they fit (:mod:`pinas_zoo.data.memory`).

Four parts: ``train`` (learning, linear evaluation, recalibration), ``val`` (held out of the training images, scores
candidates), ``trainval`` (both, for the winner alone) and ``test`` (measures the winner, with inherited and
with trained weights).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pinas_zoo.data.image_record import record_of
from pinas_zoo.data.images import Files, Images, ImageSet
from pinas_zoo.data.memory import hold_in_memory
from pinas_zoo.data.options import Data
from pinas_zoo.data.sources import check_apart, class_names, labels_of, note_of, open_split
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng

GIB = 2**30
DIGITS = tuple(map(str, range(10)))  # names of the classes of scikit-learn's digits


@dataclass(frozen=True)
class Splits:
    """A run's images; see the module."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    sources: Mapping[str, Any] = field(default_factory=dict)  # "train" and "test": all images, before any limit
    notes: tuple[str, ...] = ()  # what is left out, a line each

    @cached_property
    def record(self) -> dict[str, Any]:
        """What tells these images from others: the classes, and the number and a digest of each source's images."""
        return record_of(self.class_names, self.sources)

    @property
    def trainval(self) -> ImageSet:
        return self.train.joined(self.val)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of training pixels per channel, of values in 0..1, from at most 5 M of them."""
        size = next(self.train.subset([0]).batches(1))["pixels"].shape[-1]
        count = min(len(self.train), max(1, 5_000_000 // size**2))
        spread = torch.linspace(0, len(self.train) - 1, count).long()  # folders come sorted by class
        pixels = torch.cat([batch["pixels"] for batch in self.train.subset(spread).batches(256)])
        sample = pixels.float().div(255).transpose(0, 1).flatten(1)  # 3 x NHW
        return (
            tuple(round(v, 4) for v in sample.mean(1).tolist()),
            tuple(round(max(v, 1e-3), 4) for v in sample.std(1).tolist()),
        )


def load_splits(options: Data, seed: int, streams: int = 2) -> Splits:
    """Open the images that a configuration names, and decode them when they fit; the split is a function of the seed.

    Args:
        options: The configuration's ``data`` table.
        seed: Of the run.
        streams: Random streams: 2, or 1 for a run that version 0.1 began.

    Raises:
        UserError: Missing folder, unreadable image, unknown reader, too few images to hold any out.
    """
    train: ImageSet
    test: ImageSet
    sources: dict[str, Any] = {}
    if (options.mean is None) != (options.std is None):
        given, missing = ("mean", "std") if options.std is None else ("std", "mean")
        raise UserError(f"expected data.mean and data.std together, got data.{given} alone; set data.{missing} too")
    if options.type == "digits":
        train, test, names = _digits(options, seed, streams)
        if streams > 1:  # version 0.1 took all digits, and a run that it began keeps its images
            train, test = limited(train, options.max_train, seed), limited(test, options.max_test, seed)
    elif options.type == "timm":
        if options.train_split == options.test_split:
            raise UserError(f"expected a test split that is not trained on, got {options.test_split!r} for both")
        sources = {
            "train": open_split(options, options.train_split),
            "test": open_split(options, options.test_split),
        }
        check_apart(*sources.values())
        limits = Stream.IMAGE_LIMIT if streams > 1 else Stream.SPLIT
        train, names = _files(sources["train"], options, options.max_train, seed, limits)
        test, test_names = _files(sources["test"], options, options.max_test, seed, limits)
        if test_names != names:
            raise UserError(
                f"expected the same classes in {options.train_split!r} and {options.test_split!r} of {options.root}, "
                f"got {len(names)} and {len(test_names)}: {sorted(set(names) ^ set(test_names))[:5]} differ"
            )
    else:
        raise UserError(f"expected data.type 'digits' or 'timm', got {options.type!r}")
    held_out = _per_class(train.labels, options.val_per_class, seed)
    _check_training(train.labels, held_out, options.val_per_class, names)
    notes = tuple(note for note in map(note_of, sources.values()) if note)
    everything = torch.arange(len(train))
    parts = [train.subset(everything[~held_out]), train.subset(everything[held_out]), test]
    files = [part for part in parts if isinstance(part, Files)]
    learned, scored, tested = hold_in_memory(files, options.memory_gib * GIB) if files else parts
    return Splits(learned, scored, tested, names, sources, notes)


def _files(source: Any, options: Data, limit: int | None, seed: int, stream: Stream) -> tuple[Files, tuple[str, ...]]:
    """A source's images, at most ``limit`` of them, and the names of its classes."""
    labels = labels_of(source)
    if not len(labels):
        raise UserError(f"expected images in {options.root}, got a split without any")
    index = _some(len(labels), limit, seed, stream)
    chosen = labels[torch.from_numpy(index)]
    return Files(source, index, chosen, options), class_names(source, labels)


def limited(images: ImageSet, limit: int | None, seed: int) -> ImageSet:
    """At most ``limit`` of the images, drawn at random and kept in their order; None: all."""
    if limit is None or limit >= len(images):
        return images
    return images.subset(_some(len(images), limit, seed, Stream.IMAGE_LIMIT))


def _some(count: int, limit: int | None, seed: int, stream: Stream) -> NDArray[np.int64]:
    """Numbers of the images that a limit keeps, rising: random ones, or all without a limit below their number."""
    if limit is None or limit >= count:
        return np.arange(count)
    return np.sort(step_rng(seed, 0, stream).permutation(count)[:limit])


def _check_training(labels: torch.Tensor, held_out: torch.Tensor, count: int, names: tuple[str, ...]) -> None:
    """Check that each class has training images when ``count`` of each are held out.

    Raises:
        UserError: A class has none.
    """
    remaining = np.bincount(labels[~held_out].numpy(), minlength=len(names))
    if remaining.all():
        return
    without = int(remaining.argmin())
    has = int((labels == without).sum())
    raise UserError(
        f"expected more training images of each class than are held out, data.val_per_class = {count}, got {has} of "
        f"class {names[without]!r}; {f'lower it to {has - 1} or less, or ' if has > 1 else ''}add images to the class"
    )


def load_split(options: Data, split: str, seed: int = 0, streams: int = 2) -> tuple[ImageSet, tuple[str, ...]]:
    """Open one split alone, without holding out any images, and the names of its classes. No image is decoded.

    Args:
        options: The configuration's ``data`` table. ``max_test`` limits the split ``test_split``, and ``max_train`` any
            other.
        split: Name of the split, such as ``options.train_split``. For digits, ``test_split`` names the test images, and
            any other the training images; so does a name that stands for both.
        seed: Of the run, from which the limits and the test images of digits follow.
        streams: Of the run, as in :func:`load_splits`.

    Raises:
        UserError: As :func:`load_splits`.
    """
    if options.type == "digits":
        train, test, names = _digits(options, seed, streams)
        if split == options.test_split != options.train_split:
            return limited(test, options.max_test, seed), names
        return limited(train, options.max_train, seed), names
    if options.type != "timm":
        raise UserError(f"expected data.type 'digits' or 'timm', got {options.type!r}")
    limit = options.max_test if split == options.test_split else options.max_train
    return _files(open_split(options, split), options, limit, seed, Stream.IMAGE_LIMIT)


def _per_class(labels: torch.Tensor, count: int, seed: int, stream: Stream = Stream.SPLIT) -> torch.Tensor:
    """Mask of ``count`` random images of each class."""
    order = torch.from_numpy(step_rng(seed, 0, stream).permutation(len(labels)))
    ordered = labels[order]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        chosen[order[ordered == label][:count]] = True
    return chosen


def _digits(options: Data, seed: int, streams: int) -> tuple[Images, Images, tuple[str, ...]]:
    """scikit-learn's 1,797 scans of 8 x 8 pixels; a fifth, stratified, is the test set."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    size = (options.image_size, options.image_size)
    pixels = np.stack(
        [np.asarray(Image.fromarray((scan * (255 / 16)).astype(np.uint8)).resize(size)) for scan in raw.images]
    )
    labels = torch.from_numpy(raw.target).long()
    images = Images(torch.from_numpy(pixels)[:, None].expand(-1, 3, -1, -1).contiguous(), labels)
    count = len(labels) // 50
    # runs of version 0.1 drew the test images as another seed's held-out ones
    test = _per_class(labels, count, seed, Stream.TEST_SPLIT) if streams > 1 else _per_class(labels, count, seed + 1)
    everything = torch.arange(len(labels))
    return images.subset(everything[~test]), images.subset(everything[test]), DIGITS
