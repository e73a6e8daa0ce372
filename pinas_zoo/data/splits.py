"""The images of a run, split deterministically; decoded once into memory when they fit (:mod:`pinas_zoo.data.memory`).

Four parts: ``train`` (learning, linear evaluation, recalibration), ``val`` (held out of the training images, scores
candidates), ``trainval`` (both, for the winner alone) and ``test`` (measures the winner, with inherited and
with trained weights).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from pinas_zoo.data.images import Files, Images, ImageSet
from pinas_zoo.data.memory import hold_in_memory
from pinas_zoo.data.options import Data
from pinas_zoo.data.shards import ShardReader
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng

GIB = 2**30


@dataclass(frozen=True)
class Splits:
    """A run's images; see the module."""

    train: ImageSet
    val: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]

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
    if options.type == "digits":
        train, test, names = _digits(options, seed, streams)
    elif options.type == "timm":
        if options.train_split == options.test_split:
            raise UserError(f"expected a test split that is not trained on, got {options.test_split!r} for both")
        limits = Stream.IMAGE_LIMIT if streams > 1 else Stream.SPLIT
        train, names = _timm(options, options.train_split, options.max_train, seed, limits)
        test, test_names = _timm(options, options.test_split, options.max_test, seed, limits)
        if test_names != names:
            raise UserError(
                f"expected the same classes in {options.train_split!r} and {options.test_split!r} of {options.root}, "
                f"got {len(names)} and {len(test_names)}: {sorted(set(names) ^ set(test_names))[:5]} differ"
            )
    else:
        raise UserError(f"expected data.type 'digits' or 'timm', got {options.type!r}")
    held_out = _per_class(train.labels, options.val_per_class, seed)
    counts = np.bincount(train.labels[~held_out].numpy(), minlength=len(names))
    if not counts.all():
        raise UserError(
            f"data.val_per_class = {options.val_per_class} leaves no training image of class "
            f"{names[int(counts.argmin())]!r}; lower it"
        )
    everything = torch.arange(len(train))
    parts = [train.subset(everything[~held_out]), train.subset(everything[held_out]), test]
    files = [part for part in parts if isinstance(part, Files)]
    learned, scored, tested = hold_in_memory(files, options.memory_gib * GIB) if files else parts
    return Splits(learned, scored, tested, names)


def load_split(options: Data, split: str, seed: int = 0) -> tuple[ImageSet, tuple[str, ...]]:
    """Open one split alone, without holding out any images, and the names of its classes. No image is decoded.

    Args:
        options: The configuration's ``data`` table. ``max_test`` limits the split ``test_split``, and ``max_train`` any
            other.
        split: Name of the split, such as ``options.train_split``; for digits, the test split is ``test_split``.
        seed: Of the run, from which the limits and the test images of digits follow.

    Raises:
        UserError: As :func:`load_splits`.
    """
    if options.type == "digits":
        train, test, names = _digits(options, seed, 2)
        return (test if split == options.test_split else train), names
    if options.type != "timm":
        raise UserError(f"expected data.type 'digits' or 'timm', got {options.type!r}")
    limit = options.max_test if split == options.test_split else options.max_train
    return _timm(options, split, limit, seed, Stream.IMAGE_LIMIT)


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
    return images.subset(everything[~test]), images.subset(everything[test]), tuple(map(str, raw.target_names))


def root_found(options: Data) -> bool:
    """Whether there is what the reader reads: a folder or file at ``data.root``, which some readers do not need."""
    return options.type != "timm" or options.name.lower().startswith("hfds/") or Path(options.root).exists()


def _timm(options: Data, split: str, limit: int | None, seed: int, stream: Stream) -> tuple[Files, tuple[str, ...]]:
    """One split through timm's readers; WebDataset's shards through our own, which has random access."""
    from timm.data import ImageDataset, create_dataset

    kind = options.name.lower().partition("/")[0] if "/" in options.name else ""
    if kind in ("tfds", "hfids"):
        raise UserError(
            f"expected a data set with random access, got the stream {options.name!r}; "
            f"{'try hfds/ in place of hfids/' if kind == 'hfids' else 'write it to a folder'}, or copy its tar shards "
            "to a disk and take data.name=wds/"
        )
    if not root_found(options):
        raise UserError(
            f"expected images in data.root, found no folder {options.root!r}; "
            "name where they are, as in `--set data.root=FOLDER`"
        )
    try:
        if kind == "wds":
            dataset: Any = ImageDataset(options.root, reader=ShardReader(Path(options.root), split))
        else:
            dataset = create_dataset(options.name, root=options.root, split=split)
    except UserError:
        raise
    except Exception as error:  # each of timm's readers has its own
        raise UserError(
            f"data set {options.name or 'folder'!r}, split {split!r} of {options.root!r} cannot be opened: {error}"
        ) from error
    reader: Any = getattr(dataset, "reader", None)
    if not options.name and Path(getattr(reader, "root", "")) == Path(options.root):  # timm then reads every split
        raise UserError(
            f"expected the folder {split!r} in {options.root}, found none; name another with --set "
            "data.train_split=NAME or data.test_split=NAME"
        )
    if hasattr(reader, "cache_tarfiles"):
        reader.cache_tarfiles = False  # forked workers would share an open file's position
    labels = _labels(dataset)
    index = np.arange(len(labels))
    if limit is not None and limit < len(labels):
        index = np.sort(step_rng(seed, 0, stream).permutation(len(labels))[:limit])
    chosen = labels[torch.from_numpy(index)]
    return Files(dataset, index, chosen, options), _class_names(dataset, chosen)


def _labels(dataset: Any) -> torch.Tensor:
    """Labels of all images; none is decoded for it where the reader keeps them apart."""
    reader = getattr(dataset, "reader", dataset)
    if hasattr(reader, "targets"):
        labels = reader.targets
    elif hasattr(reader, "iter_targets"):
        labels = list(reader.iter_targets())
    elif hasattr(reader, "samples"):
        labels = [label for _, label in reader.samples]
    else:
        labels = [reader[number][1] for number in range(len(reader))]
    return torch.as_tensor(labels).long()


def _class_names(dataset: Dataset, labels: torch.Tensor) -> tuple[str, ...]:
    reader = getattr(dataset, "reader", None)
    to_index = (
        getattr(reader, "class_to_idx", None)
        or getattr(reader, "class_name_to_idx", None)  # of tar files
        or getattr(dataset, "class_to_idx", None)
    )
    if to_index:
        return tuple(sorted(to_index, key=lambda name: to_index[name]))
    return tuple(str(label) for label in range(int(labels.max()) + 1))
