"""Images of a run: decoded once into memory, split deterministically, served by step.

Four parts: ``train`` (learning, linear evaluation, recalibration), ``val`` (held out of the training images, scores
candidates), ``trainval`` (both, for the winner alone) and ``test`` (measures the winner, as cut and as trained).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from pinas_zoo.errors import UserError
from pinas_zoo.search import config
from pinas_zoo.search.space import step_rng

SPLIT, ORDER = 10, 11  # random streams


@dataclass(frozen=True)
class Images(Dataset[dict[str, torch.Tensor]]):
    """Decoded images: uint8 N x 3 x H x W, and labels N."""

    pixels: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"pixels": self.pixels[index], "labels": self.labels[index]}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, torch.Tensor]:
        """A whole batch at once: what torch's loader asks for when a data set offers it."""
        return self.subset(indices).batch()

    def subset(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> Images:
        index = torch.as_tensor(indices)
        return Images(self.pixels[index], self.labels[index])

    def batch(self) -> dict[str, torch.Tensor]:
        return {"pixels": self.pixels, "labels": self.labels}

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """In order; none smaller than two images when it can be helped, since batch statistics need two."""
        stops = list(range(size, len(self), size))
        if stops and len(self) - stops[-1] == 1:
            stops.pop()
        for start, stop in zip([0, *stops], [*stops, len(self)], strict=True):
            yield {"pixels": self.pixels[start:stop], "labels": self.labels[start:stop]}


@dataclass(frozen=True)
class Splits:
    """A run's images; see the module."""

    train: Images
    val: Images
    test: Images
    class_names: tuple[str, ...]

    @property
    def trainval(self) -> Images:
        pixels = torch.cat([self.train.pixels, self.val.pixels])
        return Images(pixels, torch.cat([self.train.labels, self.val.labels]))

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of training pixels per channel, of values in 0..1, from at most 5 M of them."""
        count = min(len(self.train), max(1, 5_000_000 // self.train.pixels[0, 0].numel()))
        spread = torch.linspace(0, len(self.train) - 1, count).long()  # folders come sorted by class
        sample = self.train.pixels[spread].float().div(255).transpose(0, 1).flatten(1)  # 3 x NHW
        return (
            tuple(round(v, 4) for v in sample.mean(1).tolist()),
            tuple(round(max(v, 1e-3), 4) for v in sample.std(1).tolist()),
        )


def load_splits(options: config.Data, seed: int) -> Splits:
    """Decode the images that a configuration names; the split is a function of the seed.

    Raises:
        UserError: Missing folder, unreadable image, unknown reader, too few images to hold any out.
    """
    if options.type == "digits":
        train, test, names = _digits(options, seed)
    elif options.type == "timm":
        if options.train_split == options.test_split:
            raise UserError(f"expected a test split that is not trained on, got {options.test_split!r} for both")
        train, names = _timm(options, options.train_split, options.max_train, seed)
        test, test_names = _timm(options, options.test_split, options.max_test, seed)
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
    return Splits(train.subset(everything[~held_out]), train.subset(everything[held_out]), test, names)


def _per_class(labels: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Mask of ``count`` random images of each class."""
    order = torch.from_numpy(step_rng(seed, 0, SPLIT).permutation(len(labels)))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        chosen[order[labels[order] == label][:count]] = True
    return chosen


def _digits(options: config.Data, seed: int) -> tuple[Images, Images, tuple[str, ...]]:
    """scikit-learn's 1,797 scans of 8 x 8 pixels; a fifth, stratified, is the test set."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    size = (options.image_size, options.image_size)
    pixels = np.stack(
        [np.asarray(Image.fromarray((scan * (255 / 16)).astype(np.uint8)).resize(size)) for scan in raw.images]
    )
    labels = torch.from_numpy(raw.target).long()
    images = Images(torch.from_numpy(pixels)[:, None].expand(-1, 3, -1, -1).contiguous(), labels)
    test = _per_class(labels, len(labels) // 50, seed + 1)
    everything = torch.arange(len(labels))
    return images.subset(everything[~test]), images.subset(everything[test]), tuple(map(str, raw.target_names))


def _timm(options: config.Data, split: str, limit: int | None, seed: int) -> tuple[Images, tuple[str, ...]]:
    """One split through timm's readers, decoded to RGB and resized to the network's input."""
    from timm.data import create_dataset

    if not Path(options.root).is_dir() and not options.name.startswith(("hfds/", "tfds/", "wds/")):
        raise UserError(
            f"expected images in data.root, found no folder {options.root!r}; "
            "name where they are, as in `--set data.root=FOLDER`"
        )
    try:
        dataset = create_dataset(options.name, root=options.root, split=split)
    except Exception as error:  # each of timm's readers has its own
        raise UserError(
            f"data set {options.name or 'folder'!r}, split {split!r} of {options.root!r} cannot be opened: {error}"
        ) from error
    if isinstance(dataset, IterableDataset):
        raise UserError(
            f"expected a data set with random access, got the stream {options.name!r}; unpack it to a folder"
        )
    reader = getattr(dataset, "reader", None)
    if not options.name and Path(getattr(reader, "root", "")) == Path(options.root):  # timm then reads every split
        raise UserError(
            f"expected the folder {split!r} in {options.root}, found none; name another with --set "
            "data.train_split=NAME or data.test_split=NAME"
        )
    count = len(dataset)
    order = np.arange(count)
    if limit is not None and limit < count:
        order = np.sort(step_rng(seed, 0, SPLIT).permutation(count)[:limit])
    size = options.image_size
    pixels = torch.empty(len(order), 3, size, size, dtype=torch.uint8)
    labels = torch.empty(len(order), dtype=torch.long)
    for row, index in enumerate(order):
        try:
            image, label = _read(dataset, int(index))
            pixels[row] = torch.from_numpy(np.array(_fit(image.convert("RGB"), size))).permute(2, 0, 1)
        except Exception as error:  # PIL and the readers raise many kinds; all mean that this image cannot be used
            raise UserError(f"image {_filename(dataset, int(index))} cannot be read: {error}") from error
        labels[row] = int(label)
    return Images(pixels, labels), _class_names(dataset, labels)


def _read(dataset: Any, index: int) -> tuple[Image.Image, int]:
    """One image and label; timm's ``ImageDataset`` is asked through its reader, because it replaces bad images."""
    reader = getattr(dataset, "reader", None)
    if reader is None:
        return dataset[index]
    file, label = reader[index]
    return (file if isinstance(file, Image.Image) else Image.open(file)), label


def _fit(image: Image.Image, size: int) -> Image.Image:
    """Shorter side to ``size`` pixels, then the centre."""
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    return image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))


def _filename(dataset: Dataset, index: int) -> str:
    reader = getattr(dataset, "reader", None)
    return str(reader.filename(index, absolute=True)) if reader is not None else f"{index}"


def _class_names(dataset: Dataset, labels: torch.Tensor) -> tuple[str, ...]:
    reader = getattr(dataset, "reader", None)
    to_index = getattr(reader, "class_to_idx", None) or getattr(dataset, "class_to_idx", None)
    if to_index:
        return tuple(sorted(to_index, key=lambda name: to_index[name]))
    return tuple(str(label) for label in range(int(labels.max()) + 1))


class StepSampler(Sampler[list[int]]):
    """Index batches as a function of (seed, step): epochs of shuffled images, the last incomplete batch left out.

    Starting at a later step gives what a run from 0 would have had there; nothing is skipped through.
    """

    def __init__(self, length: int, batch_size: int, seed: int, start: int, stop: int):
        if length < batch_size:
            raise UserError(f"expected at least one batch of images, got {length} images for batches of {batch_size}")
        self.length, self.batch_size, self.seed, self.start, self.stop = length, batch_size, seed, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = self.length // self.batch_size
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.stop):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = step_rng(self.seed, epoch, ORDER).permutation(self.length)
            at = step % per_epoch * self.batch_size
            yield order[at : at + self.batch_size].tolist()


def step_loader(images: Images, batch_size: int, seed: int, start: int, stop: int, workers: int) -> DataLoader:
    """Batches for the steps ``start`` to ``stop``, each a dict of ``pixels`` and ``labels``."""
    sampler = StepSampler(len(images), batch_size, seed, start, stop)
    return DataLoader(images, batch_sampler=sampler, collate_fn=_same, num_workers=workers)


def _same(batch: Any) -> Any:
    return batch
