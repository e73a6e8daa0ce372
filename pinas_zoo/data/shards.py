"""WebDataset's tar files on a disk, with random access: headers are read once, an image when it is needed.

A shard is an uncompressed tar file. Members that follow each other and are named alike up to the first dot are a
sample, such as ``000123.jpg`` and ``000123.cls``. The image and the label are read and everything else is left alone;
nothing is unpacked, unpickled or executed, and no address is opened.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from pinas_zoo.bounded_reading import MIB, read_json
from pinas_zoo.data.class_folders import printable
from pinas_zoo.data.decoding import MAX_BYTES
from pinas_zoo.data.tar_members import Member, read_part, regular_members
from pinas_zoo.errors import UserError

IMAGES = ("jpg", "jpeg", "png", "webp")  # the first that a sample has
NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)")  # as WebDataset parts a member's name
INFO = ("_info.json", "info.json")  # as timm looks for it
LABEL_BYTES = 2**20  # of a label's file, at most
INFO_LIMIT = 16 * MIB  # of _info.json
MAX_LABEL = 2**31 - 1
RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
MAX_SHARDS = 100_000  # that a pattern names
MAX_BRACES = 8  # in a pattern


class ShardReader:
    """A split of tar files; holds places, no open file.

    A label is the integer in ``.cls``; or in ``.json``, there under ``label`` or what the split's ``alt_label`` in
    ``_info.json`` says, which goes before ``.cls``. Samples with a label below 0 are left out, as timm does.

    Args:
        root: The folder of the shards, and of ``_info.json`` where there is one.
        split: A name in ``_info.json``; or shards as in ``train-{0000..0146}.tar`` or ``train-*.tar``, several of which
            ``::`` parts; or a name whose shards are ``NAME-*.tar``, ``NAME_*.tar`` or ``NAME/*.tar``.

    Raises:
        UserError: No such shards, one that is torn or compressed, an image without a label, or beyond a limit.
    """

    def __init__(self, root: Path, split: str):
        self.shards, alt_label = find_shards(root, split)
        self.keys: list[str] = []
        self.targets: list[int] = []
        unlabelled = 0
        places: list[tuple[int, int, int]] = []
        for number, shard in enumerate(self.shards):
            for key, target, offset, size in read_headers(shard, alt_label):
                if target < 0:
                    unlabelled += 1
                    continue
                self.keys.append(key)
                self.targets.append(target)
                places.append((number, offset, size))
        if not places:
            raise UserError(f"expected images in {self.shards[0]} and the like, found none that ends in {IMAGES}")
        self.places = np.array(places, dtype=np.int64)  # N x 3: shard, first byte, bytes
        self.left_out = f"left out of the split {split!r}: {unlabelled} images of labels below 0" if unlabelled else ""

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        shard, offset, size = self.places[index].tolist()
        return io.BytesIO(read_part(self.shards[shard], offset, size)), self.targets[index]

    def filename(self, index: int) -> str:
        return f"{self.keys[index]} of {self.shards[self.places[index, 0]]}"

    def name(self, index: int) -> str:
        """The image's name wherever the shards are."""
        return f"{self.shards[self.places[index, 0]].name}/{self.keys[index]}"

    def size(self, index: int) -> int:
        """Bytes of an image."""
        return int(self.places[index, 2])

    def note(self) -> str:
        """What is left out, in one line; empty if nothing is."""
        return self.left_out


def find_shards(root: Path, split: str) -> tuple[list[Path], str]:
    """The shards of a split in order, and the key of its labels where they are in ``.json``.

    Raises:
        UserError: None, or one that is not there.
    """
    info = next((root / name for name in INFO if (root / name).is_file()), None)
    known: dict[str, Any] = {}
    if info is not None:
        try:
            splits = read_json(info, "splits with filenames", INFO_LIMIT)["splits"].items()
            known = {name: ([root / f for f in s["filenames"]], s.get("alt_label") or "") for name, s in splits}
            if split in known and not known[split][0]:
                raise ValueError(f"no shards of {split!r}")
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"expected splits with filenames in {info}, as timm reads it, got {error!r}") from error
    if split in known:
        return _there(known[split][0], root), str(known[split][1])
    if split.split("|")[0].endswith(".tar"):
        patterns = split.split("|")[0].split("::")  # timm has the number of samples after |
    else:
        patterns = [f"{split}-*.tar", f"{split}_*.tar", f"{split}/*.tar"]
    shards = []
    for name in (name for pattern in patterns for name in expand(pattern)):
        try:
            shards += sorted(root.glob(name)) if "*" in name or "?" in name else [root / name]
        except (ValueError, NotImplementedError) as error:
            raise UserError(f"expected shards as in train-*.tar, got the pattern {name!r}: {error}") from None
        if len(shards) > MAX_SHARDS:
            raise UserError(f"expected at most {MAX_SHARDS} shards, got more from the split {split[:100]!r}")
    if not shards:
        raise UserError(
            f"expected tar shards of the split {split!r} in {root}, found none as {', '.join(patterns)}"
            f"{f' and {info.name} has {sorted(known)}' if info else ''}; "
            'name them, as in --set "data.train_split=train-{0000..0146}.tar"'
        )
    return _there(shards, root), ""


def _there(shards: list[Path], root: Path) -> list[Path]:
    for shard in shards:
        if ".." in shard.relative_to(root).parts if shard.is_relative_to(root) else True:
            raise UserError(f"expected shards in data.root={root}, got {shard}; set data.root to their folder")
        try:
            found = shard.is_file()
        except ValueError:  # a name that no file can have
            found = False
        if not found:
            raise UserError(f"expected the shard {shard}, found no such file")
    return shards


def expand(pattern: str) -> Iterator[str]:
    """``a-{08..10}.tar`` and ``{a,b}.tar`` to the names that they stand for, from left to right."""
    if pattern.count("{") > MAX_BRACES:
        raise UserError(f"expected a pattern of at most {MAX_BRACES} braces, got {pattern[:100]!r}")
    brace = re.search(r"\{([^{}]*)\}", pattern)
    if brace is None:
        yield pattern
        return
    ends = RANGE.fullmatch(brace[1])
    if ends:
        first, last = int(ends[1]), int(ends[2])
        width = len(ends[1]) if ends[1].startswith("0") else 0
        if last - first >= MAX_SHARDS:
            raise UserError(f"expected at most {MAX_SHARDS} shards, got {{{brace[1]}}} in {pattern[:100]!r}")
        choices = [f"{number:0{width}d}" for number in range(first, last + 1)]
    else:
        choices = brace[1].split(",")
    for choice in choices:
        yield from expand(pattern[: brace.start()] + choice + pattern[brace.end() :])


def read_headers(shard: Path, alt_label: str = "") -> Iterator[tuple[str, int, int, int]]:
    """Of each image: its key, label, first byte in the file, and number of bytes.

    Raises:
        UserError: As :class:`ShardReader`.
    """
    named = ((NAME.fullmatch(member.name), member) for member in regular_members(shard))
    parts = ((name[1], name[2].lower(), member) for name, member in named if name)
    for key, sample in groupby(parts, key=lambda part: part[0]):
        members = {extension: member for _, extension, member in sample}
        image = next((members[extension] for extension in IMAGES if extension in members), None)
        if image is None:
            continue
        name = f"{printable(key)} of {shard}"
        if image.size > MAX_BYTES:
            raise UserError(f"expected images of at most {MAX_BYTES // 2**20} MiB, got {image.size} bytes for {name}")
        yield printable(key), _label(shard, members, alt_label, name), image.offset, image.size


def _label(shard: Path, members: dict[str, Member], alt_label: str, name: str) -> int:
    in_json = bool(alt_label) or "cls" not in members
    member = members.get("json" if in_json else "cls")
    if member is None:
        raise UserError(f"expected a label in .{'json' if alt_label else 'cls or .json'} beside {name}, found none")
    text = read_part(shard, member.offset, min(member.size, LABEL_BYTES))
    try:
        value = json.loads(text)[alt_label or "label"] if in_json else text.decode()
        label = int(value)
        if "_" in str(value) or isinstance(value, bool) or label != float(value) or abs(label) > MAX_LABEL:
            raise ValueError(value)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        where = f"under {alt_label or 'label'!r} in .json" if in_json else "in .cls"
        raise UserError(f"expected a class number {where} beside {name}, got {text[:40]!r}") from error
    return label
