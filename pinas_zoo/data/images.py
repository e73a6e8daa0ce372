"""Images with labels: in memory, or read and decoded when they are needed.

Where an image is kept changes neither its augmented views (but for rounding) nor what a network sees without
augmentation. In memory, images keep the resolution of their files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

from pinas_zoo.data.augmentation import ViewDraws, draw_views, image_views, view_uniforms
from pinas_zoo.data.decoding import Interpolation, decode, fit, to_rgb
from pinas_zoo.data.loader import BatchPart, StepSampler, batch_loader, checked
from pinas_zoo.data.options import Data, Views
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream

Indices = Sequence[int] | torch.Tensor | np.ndarray


class ViewsOptions(NamedTuple):
    """Augmentation of a stage."""

    views: Views
    num_views: int  # of each image
    seed: int  # of the run
    stream: Stream = Stream.IMAGE_VIEWS  # of the split's random numbers


class ImageSet(ABC):
    """Images with labels, wherever they are."""

    labels: torch.Tensor  # N

    @property
    @abstractmethod
    def view_size(self) -> int:
        """Height and width S in pixels of what a network sees of an image."""

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def subset(self, indices: Indices) -> ImageSet:
        """Those images, in that order."""

    @abstractmethod
    def joined(self, other: ImageSet) -> ImageSet:
        """These images, then those of another part of the same data set."""

    @abstractmethod
    def read(self, row: int) -> np.ndarray:
        """One image, decoded in full: uint8 H x W x 3 in RGB."""

    @abstractmethod
    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """Batches without augmentation, in order, of the :meth:`ranges`.

        Yields:
            ``pixels``, uint8 n x 3 x S x S: shorter side resized to the network's, then the centre; ``labels``, n.
        """

    @abstractmethod
    def step_batch(self, part: BatchPart, options: ViewsOptions) -> dict[str, Any]:
        """One process's part of a step's batch.

        Returns:
            ``labels``, n, and either ``views``, uint8 n x V x 3 x S x S, or ``pixels``, uint8 n x 3 x H x W, with
            ``draws``, n x V, of which :meth:`~pinas_zoo.data.augmentation.BatchViews.views` makes the views.
        """

    def ranges(self, size: int) -> list[range]:
        """Consecutive images in batches of ``size``; the last batch may be smaller.

        A single image at the end joins the batch before it, because batch statistics need two.
        """
        stops = list(range(size, len(self), size))
        if stops and len(self) - stops[-1] == 1:
            stops.pop()
        return [range(start, stop) for start, stop in zip([0, *stops], [*stops, len(self)], strict=True)]


class InMemory(ImageSet):
    """Images that are held in memory."""

    @property
    @abstractmethod
    def fitted(self) -> torch.Tensor:
        """What a network sees without augmentation: uint8 N x 3 x S x S; kept once it is made."""

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        for part in self.ranges(size):
            rows = slice(part.start, part.stop)
            yield {"pixels": self.fitted[rows], "labels": self.labels[rows]}


@dataclass(frozen=True)
class Images(InMemory):
    """Decoded images of one size; their views are made for a whole batch at once, on the network's device."""

    pixels: torch.Tensor  # uint8 N x 3 x H x W
    labels: torch.Tensor  # N
    size: int | None = None  # S; None: the images are square and have it
    crop_pct: float = 1.0
    interpolation: Interpolation = "bicubic"

    def subset(self, indices: Indices) -> Images:
        index = torch.as_tensor(indices)
        return replace(self, pixels=self.pixels[index], labels=self.labels[index])

    def joined(self, other: ImageSet) -> Images:
        assert isinstance(other, Images)
        pixels, labels = torch.cat([self.pixels, other.pixels]), torch.cat([self.labels, other.labels])
        return replace(self, pixels=pixels, labels=labels)

    @property
    def view_size(self) -> int:
        return self.size or self.pixels.shape[-1]

    @cached_property
    def fitted(self) -> torch.Tensor:
        size = self.view_size
        if self.crop_pct == 1 and self.pixels.shape[2:] == (size, size):
            return self.pixels
        made = torch.empty(len(self), 3, size, size, dtype=torch.uint8)
        for row in range(len(self)):
            made[row] = _planes(fit(self.read(row), size, self.crop_pct, self.interpolation))
        return made

    def read(self, row: int) -> np.ndarray:
        return self.pixels[row].permute(1, 2, 0).contiguous().numpy()

    def step_batch(self, part: BatchPart, options: ViewsOptions) -> dict[str, Any]:
        height, width = self.pixels.shape[2:]
        uniforms = view_uniforms(options.seed, part.step, part.positions, options.num_views, options.stream)
        draws = draw_views(options.views, height, width, uniforms, self.view_size)
        return {"pixels": self.pixels[part.indices], "draws": draws, "labels": self.labels[part.indices]}


class ImagesOfAnySize(ImageSet):
    """Images that differ in size; a worker of the loader makes their views, one image at a time."""

    options: Data

    @property
    def view_size(self) -> int:
        return self.options.image_size

    def fitted_batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """A batch without augmentation: ``pixels``, uint8 n x 3 x S x S, and ``labels``, n."""
        size, crop_pct, how = self.options.image_size, self.options.crop_pct, self.options.interpolation
        pixels = np.stack([fit(self.read(row), size, crop_pct, how) for row in rows])  # n x S x S x 3
        return {"pixels": torch.from_numpy(pixels).permute(0, 3, 1, 2), "labels": self.labels[list(rows)]}

    def step_batch(self, part: BatchPart, options: ViewsOptions) -> dict[str, Any]:
        uniforms = view_uniforms(options.seed, part.step, part.positions, options.num_views, options.stream)
        made = [self._views(row, options.views, of_image) for row, of_image in zip(part.indices, uniforms, strict=True)]
        views = torch.from_numpy(np.stack(made)).permute(0, 1, 4, 2, 3)  # n x V x 3 x S x S
        return {"views": views, "labels": self.labels[part.indices]}

    def _views(self, row: int, views: Views, uniforms: np.ndarray) -> np.ndarray:
        """uint8 V x S x S x 3."""
        image = self.read(row)
        draws: ViewDraws = draw_views(views, image.shape[0], image.shape[1], uniforms, self.options.image_size)
        return image_views(image, draws)


@dataclass(frozen=True)
class DecodedImages(ImagesOfAnySize, InMemory):
    """Decoded images of several sizes."""

    arrays: Sequence[np.ndarray]  # N, each uint8 H x W x 3
    labels: torch.Tensor  # N
    options: Data

    def subset(self, indices: Indices) -> DecodedImages:
        chosen = torch.as_tensor(indices)
        rows = chosen.nonzero().flatten() if chosen.dtype == torch.bool else chosen
        return replace(self, arrays=[self.arrays[row] for row in rows.tolist()], labels=self.labels[rows])

    def joined(self, other: ImageSet) -> DecodedImages:
        assert isinstance(other, DecodedImages)
        return replace(self, arrays=[*self.arrays, *other.arrays], labels=torch.cat([self.labels, other.labels]))

    def read(self, row: int) -> np.ndarray:
        return self.arrays[row]

    @cached_property
    def fitted(self) -> torch.Tensor:
        size = self.options.image_size
        made = torch.empty(len(self), 3, size, size, dtype=torch.uint8)
        done = 0
        for batch in checked(batch_loader(self.ranges(256), self.fitted_batch, self.options.workers)):
            made[done : done + len(batch["labels"])] = batch["pixels"]
            done += len(batch["labels"])
        return made


@dataclass(frozen=True)
class Files(ImagesOfAnySize):
    """Images that are read and decoded when they are needed, in the loader's workers."""

    dataset: Any  # of pinas_zoo.data.sources, timm's reader or torchvision's data set
    index: np.ndarray  # N, into the data set
    labels: torch.Tensor  # N
    options: Data

    def subset(self, indices: Indices) -> Files:
        chosen = np.asarray(indices)
        return replace(self, index=self.index[chosen], labels=self.labels[torch.from_numpy(chosen)])

    def joined(self, other: ImageSet) -> Files:
        assert isinstance(other, Files)
        index, labels = np.concatenate([self.index, other.index]), torch.cat([self.labels, other.labels])
        return replace(self, index=index, labels=labels)

    def read(self, row: int) -> np.ndarray:
        """Decoded in full: uint8 H x W x 3 in RGB.

        Raises:
            UserError: It cannot be decoded; names the file.
        """
        number = int(self.index[row])
        try:
            image = self.dataset[number][0]
            if isinstance(image, Image.Image):  # of torchvision's packed data sets, such as CIFAR-10
                return np.array(to_rgb(image, None))
            with image:
                return decode(image)
        except UserError:  # names the file
            raise
        except Exception as error:  # the readers raise many kinds; all mean that this image cannot be used
            name = self.dataset.filename(number) if hasattr(self.dataset, "filename") else number
            raise UserError(f"image {name} cannot be read: {error}") from error

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        return checked(batch_loader(self.ranges(size), self.fitted_batch, self.options.workers))

    def read_all(self) -> Iterator[np.ndarray]:
        """Every image, decoded by the loader's workers; with few at once, since each may have 100 MB."""
        if not self.options.workers:
            yield from map(self.read, range(len(self)))
            return
        for arrays in checked(batch_loader(self.ranges(4), self._read_some, self.options.workers)):
            yield from arrays

    def _read_some(self, rows: Sequence[int]) -> list[np.ndarray]:
        return [self.read(row) for row in rows]


def step_loader(images: ImageSet, sampler: StepSampler, options: ViewsOptions, workers: int) -> DataLoader:
    """Batches of the sampler's steps; see :meth:`ImageSet.step_batch`. A batch may be a :class:`UserError`."""
    return batch_loader(sampler, partial(images.step_batch, options=options), workers)


def _planes(image: np.ndarray) -> torch.Tensor:
    """H x W x 3 to 3 x H x W."""
    return torch.from_numpy(image).permute(2, 0, 1)
