"""Read the index masks of a segmenter's data: which classes they hold, and by which numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.image_checks import read_header
from pinas_zoo.openmmlab.index_masks import IGNORED, label_counts
from pinas_zoo.openmmlab.new_config.class_names import ade20k_names, find_names
from pinas_zoo.openmmlab.new_config.coco_folder import listed
from pinas_zoo.openmmlab.new_config.mask_folder import Group, Pair, find_pairs, groups, split_pairs
from pinas_zoo.openmmlab.new_config.splits import hold_out, no_validation
from pinas_zoo.terminal import progress

THREADS = 4
WHITE = 255  # of masks that show one kind of object in white; other masks ignore pixels of this number
IGNORED_16_BIT = 65535  # mmseg takes it modulo 256
Counts = Mapping[Path, Mapping[int, int]]  # pixels by number, of each mask


@dataclass(frozen=True)
class MaskData:
    """What a segmenter is trained on.

    Attributes:
        train: Training pairs.
        val: Validation pairs.
        images: Numbers of training and of validation pairs.
        classes: Names.
        stored: The number in the masks of each class, where they are not 0, 1, 2, …
        ignore_zero: Masks count classes from 1, and 0 is ignored.
        sizes: W, H of the training images.
        notes: What is missing, odd, or was decided here; one line each.
    """

    train: tuple[Group, ...]
    val: tuple[Group, ...]
    images: tuple[int, int]
    classes: tuple[str, ...]
    stored: tuple[int, ...] | None
    ignore_zero: bool
    sizes: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """How the masks' numbers name classes; as in :class:`MaskData`."""

    classes: tuple[str, ...]
    stored: tuple[int, ...] | None = None
    ignore_zero: bool = False

    def of(self, number: int) -> str | None:
        """The class of a number; None where it is ignored."""
        place = self.stored.index(number) if self.stored and number in self.stored else number - self.ignore_zero
        known = number in self.stored if self.stored else 0 <= place < len(self.classes)
        return self.classes[place] if known else None


def look(root: Path) -> MaskData:
    """Find the images and masks below ``root``, and read all masks.

    Raises:
        UserError: There are no pairs, or masks are damaged, in colours, of another size, or of one class alone.
    """
    notes: list[str] = []
    train, val = split_pairs(root, find_pairs(root, notes), notes)
    counts, sizes = _read([*train, *val])
    seen = Counter(n for count in counts.values() for n in count)
    names, ade = find_names(root), ade20k_names(root)
    if names is None and ade is not None and max(seen) <= len(ade):
        notes.append(f"read as ADE20K: its {len(ade)} classes count from 1, 0 is ignored")
        numbers = Numbers(ade, ignore_zero=True)
    else:
        numbers = _numbers(names, seen, notes)
    if not val:
        train, val = _held_out(train, counts, notes)
    _say_what_is_rare(numbers, [[counts[pair.mask] for pair in pairs] for pairs in (train, val)], notes)
    return MaskData(
        groups(train),
        groups(val),
        (len(train), len(val)),
        numbers.classes,
        numbers.stored,
        numbers.ignore_zero,
        tuple(sizes[pair.mask] for pair in train),
        tuple(notes),
    )


def _read(pairs: Sequence[Pair]) -> tuple[Counts, Mapping[Path, tuple[int, int]]]:
    """Pixels by number of all masks, and W, H.

    Raises:
        UserError: A file is damaged, or a mask is in colours, lossy, or not of its image's size.
    """
    counts, sizes = {}, {}
    with ThreadPoolExecutor(THREADS) as pool, progress(len(pairs), label="masks", unit="mask") as meter:
        for pair, (count, size) in zip(pairs, pool.map(_read_one, pairs), strict=True):
            counts[pair.mask], sizes[pair.mask] = count, size
            meter.update()
    return counts, sizes


def _read_one(pair: Pair) -> tuple[dict[int, int], tuple[int, int]]:
    height, width = read_header(pair.image).size
    found = read_header(pair.mask).size
    if found != (height, width):
        raise UserError(
            f"expected {pair.mask} of {height} x {width} pixels, the size of {pair.image}, got {found[0]} x {found[1]}"
            "; a photo is turned as its EXIF data say; make the mask anew, or take both out"
        )
    return label_counts(pair.mask), (width, height)


def _numbers(found: tuple[tuple[str, ...], Path] | None, seen: Iterable[int], notes: list[str]) -> Numbers:
    """What the numbers in the masks stand for.

    Args:
        found: Names and their file.
        seen: All numbers in the masks.
        notes: Extended by what was decided.

    Raises:
        UserError: They are no class indices, or one class alone.
    """
    stored = {number for number in seen if number != IGNORED_16_BIT}
    if stored == {0, WHITE}:
        return _of_white_masks(found, notes)
    numbers = sorted(stored - {IGNORED})
    if not numbers or numbers[-1] > IGNORED or numbers[0] < 0:
        raise UserError(
            f"expected class indices from 0 to 254 in the masks, got {_shown(stored)}; write indices to them"
        )
    right = _named(*found, numbers, notes) if found else _unnamed(numbers, notes)
    if len(right.classes) < 2:
        raise UserError(
            f"expected two classes and more in the masks, got {_shown(stored)} alone, of which nothing can be learnt; "
            "give the background a number of its own, such as 0"
        )
    return right


def _of_white_masks(found: tuple[tuple[str, ...], Path] | None, notes: list[str]) -> Numbers:
    names = found[0] if found else ("background", "object")
    if len(names) == 1:
        names = ("background", *names)
    if len(names) != 2:
        raise UserError(f"expected 2 names for masks of 0 and {WHITE}, got {len(names)} in {found[1] if found else ''}")
    notes.append(f"the masks hold 0 and {WHITE} alone: read as class 0, {names[0]}, and class 1, {names[1]}")
    return Numbers(names, stored=(0, WHITE))


def _named(names: tuple[str, ...], file: Path, numbers: Sequence[int], notes: list[str]) -> Numbers:
    count = len(names)
    if numbers[-1] < count:
        return Numbers(names)
    if numbers[-1] == count:
        notes.append(f"{count} names in {file.name} and numbers up to {count}: 1 is the first class, 0 is ignored")
        return Numbers(names, ignore_zero=True)
    if len(numbers) == count:
        notes.append(f"the masks hold the numbers {_shown(numbers)}: read in this order as the names in {file.name}")
        return Numbers(names, stored=tuple(numbers))
    raise UserError(
        f"expected numbers from 0 to {count - 1} in the masks, the {count} names in {file}, got {_shown(numbers)}; "
        "name all classes there, in the order of the numbers"
    )


def _unnamed(numbers: Sequence[int], notes: list[str]) -> Numbers:
    notes.append(
        "no class names: put them in classes.txt beside the images, a name a line in the order of the masks' numbers, "
        "and run this again; or edit the config"
    )
    last = numbers[-1]
    if 2 * len(numbers) <= last:  # such as grey levels 0, 100, 200
        notes.append(f"the masks hold the numbers {_shown(numbers)}: read in this order as {len(numbers)} classes")
        return Numbers(tuple(f"class_{number}" for number in numbers), stored=tuple(numbers))
    if numbers[0] > 0:
        notes.append("no mask holds 0: 1 is the first class, and 0 would be ignored")
        return Numbers(tuple(f"class_{number}" for number in range(1, last + 1)), ignore_zero=True)
    return Numbers(tuple(f"class_{number}" for number in range(last + 1)))


def _held_out(pairs: Sequence[Pair], counts: Counts, notes: list[str]) -> tuple[list[Pair], list[Pair]]:
    by_name = {str(pair.image): pair for pair in pairs}
    train, val = hold_out({name: set(counts[pair.mask]) - {IGNORED} for name, pair in by_name.items()})
    if train == val:
        notes.append("one image alone: validation uses it, too, and says nothing about others")
    else:
        notes.append(no_validation(len(val), len(pairs)))
    return [by_name[name] for name in train], [by_name[name] for name in val]


def _say_what_is_rare(numbers: Numbers, splits: Sequence[Sequence[Mapping[int, int]]], notes: list[str]) -> None:
    pixels: list[Counter[str | None]] = [Counter() for _ in splits]
    for total, masks in zip(pixels, splits, strict=True):
        for mask in masks:
            for number, count in mask.items():
                total[numbers.of(number)] += count
    ignored = sum(total[None] for total in pixels) / sum(sum(total.values()) for total in pixels)
    if ignored:
        notes.append(
            f"{100 * ignored:.1f} % of the pixels are ignored ({'0 and 255' if numbers.ignore_zero else '255'})"
        )
    for total, where in zip(pixels, ("to learn from", "in validation"), strict=True):
        absent = [name for name in numbers.classes if not total[name]]
        if absent:
            notes.append(f"without a pixel {where}: {listed(absent)}")


def _shown(numbers: Iterable[int]) -> str:
    return listed([str(number) for number in sorted(numbers)])
