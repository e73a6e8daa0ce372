"""A folder with one sub-folder a class: which files are its images, and what is left out.

The class is the folder directly below the split; folders inside it belong to it. Nothing is opened but folders.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pinas_zoo.data.decoding import extensions
from pinas_zoo.data.image_files import open_image
from pinas_zoo.errors import UserError

# made by the system or by tools beside the user's folders; those that begin with a dot are hidden anyway
NOT_CLASSES = frozenset({"__MACOSX", "__pycache__", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"})
MAX_LINKED = 100_000  # folders that are reached through links
MAX_DEPTH = 64  # folders inside each other
DIGITS = re.compile(r"(\d{1,4000})")


def natural_key(name: str) -> list[int | str]:
    """Sorts ``2`` before ``10``, without regard to case, as timm sorts classes and images."""
    return [int(part) if k % 2 else part for k, part in enumerate(DIGITS.split(name.lower()))]


def printable(name: str) -> str:
    """A file's name as valid Unicode: bytes that are not UTF-8 become ``\\xe9``, as JSON and UTF-8 cannot hold them."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class ClassFolders:
    """The images of a split, in the order of their names.

    Links to files and folders are followed. Each folder is visited once: a link to one that is visited anyway, or that
    holds the split, is left out. An entry with an image's name that is no file is an error, and so is a class folder
    with files of which none is an image.

    Args:
        folder: The split.
        natural: Whether names sort by their numbers, as timm does; False as torchvision does.

    Raises:
        UserError: No images, a class without images, an image that is a folder, pipe or device, a folder that cannot be
            read.
    """

    def __init__(self, folder: Path, natural: bool = True):
        self.folder = folder
        self.left_out: Counter[str] = Counter()
        self.visited: set[str] = set()  # real paths
        found = self._walk()
        named = {name for _, name in found}
        self.empty = sorted(printable(name) for name in self._classes if name not in named)
        for name, others in self._classes.items():
            if name not in named and others:
                raise UserError(
                    f"expected images in the class folder {printable(str(folder / name))}, got {sum(others.values())} "
                    f"files of other kinds ({_counts(others)}); convert them, or move the folder away"
                )
        if not found:
            raise UserError(
                f"expected a folder of images for each class in {folder}, found no image: "
                f"{self.note() or 'it is empty'}"
            )
        key = natural_key if natural else lambda name: [name]
        names = sorted(named, key=lambda name: (key(name), name))
        self.class_to_idx = {name: label for label, name in enumerate(names)}
        found.sort(key=lambda item: (key(item[0]), item[0]))
        self.names = [name for name, _ in found]  # relative to the folder
        self.targets = [self.class_to_idx[name] for _, name in found]
        self.class_names = tuple(map(printable, names))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[BinaryIO, int]:
        return open_image(self.folder / self.names[index]), self.targets[index]

    def filename(self, index: int) -> str:
        return str(self.folder / self.names[index])

    def name(self, index: int) -> str:
        """The image's name wherever the folder is."""
        return self.names[index]

    def size(self, index: int) -> int:
        """Bytes of a file."""
        return (self.folder / self.names[index]).stat().st_size

    def note(self) -> str:
        """What is left out, in one line; empty if nothing is."""
        parts = [f"{what} ({count})" for what, count in sorted(self.left_out.items())]
        if self.empty:
            shown = ", ".join(map(repr, self.empty[:3])) + (", …" if len(self.empty) > 3 else "")
            parts.append(f"empty class folders ({len(self.empty)}: {shown})")
        return f"left out of {printable(str(self.folder))}: {', '.join(parts)}" if parts else ""

    def _walk(self) -> list[tuple[str, str]]:
        """Each image's path relative to the folder, and its class, which is ``""`` directly in the folder."""
        top = os.path.realpath(self.folder)
        self._classes: dict[str, Counter[str]] = {}  # files that are no images, by extension
        found: list[tuple[str, str]] = []
        links: list[tuple[str, str]] = []  # visited when all real folders are, which have the first claim
        ready = [("", "", top)]
        linked = 0
        while ready or links:
            through_link = not ready
            if ready:
                below, name, real = ready.pop()
            else:
                below, name = links.pop(0)
                real = os.path.realpath(self.folder / below)
            if real in self.visited or (through_link and os.path.commonpath([real, top]) == real):
                self.left_out["links to folders that are read already or contain this one"] += 1
                continue
            self.visited.add(real)
            linked += os.path.commonpath([real, top]) != top
            if linked > MAX_LINKED or below.count(os.sep) > MAX_DEPTH:
                raise UserError(
                    f"expected at most {MAX_DEPTH} folders inside each other and {MAX_LINKED} behind links in "
                    f"{self.folder}, got more at {printable(below)[:200]}"
                )
            for entry in self._entries(below):
                path = os.path.join(below, entry.name)
                owner = name or (entry.name if below == "" else "")
                if entry.name.startswith(".") or entry.name in NOT_CLASSES:
                    self.left_out["hidden files or folders"] += 1
                    continue
                kind = self._kind(entry, path)
                if kind == "folder":
                    if entry.is_symlink():
                        links.append((path, owner))
                    else:
                        ready.append((path, owner, os.path.join(real, entry.name)))
                    self._classes.setdefault(owner, Counter())
                elif _ending(path) in extensions() and kind == "file":
                    found.append((path, name))
                else:
                    ending = _ending(path)
                    self.left_out[f"files of {printable(ending) if ending else 'no extension'}"] += 1
                    if name:
                        self._classes[name][printable(ending) or "no extension"] += 1
        if len({name for _, name in found}) > 1:  # an image beside the class folders has no class
            beside = sum(name == "" for _, name in found)
            if beside:
                self.left_out["images outside the class folders"] += beside
                found = [item for item in found if item[1]]
        return found

    def _entries(self, below: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder / below) as entries:
                yield from sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(
                f"expected a folder that can be read, got {printable(str(self.folder / below))[:300]}: {error.strerror}"
            ) from None

    def _kind(self, entry: os.DirEntry[str], path: str) -> str:
        """``file``, ``folder`` or what else it is.

        Raises:
            UserError: It has an image's name, but is no file.
        """
        mode = 0
        with contextlib.suppress(OSError):  # a link to nothing, or to itself
            mode = entry.stat().st_mode if entry.is_symlink() else _mode(entry)
        if stat.S_ISREG(mode):
            return "file"
        folder = stat.S_ISDIR(mode)
        if _ending(path) in extensions() and not (folder and os.sep not in path):  # a class may be called v1.ico
            what = "a folder" if folder else "a link to nothing" if entry.is_symlink() and not mode else "no file"
            raise UserError(
                f"expected an image, got {printable(str(self.folder / path))}, which is {what}; move it away, or give "
                "it another name"
            )
        return "folder" if folder else "other"


def _mode(entry: os.DirEntry[str]) -> int:
    """The kind of an entry that is no link, for which most systems need no call."""
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFDIR if entry.is_dir(follow_symlinks=False) else stat.S_IFIFO


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counter.most_common(4))
