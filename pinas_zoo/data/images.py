"""Images with labels, served by step: in memory, or decoded as they are needed."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler

from pinas_zoo.data.augmentation import ImageViews
from pinas_zoo.data.options import Data, Views
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng


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

    views: Views
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
    options: Data

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
            views(self.read(row), step_rng(make.seed, share.step, Stream.IMAGE_VIEWS, position), make.num_views)
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


class StepSampler(Sampler[Share]):
    """Index batches as a function of (seed, step): epochs of shuffled images, the last incomplete batch left out.

    Starting at a later step gives what a run from 0 would have had there; nothing is skipped through. Of ``world``
    ranks each takes consecutive positions of the batch.

    Raises:
        UserError: Fewer images than a batch, or a batch that the ranks cannot share equally.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        start: int,
        stop: int,
        rank: int = 0,
        world: int = 1,
        order: Stream = Stream.ORDER,
    ):
        if length < batch_size:
            raise UserError(f"expected at least one batch of images, got {length} images for batches of {batch_size}")
        if batch_size % world:
            raise UserError(
                f"expected a batch size that {world} processes can share equally, got {batch_size}; "
                f"{batch_size // world * world} or {(batch_size // world + 1) * world} would do"
            )
        self.length, self.batch_size, self.seed, self.start, self.stop = length, batch_size, seed, start, stop
        self.rank, self.each, self.order = rank, batch_size // world, order

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[Share]:
        per_epoch = self.length // self.batch_size
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.stop):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                order = step_rng(self.seed, epoch, self.order).permutation(self.length)
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
