"""Images of a run: split deterministically, served by step; decoded once into memory when they fit, else as needed.

Four parts: ``train`` (learning, linear evaluation, recalibration), ``val`` (held out of the training images, scores
candidates), ``trainval`` (both, for the winner alone) and ``test`` (measures the winner, as cut and as trained).
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler

from pinas_zoo.errors import UserError
from pinas_zoo.search import config
from pinas_zoo.search.shards import ShardReader
from pinas_zoo.search.space import step_rng
from pinas_zoo.search.views import ImageViews

SPLIT, ORDER, IMAGE_VIEWS = 10, 11, 12  # random streams
GIB = 2**30


class ImageSet(ABC):
    """Images with labels, wherever they are."""

    labels: torch.Tensor  # N

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def subset(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> ImageSet:
        """Those images, in that order."""

    @abstractmethod
    def joined(self, other: ImageSet) -> ImageSet:
        """These images, then those of another part of the same data set."""

    @abstractmethod
    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """``pixels`` (uint8 n x 3 x S x S) and ``labels`` (n) in order; no batch of one image when it can be helped,
        since batch statistics need two."""

    @abstractmethod
    def share(self, share: Share, make: ViewsOptions) -> dict[str, torch.Tensor]:
        """One rank's share of a step's batch: ``labels`` and either ``pixels`` (uint8 n x 3 x S x S) or, already
        augmented, ``views`` (uint8 n x V x 3 x S x S)."""

    def ranges(self, size: int) -> list[range]:
        stops = list(range(size, len(self), size))
        if stops and len(self) - stops[-1] == 1:
            stops.pop()
        return [range(start, stop) for start, stop in zip([0, *stops], [*stops, len(self)], strict=True)]


class Share(NamedTuple):
    """What a rank takes of a step's batch."""

    step: int
    first: int  # position of the first of them in the global batch
    indices: list[int]


class ViewsOptions(NamedTuple):
    """Augmentation of a stage."""

    views: config.Views
    num_views: int
    seed: int


@dataclass(frozen=True)
class Images(ImageSet):
    """Decoded images: uint8 N x 3 x H x W, and labels N."""

    pixels: torch.Tensor
    labels: torch.Tensor

    def subset(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> Images:
        index = torch.as_tensor(indices)
        return Images(self.pixels[index], self.labels[index])

    def joined(self, other: ImageSet) -> Images:
        assert isinstance(other, Images)
        return Images(torch.cat([self.pixels, other.pixels]), torch.cat([self.labels, other.labels]))

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        for part in self.ranges(size):
            rows = slice(part.start, part.stop)
            yield {"pixels": self.pixels[rows], "labels": self.labels[rows]}

    def share(self, share: Share, make: ViewsOptions) -> dict[str, torch.Tensor]:
        chosen = self.subset(share.indices)
        return {"pixels": chosen.pixels, "labels": chosen.labels}


@dataclass(frozen=True)
class Files(ImageSet):
    """Images that are read and decoded when they are needed, in the loader's workers."""

    dataset: Any  # timm's or torchvision's
    index: np.ndarray  # N, into the data set
    labels: torch.Tensor
    options: config.Data

    def subset(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> Files:
        chosen = np.asarray(indices)
        return replace(self, index=self.index[chosen], labels=self.labels[torch.from_numpy(chosen)])

    def joined(self, other: ImageSet) -> Files:
        assert isinstance(other, Files)
        return replace(
            self, index=np.concatenate([self.index, other.index]), labels=torch.cat([self.labels, other.labels])
        )

    def read(self, row: int) -> np.ndarray:
        """Decoded in full: uint8 H x W x 3 in RGB.

        Raises:
            UserError: It cannot be; names the file.
        """
        number = int(self.index[row])
        reader = getattr(self.dataset, "reader", None)
        try:
            # timm's data set would put another image in place of a bad one, so its reader is asked
            image = reader[number][0] if reader is not None else self.dataset[number][0]
            return np.array(image.convert("RGB")) if isinstance(image, Image.Image) else decode(image.read())
        except Exception as error:  # PIL and the readers raise many kinds; all mean that this image cannot be used
            name = reader.filename(number, absolute=True) if reader is not None else number
            raise UserError(f"image {name} cannot be read: {error}") from error

    def fitted(self, row: int) -> np.ndarray:
        return fit(self.read(row), self.options.image_size, self.options.crop_pct)

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        return _checked(_loader(self, self.ranges(size), self._batch, self.options.workers))

    def _batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        pixels = torch.from_numpy(np.stack([self.fitted(row) for row in rows])).permute(0, 3, 1, 2)
        return {"pixels": pixels, "labels": self.labels[list(rows)]}

    def share(self, share: Share, make: ViewsOptions) -> dict[str, torch.Tensor]:
        views = ImageViews(make.views, self.options.image_size)
        made = [
            views(self.read(row), step_rng(make.seed, share.step, IMAGE_VIEWS, position), make.num_views)
            for position, row in enumerate(share.indices, share.first)
        ]
        stacked = torch.from_numpy(np.stack(made)).permute(0, 1, 4, 2, 3)  # n x V x 3 x S x S
        return {"views": stacked, "labels": self.labels[share.indices]}

    def decoded(self) -> Images:
        """All of them in memory."""
        size = self.options.image_size
        pixels = torch.empty(len(self), 3, size, size, dtype=torch.uint8)
        done = 0
        for batch in self.batches(256):
            pixels[done : done + len(batch["labels"])] = batch["pixels"]
            done += len(batch["labels"])
        return Images(pixels, self.labels)


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


def load_splits(options: config.Data, seed: int) -> Splits:
    """Open the images that a configuration names, and decode them when they fit; the split is a function of the seed.

    Raises:
        UserError: Missing folder, unreadable image, unknown reader, too few images to hold any out.
    """
    train: ImageSet
    test: ImageSet
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
        if (len(train) + len(test)) * 3 * options.image_size**2 <= options.memory_gib * GIB:
            train, test = train.decoded(), test.decoded()
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
    ordered = labels[order]
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        chosen[order[ordered == label][:count]] = True
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


def _timm(options: config.Data, split: str, limit: int | None, seed: int) -> tuple[Files, tuple[str, ...]]:
    """One split through timm's readers; WebDataset's shards through our own, which has random access."""
    from timm.data import ImageDataset, create_dataset

    kind = options.name.lower().partition("/")[0] if "/" in options.name else ""
    if kind in ("tfds", "hfids"):
        raise UserError(
            f"expected a data set with random access, got the stream {options.name!r}; "
            f"{'try hfds/ in place of hfids/' if kind == 'hfids' else 'write it to a folder'}, or copy its tar shards "
            "to a disk and take data.name=wds/"
        )
    if not Path(options.root).exists() and kind != "hfds":
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
        index = np.sort(step_rng(seed, 0, SPLIT).permutation(len(labels))[:limit])
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


def decode(data: bytes) -> np.ndarray:
    """A file's bytes to uint8 H x W x 3 in RGB, as Pillow gives it.

    Raises:
        OSError: Not an image, or a torn one.
    """
    if data[:2] == b"\xff\xd8" and data.rstrip(b"\0").endswith(b"\xff\xd9"):  # a torn JPEG decodes to half a picture
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if image is not None:
            return image
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


def fit(image: np.ndarray, size: int, crop_pct: float) -> np.ndarray:
    """Shorter side to ``size / crop_pct`` pixels, then the centre: uint8 H x W x 3 to size x size x 3."""
    if image.shape[:2] == (size, size) and crop_pct == 1:
        return image
    picture = Image.fromarray(image)
    scale = round(size / crop_pct) / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    left, top = (width - size) // 2, (height - size) // 2
    return np.array(
        picture.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + size, top + size))
    )


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


class StepSampler(Sampler[Share]):
    """Index batches as a function of (seed, step): epochs of shuffled images, the last incomplete batch left out.

    Starting at a later step gives what a run from 0 would have had there; nothing is skipped through. Of ``world``
    ranks each takes consecutive positions of the batch.

    Raises:
        UserError: Fewer images than a batch, or a batch that the ranks cannot share equally.
    """

    def __init__(self, length: int, batch_size: int, seed: int, start: int, stop: int, rank: int = 0, world: int = 1):
        if length < batch_size:
            raise UserError(f"expected at least one batch of images, got {length} images for batches of {batch_size}")
        if batch_size % world:
            raise UserError(
                f"expected a batch size that {world} processes can share equally, got {batch_size}; "
                f"{batch_size // world * world} or {(batch_size // world + 1) * world} would do"
            )
        self.length, self.batch_size, self.seed, self.start, self.stop = length, batch_size, seed, start, stop
        self.rank, self.each = rank, batch_size // world

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Share]:
        per_epoch = self.length // self.batch_size
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.stop):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = step_rng(self.seed, epoch, ORDER).permutation(self.length)
            first = self.rank * self.each
            at = step % per_epoch * self.batch_size + first
            yield Share(step, first, order[at : at + self.each].tolist())


def step_loader(images: ImageSet, sampler: StepSampler, make: ViewsOptions, workers: int) -> DataLoader:
    """Batches of the sampler's steps; see :meth:`ImageSet.share`. A batch may be a :class:`UserError` to raise."""
    return _loader(images, sampler, partial(images.share, make=make), workers)


class _Calls(Dataset[Any]):
    """A data set whose items are what a function makes of a sampler's items."""

    def __init__(self, images: ImageSet, function: Callable[[Any], Any]):
        self.images, self.function = images, function

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, item: Any) -> Any:
        try:
            return self.function(item)
        except UserError as error:  # raised by the reader of the loader: a worker would wrap it in a traceback
            return error


def _loader(images: ImageSet, sampler: Any, function: Callable[[Any], Any], workers: int) -> DataLoader:
    return DataLoader(
        _Calls(images, function),
        batch_sampler=sampler,
        collate_fn=_same,
        num_workers=workers,
        worker_init_fn=_one_thread,
        multiprocessing_context="fork" if workers else None,
    )


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)


def _checked(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _same(batch: Any) -> Any:
    return batch
