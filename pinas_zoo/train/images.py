"""Images of a split through timm's transforms, as a function of (seed, step, position in the batch)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform

from pinas_zoo.data.image_files import central_part
from pinas_zoo.data.image_record import record_of
from pinas_zoo.data.images import Files, ImageSet, Indices, ViewsOptions
from pinas_zoo.data.loader import BatchPart, batch_loader, checked
from pinas_zoo.data.memory import hold_in_memory
from pinas_zoo.data.options import Data
from pinas_zoo.data.sources import check_apart, note_of
from pinas_zoo.data.splits import GIB, limited, load_split
from pinas_zoo.errors import UserError
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.train.config import Augment, Recipe

Transform = Callable[[Any], Any]
AnyData = TypeVar("AnyData", bound=Data)
KEPT_BYTES = 2**28  # images without augmentation are kept up to this; they are the same in each evaluation
NAMED = 3  # files that a message names


@dataclass(frozen=True)
class TransformedImages(ImageSet):
    """An image set whose images go through timm's transforms, which run in the workers of the loader.

    Args:
        images: The images.
        data_config: timm's ``resolve_data_config``: input_size, interpolation, mean, std, crop_pct, crop_mode.
        augment: Augmentation of training batches.
        workers: Processes that read images for evaluation.
    """

    images: ImageSet
    data_config: Mapping[str, Any]
    augment: Augment = field(default_factory=Augment)
    workers: int = 0

    @property
    def labels(self) -> torch.Tensor:  # type: ignore[override]
        return self.images.labels

    @property
    def view_size(self) -> int:
        return int(self.data_config["input_size"][-1])

    def subset(self, indices: Indices) -> TransformedImages:
        return replace(self, images=self.images.subset(indices))

    def joined(self, other: ImageSet) -> TransformedImages:
        assert isinstance(other, TransformedImages)
        return replace(self, images=self.images.joined(other.images))

    def read(self, row: int) -> np.ndarray:
        return self.images.read(row)

    @cached_property
    def _training(self) -> tuple[Transform, Transform, Transform]:
        """timm's transform in three parts: crop and mirroring, augmentation, to uint8 3 x S x S."""
        options = self.augment.model_dump(exclude={"re_prob", "re_mode", "re_count"})
        shown = {key: self.data_config[key] for key in ("input_size", "mean", "std")}
        try:
            parts: Any = create_transform(**shown, **options, is_training=True, use_prefetcher=True, separate=True)
        except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"expected augmentation that timm knows, got augment.auto_augment={self.augment.auto_augment!r}: "
                f"{type(error).__name__} {error}; try 'rand-m9-mstd0.5'"
            ) from None
        return parts

    @cached_property
    def _evaluation(self) -> Transform:
        made: Any = create_transform(**self.data_config, is_training=False, use_prefetcher=True)
        return made

    def check(self) -> None:
        """Check the augmentation.

        Raises:
            UserError: timm does not know it.
        """
        _ = self._training

    def step_batch(self, part: BatchPart, options: ViewsOptions) -> dict[str, Any]:
        """As in :class:`~pinas_zoo.data.images.ImageSet`; the first of several views is the one without augmentation.

        AugMix's paper compares the prediction of a clean image with those of two augmented versions of it.
        """
        rng = step_rng(options.seed, part.step, Stream.TRAIN_TRANSFORM)
        seeds = rng.integers(2**32, size=part.positions.stop)[part.first :].tolist()  # by position, so for any process
        with kept_generators():
            views = [self._views(row, seed, options.num_views) for row, seed in zip(part.indices, seeds, strict=True)]
        return {"views": torch.stack(views), "labels": self.labels[part.indices]}  # n x V x 3 x S x S

    def _views(self, row: int, seed: int, num_views: int) -> torch.Tensor:
        """uint8 V x 3 x S x S."""
        crop, augment, to_tensor = self._training
        seed_generators(seed)
        image = crop(Image.fromarray(self.read(row)))
        clean = [image] if num_views > 1 else []
        made = clean + [augment(image) for _ in range(num_views - len(clean))]
        return torch.stack([to_tensor(view) for view in made])  # V x 3 x S x S

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        """Batches without augmentation, in order: ``pixels``, uint8 n x 3 x S x S, and ``labels``, n."""
        if 3 * self.view_size**2 * len(self) <= KEPT_BYTES:
            for part in self.ranges(size):
                rows = slice(part.start, part.stop)
                yield {"pixels": self._kept[rows], "labels": self.labels[rows]}
        else:
            yield from checked(batch_loader(self.ranges(size), self._evaluated, self.workers))

    @cached_property
    def _kept(self) -> torch.Tensor:
        """uint8 N x 3 x S x S."""
        return torch.cat([b["pixels"] for b in checked(batch_loader(self.ranges(64), self._evaluated, self.workers))])

    def _evaluated(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        images = [Image.fromarray(self.read(row)) for row in rows]
        if self.data_config["crop_mode"] == "center":  # a long, narrow image would be resized as a whole
            images = [central_part(image) for image in images]
        pixels = [self._evaluation(image) for image in images]
        return {"pixels": torch.stack(pixels), "labels": self.labels[list(rows)]}


@contextmanager
def kept_generators() -> Iterator[None]:
    """Context manager after which the generators of Python, NumPy and torch's CPU are what they were before."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def seed_generators(seed: int) -> None:
    """Seed the generators of Python, NumPy and torch's CPU: timm's transforms and its mixup draw from all three."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  the one that timm draws from
    torch.default_generator.manual_seed(seed)


@dataclass(frozen=True)
class Splits:
    """Images to train and to test on, and what was left out of them."""

    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    unreadable: tuple[str, ...] = ()  # reasons, one for each image that is left out
    notes: tuple[str, ...] = ()  # lines about files that are no images
    sources: Mapping[str, Any] = field(default_factory=dict)  # "train" and "test": all images in files

    @cached_property
    def record(self) -> dict[str, Any]:
        """What tells these images from others."""
        return record_of(self.class_names, self.sources)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def open_images(recipe: Recipe) -> Splits:
    """Open the images of a recipe; they are decoded when they fit into ``data.memory_gib``.

    Raises:
        UserError: No folder, fewer than two classes, classes that differ between the splits, a class without training
            images, or an image that cannot be decoded where ``skip_unreadable`` is off.
    """
    data, seed = recipe.data.table(), recipe.seed
    train, names = load_split(data, data.train_split, seed)
    check_classes(names, data, data.train_split)
    if recipe.holdout is None:
        if data.train_split == data.test_split:
            raise UserError(
                f"expected a test split that is not trained on, got {data.test_split!r} for both; try --set holdout=0.2"
            )
        test, test_names = load_split(data, data.test_split, seed)
        check_classes(test_names, data, data.test_split)
        if isinstance(train, Files) and isinstance(test, Files):
            check_apart(train.dataset, test.dataset)
        if test_names != names:
            raise UserError(
                f"expected the same classes in {data.train_split!r} and {data.test_split!r} of {data.root}, got "
                f"{len(names)} and {len(test_names)}: {sorted(set(names) ^ set(test_names))[:5]} differ"
            )
    else:
        train, test = hold_out(train, recipe.holdout, seed, names)
        test = limited(test, data.max_test, seed)
    if len(names) < 2:
        raise UserError(
            f"expected a folder of images for each of at least 2 classes in {data.root}, got {len(names)}: "
            f"{', '.join(names) or 'none'}"
        )
    files = [images for images in (train, test) if isinstance(images, Files)]
    splits = (("train", train),) if recipe.holdout is not None else (("train", train), ("test", test))
    sources = {name: images.dataset for name, images in splits if isinstance(images, Files)}
    notes = tuple(dict.fromkeys(note for images in files if (note := note_of(images.dataset))))
    unreadable: list[str] = []
    if recipe.skip_unreadable:
        train, reasons = readable(train, data.workers)
        test, more = readable(test, data.workers)
        unreadable = reasons + more
    counts = np.bincount(train.labels.numpy(), minlength=len(names))
    if not counts.all():
        raise UserError(f"expected training images of every class, got none of {names[int(counts.argmin())]!r}")
    if not len(test):
        raise UserError(f"expected images in the split {data.test_split!r} of {data.root}, got none")
    if isinstance(train, Files) and isinstance(test, Files):
        train, test = hold_in_memory([train, test], data.memory_gib * GIB)
    return Splits(train, test, names, tuple(unreadable), notes, sources)


def hold_out(images: ImageSet, share: float, seed: int, names: Sequence[str]) -> tuple[ImageSet, ImageSet]:
    """Split images into those to train and to test on, by class; at least one of each class is on either side.

    Raises:
        UserError: A class of one image.
    """
    order = torch.from_numpy(step_rng(seed, 0, Stream.TEST_SPLIT).permutation(len(images)))
    held = torch.zeros(len(images), dtype=torch.bool)
    for label in images.labels.unique().tolist():
        rows = order[images.labels[order] == label]
        if len(rows) < 2:
            raise UserError(
                f"expected at least 2 images of every class to hold out {share:.0%}, got one of {names[label]!r}; add "
                "images, or name a test split with --set data.test_split=NAME"
            )
        held[rows[: max(1, round(share * len(rows)))]] = True
    rows = torch.arange(len(images))
    return images.subset(rows[~held]), images.subset(rows[held])


def readable(images: ImageSet, workers: int) -> tuple[ImageSet, list[str]]:
    """The images that can be decoded, in their order, and a reason for each of the others; all of them are decoded."""

    def reasons(rows: Sequence[int]) -> list[str | None]:
        return [_why_unreadable(images, row) for row in rows]

    found = [reason for part in checked(batch_loader(images.ranges(64), reasons, workers)) for reason in part]
    rows = [row for row, reason in enumerate(found) if reason is None]
    return images.subset(torch.tensor(rows, dtype=torch.long)), [reason for reason in found if reason is not None]


def _why_unreadable(images: ImageSet, row: int) -> str | None:
    try:
        images.read(row)
    except UserError as error:
        return str(error)
    return None


def left_out(reasons: Sequence[str]) -> str:
    """One line about the images that were left out."""
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return f"{len(reasons)} images cannot be decoded and are left out: {'; '.join(reasons[:NAMED])}{more}"


def located(data: AnyData, split: str) -> tuple[AnyData, str]:
    """The table and the split that read ``data.root``: its folder of that split, or itself when it holds the classes.

    timm's other names of a split (``val`` for ``validation``, …) count as the split. A folder that has any split holds
    no classes.
    """
    root = Path(data.root)
    if data.type != "timm" or data.name or not root.is_dir() or has_split(data, split):
        return data, split
    if any((root / name).exists() for names in SYNONYMS for name in names):
        return data, split
    place = root.resolve()
    return data.model_copy(update={"root": str(place.parent)}), place.name


def has_split(data: Data, split: str) -> bool:
    """Whether ``data.root`` has a folder or tar file of a split, by one of timm's names."""
    names = next((names for names in SYNONYMS if split in names), (split,))
    return any((Path(data.root) / name).exists() for name in names)


def check_classes(names: Sequence[str], data: Data, split: str) -> None:
    """Check that the images of a split lie in folders of classes.

    Raises:
        UserError: Images lie beside the folders, or in none.
    """
    if "" in names:
        raise UserError(
            f"expected a folder of images for each class in {split!r} of {data.root}, got images that lie in none; "
            "move them into folders named after their classes"
        )


SYNONYMS = (
    ("train", "training"),
    ("val", "valid", "validation", "eval", "evaluation"),
    ("test",),
)  # the first are timm's
