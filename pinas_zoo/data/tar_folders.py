"""A tar file with a folder, or a tar file, for each class; an image is read when it is needed."""

from __future__ import annotations

import io
import os
from pathlib import Path

from pinas_zoo.data.class_folders import natural_key, printable
from pinas_zoo.data.decoding import MAX_BYTES, extensions
from pinas_zoo.data.tar_members import Member, read_part, regular_members
from pinas_zoo.errors import UserError


class TarFolders:
    """The images of a tar file, in the order of their names; holds places, no open file.

    The class is the first folder in which the images' paths differ, so that ``train/cat/day/1.jpg`` is of class cat if
    the tar file has ``train/dog`` too. Nothing is unpacked.

    Raises:
        UserError: No images, or the file is compressed, torn or beyond a limit.
    """

    def __init__(self, path: Path):
        self.path = path
        self.other = 0
        images: list[tuple[list[str], Member]] = []
        for member in regular_members(path, nested=True):
            parts = [part for part in member.name.split("/") if part not in ("", ".")]
            if _is_image(parts) and member.size <= MAX_BYTES:
                images.append((parts, member))
            else:
                self.other += 1
        if not images:
            raise UserError(f"expected a folder of images for each class in {path}, found no image")
        depth = 0  # folders that all images share, above the classes
        while min(len(parts) for parts, _ in images) > depth + 2 and len({parts[depth] for parts, _ in images}) == 1:
            depth += 1
        images.sort(key=lambda image: (natural_key(image[1].name), image[1].name))
        owners = [parts[depth] if len(parts) > depth + 1 else "" for parts, _ in images]
        names = sorted(set(owners), key=lambda name: (natural_key(name), name))
        labels = {name: label for label, name in enumerate(names)}
        self.targets = [labels[name] for name in owners]
        self.class_names = tuple(map(printable, names))
        self.members = [member for _, member in images]

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, index: int) -> tuple[io.BytesIO, int]:
        _, offset, size = self.members[index]
        return io.BytesIO(read_part(self.path, offset, size)), self.targets[index]

    def filename(self, index: int) -> str:
        return f"{printable(self.members[index].name)} of {self.path}"

    def name(self, index: int) -> str:
        """The image's name wherever the tar file is."""
        return self.members[index].name

    def size(self, index: int) -> int:
        """Bytes of an image."""
        return self.members[index].size

    def note(self) -> str:
        """What is left out, in one line; empty if nothing is."""
        return f"left out of {self.path}: {self.other} files that are hidden or no images" if self.other else ""


def _is_image(parts: list[str]) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return bool(parts) and not hidden and os.path.splitext(parts[-1])[1].lower() in extensions()
