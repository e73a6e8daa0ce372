"""WebDataset's tar files on a disk, with random access: headers are read once, an image when it is needed.

A shard is an uncompressed tar file. Members that follow each other and are named alike up to the first dot are a
sample, such as ``000123.jpg`` and ``000123.cls``. The image and the label are read and everything else is left alone;
nothing is unpacked, unpickled or executed, and no address is opened.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from timm.data.readers.reader import Reader

from pinas_zoo.errors import UserError

IMAGES = ("jpg", "jpeg", "png", "webp")  # the first that a sample has
NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]*)")  # as WebDataset parts a member's name
INFO = ("_info.json", "info.json")  # as timm looks for it
LABEL_BYTES = 2**20  # of a label's file, at most
RANGE = re.compile(r"(\d+)\.\.(\d+)")


class ShardReader(Reader):
    """A split of tar files as one of timm's readers; holds places, no open file.

    A label is the integer in ``.cls``; or in ``.json``, there under ``label`` or what the split's ``alt_label`` in
    ``_info.json`` says, which goes before ``.cls``. Samples with a label below 0 are left out, as timm does.

    Args:
        root: The folder of the shards, and of ``_info.json`` where there is one.
        split: A name in ``_info.json``; or shards as in ``train-{0000..0146}.tar`` or ``train-*.tar``, several of which
            ``::`` parts; or a name whose shards are ``NAME-*.tar``, ``NAME_*.tar`` or ``NAME/*.tar``.

    Raises:
        UserError: No such shards, one that is torn or compressed, an image without a label.
    """

    def __init__(self, root: Path, split: str):
        super().__init__()
        self.shards, alt_label = find_shards(root, split)
        self.keys: list[str] = []
        self.targets: list[int] = []
        places: list[tuple[int, int, int]] = []
        for number, shard in enumerate(self.shards):
            for key, target, offset, size in read_headers(shard, alt_label):
                self.keys.append(key)
                self.targets.append(target)
                places.append((number, offset, size))
        if not places:
            raise UserError(f"expected images in {self.shards[0]} and the like, found none that ends in {IMAGES}")
        self.places = np.array(places, dtype=np.int64)  # N x 3: shard, first byte, bytes

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        shard, offset, size = self.places[index].tolist()
        with self.shards[shard].open("rb", buffering=0) as file:
            file.seek(offset)
            return io.BytesIO(file.read(size)), self.targets[index]

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        return self.keys[index] if basename else f"{self.keys[index]} of {self.shards[self.places[index, 0]]}"


def find_shards(root: Path, split: str) -> tuple[list[Path], str]:
    """The shards of a split in order, and the key of its labels where they are in ``.json``.

    Raises:
        UserError: None, or one that is not there.
    """
    info = next((root / name for name in INFO if (root / name).is_file()), None)
    known: dict[str, Any] = {}
    if info is not None:
        try:
            splits = json.loads(info.read_text(encoding="utf-8"))["splits"].items()
            known = {name: ([root / f for f in s["filenames"]], s.get("alt_label") or "") for name, s in splits}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"expected splits with filenames in {info}, as timm reads it, got {error!r}") from error
    if split in known:
        return _there(known[split][0]), known[split][1]
    if split.split("|")[0].endswith(".tar"):
        patterns = split.split("|")[0].split("::")  # timm has the number of samples after |
    else:
        patterns = [f"{split}-*.tar", f"{split}_*.tar", f"{split}/*.tar"]
    shards = []
    for name in (name for pattern in patterns for name in expand(pattern)):
        shards += sorted(root.glob(name)) if "*" in name or "?" in name else [root / name]
    if not shards:
        raise UserError(
            f"expected tar shards of the split {split!r} in {root}, found none as {', '.join(patterns)}"
            f"{f' and {info.name} has {sorted(known)}' if info else ''}; "
            'name them, as in --set "data.train_split=train-{0000..0146}.tar"'
        )
    return _there(shards), ""


def _there(shards: list[Path]) -> list[Path]:
    for shard in shards:
        if not shard.is_file():
            raise UserError(f"expected the shard {shard}, found no such file")
    return shards


def expand(pattern: str) -> Iterator[str]:
    """``a-{08..10}.tar`` and ``{a,b}.tar`` to the names that they stand for, from left to right."""
    brace = re.search(r"\{([^{}]*)\}", pattern)
    if brace is None:
        yield pattern
        return
    ends = RANGE.fullmatch(brace[1])
    if ends:
        width = len(ends[1]) if ends[1].startswith("0") else 0
        choices = [f"{number:0{width}d}" for number in range(int(ends[1]), int(ends[2]) + 1)]
    else:
        choices = brace[1].split(",")
    for choice in choices:
        yield from expand(pattern[: brace.start()] + choice + pattern[brace.end() :])


def read_headers(shard: Path, alt_label: str = "") -> Iterator[tuple[str, int, int, int]]:
    """Of each image: its key, label, first byte in the file, and number of bytes.

    Raises:
        UserError: As :class:`ShardReader`.
    """
    try:
        with tarfile.open(shard, "r:") as tar:
            named = ((NAME.fullmatch(m.name), m) for m in tar if m.isreg() and not m.issparse())
            parts = ((name[1], name[2].lower(), member) for name, member in named if name)
            for key, sample in groupby(parts, key=lambda part: part[0]):
                members = {extension: member for _, extension, member in sample}
                image = next((members[extension] for extension in IMAGES if extension in members), None)
                if image is None:
                    continue
                label = _label(tar, members, alt_label, f"{key} of {shard}")
                if label >= 0:
                    yield key, label, image.offset_data, image.size
            with shard.open("rb") as file:  # tarfile takes what is no header for the end
                file.seek(tar.offset)
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError(f"no header and no end at byte {tar.offset}")
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"expected an uncompressed tar file, got {shard}: {error}; copy or unpack it again") from error


def _label(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], alt_label: str, name: str) -> int:
    in_json = bool(alt_label) or "cls" not in members
    member = members.get("json" if in_json else "cls")
    if member is None:
        raise UserError(f"expected a label in .{'json' if alt_label else 'cls or .json'} beside {name}, found none")
    file = tar.extractfile(member)
    assert file is not None  # it is a file
    text = file.read(LABEL_BYTES)
    try:
        return int(json.loads(text)[alt_label or "label"] if in_json else text)
    except (ValueError, KeyError, TypeError) as error:
        where = f"under {alt_label or 'label'!r} in .json" if in_json else "in .cls"
        raise UserError(f"expected a class number {where} beside {name}, got {text[:40]!r}") from error
