"""Images of which a network always sees the same random view, such as the crops that recalibrate batch norm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from pinas_zoo.data.augmentation import draw_views, image_views, view_uniforms
from pinas_zoo.data.images import ImageSet, InMemory, ViewsOptions
from pinas_zoo.data.loader import batch_loader, checked


@dataclass(frozen=True)
class FixedViews:
    """One random view of each image, which is the same in every pass.

    A view follows from the seed, the stream and the image's place in the set. It does not depend on the batch size, on
    where the images are kept, or on the process, so that several workers, and a run that is resumed, see the same ones.

    Args:
        images: The images. Views of those that are held in memory are made once and kept.
        options: Augmentation, seed and stream; of the views of an image, the first is taken.
        workers: Processes that make the views of images that are read from files.
    """

    images: ImageSet
    options: ViewsOptions
    workers: int = 0

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """Batches of ``pixels``, uint8 n x 3 x S x S, and ``labels``, n, in the order of the images."""
        ranges = self.images.ranges(size)
        if isinstance(self.images, InMemory):
            for part in ranges:
                rows = slice(part.start, part.stop)
                yield {"pixels": self.kept[rows], "labels": self.images.labels[rows]}
        else:
            yield from checked(batch_loader(ranges, self.batch, self.workers))

    @cached_property
    def kept(self) -> torch.Tensor:
        """The views of all images: uint8 N x 3 x S x S."""
        size = self.images.view_size
        made = torch.empty(len(self), 3, size, size, dtype=torch.uint8)
        for part in self.images.ranges(256):
            made[part.start : part.stop] = self.batch(part)["pixels"]
        return made

    def batch(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        """The views of some images, by their places in the set."""
        uniforms = view_uniforms(self.options.seed, 0, rows, 1, self.options.stream)  # n x 1 x UNIFORMS
        views = [self._view(row, of_image) for row, of_image in zip(rows, uniforms, strict=True)]
        pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)  # n x 3 x S x S
        return {"pixels": pixels, "labels": self.images.labels[list(rows)]}

    def _view(self, row: int, uniforms: np.ndarray) -> np.ndarray:
        """uint8 S x S x 3, of uniform numbers 1 x UNIFORMS."""
        image = self.images.read(row)
        draws = draw_views(self.options.views, image.shape[0], image.shape[1], uniforms, self.images.view_size)
        return image_views(image, draws)[0]
