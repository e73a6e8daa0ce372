"""Where the images of a split are: class folders, tar files, shards, or a data set that timm or torchvision reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from pinas_zoo.data.class_folders import ClassFolders, printable
from pinas_zoo.data.image_files import open_image
from pinas_zoo.data.options import Data
from pinas_zoo.data.shards import ShardReader
from pinas_zoo.data.tar_folders import TarFolders
from pinas_zoo.errors import UserError

NAMED = 5  # folders that a message names
LONGEST_NAME = 200  # characters of a split; longer ones can be no folder's on most systems
# names that stand for each other where a folder has another one, as in timm
SAME_SPLIT = (("train", "training"), ("val", "valid", "validation", "eval", "evaluation"))
SIZED = 2**16  # images of which the sizes enter the digest, evenly spread
READ_BYTES = 2**26  # of all files together, which are read for the digest if there are no more
HASHED_BYTES = 2**28  # of a data set in one array, which is hashed in full
OWN = (ClassFolders, TarFolders, ShardReader)


class SplitMissing(UserError):
    """A folder of images has no folder or tar file of a split.

    Args:
        root: The folder of images.
        split: Name of the split.
        cure: How the command takes the name of another split.
    """

    def __init__(self, root: Path, split: str, cure: str = "--set data.train_split=NAME or data.test_split=NAME"):
        self.root, self.split = root, split
        folders: list[str] = []
        with suppress(OSError):
            folders = sorted(printable(path.name) for path in root.iterdir() if path.is_dir())
        found = f"{', '.join(folders[:NAMED])}{', …' if len(folders) > NAMED else ''}" or "none"
        super().__init__(
            f"expected the folder {split!r} in {printable(str(root))}, found {found}; name another with {cure}"
        )


def open_split(options: Data, split: str) -> Any:
    """A split's images. They have ``len`` and ``[number]``, which gives an image and its label.

    Raises:
        SplitMissing: ``data.root`` has no folder of that name.
        UserError: It cannot be opened, or is not below ``data.root``.
    """
    kind, slash, rest = options.name.partition("/")
    kind = kind.lower() if slash else ""
    if kind in ("tfds", "hfids"):
        raise UserError(
            f"expected a data set with random access, got the stream {options.name!r}; "
            f"{'try hfds/ in place of hfids/' if kind == 'hfids' else 'write it to a folder'}, or copy its tar shards "
            "to a disk and take data.name=wds/"
        )
    if not root_found(options):
        raise UserError(
            f"expected images in data.root, found no folder {options.root!r}; "
            "name where they are, as in `--set data.root=FOLDER`"
        )
    if kind == "wds":
        return ShardReader(Path(options.root), split)
    folders = kind == "torch" and rest.lower() in ("folder", "image_folder")
    if folders or kind not in ("torch", "hfds"):  # timm, too, takes other names for those of folders
        path = split_path(Path(options.root), split)
        return TarFolders(path) if path.is_file() else ClassFolders(path, natural=not folders)
    return _other(options, split)


def root_found(options: Data) -> bool:
    """Whether there is what the reader reads: a folder or file at ``data.root``, which some readers do not need."""
    return options.type != "timm" or options.name.lower().startswith("hfds/") or Path(options.root).exists()


def split_path(root: Path, split: str) -> Path:
    """The folder or tar file of a split: of its name, or of one that stands for it.

    Raises:
        SplitMissing: There is none.
        UserError: The name leaves the root or is the root.
    """
    parts = PurePath(split).parts
    if not parts or ".." in parts or PurePath(split).is_absolute() or "\0" in split or len(split) > LONGEST_NAME:
        raise UserError(
            f"expected a split as the name of a folder or .tar file in {root}, got {split[:LONGEST_NAME]!r}; set "
            "data.root to the folder above it"
        )
    names = [split, *(name for same in SAME_SPLIT if split in same for name in same)]
    for path in (root / name for name in names):
        if path.is_dir() or (path.is_file() and path.suffix == ".tar"):
            return path
    raise SplitMissing(root, split)


def check_apart(train: Any, test: Any) -> None:
    """Check that a test split is not trained on: that the two read no folder or file in common.

    Raises:
        UserError: They do.
    """
    both = _places(train) & _places(test)
    if both:
        raise UserError(
            f"expected a test split that is not trained on, got {min(both)} in both; see data.train_split, "
            "data.test_split and the links in them"
        )


def _places(source: Any) -> set[str]:
    if isinstance(source, ClassFolders):
        return source.visited
    if isinstance(source, ShardReader):
        return {os.path.realpath(shard) for shard in source.shards}
    return {os.path.realpath(source.path)} if isinstance(source, TarFolders) else set()


def _other(options: Data, split: str) -> Any:
    from timm.data import create_dataset

    try:
        dataset: Any = create_dataset(options.name, root=options.root, split=split)
    except UserError:
        raise
    except Exception as error:  # each of timm's readers has its own
        raise UserError(
            f"data set {options.name!r}, split {split!r} of {options.root!r} cannot be opened: {error}; "
            "if the folder holds folders of classes, try --set data.name= to read those"
        ) from error
    if hasattr(dataset, "loader"):  # torchvision's data sets of files
        dataset.loader = lambda path: open_image(Path(path))
    return getattr(dataset, "reader", dataset)


def labels_of(source: Any) -> torch.Tensor:
    """Labels of all images; none is decoded for it where they are kept apart.

    Raises:
        UserError: A label that is no class number, or is larger than there are images.
    """
    if hasattr(source, "targets"):
        labels = source.targets
    elif hasattr(source, "iter_targets"):
        labels = list(source.iter_targets())
    elif hasattr(source, "samples"):
        labels = [label for _, label in source.samples]
    else:
        labels = [source[number][1] for number in range(len(source))]
    try:
        found = torch.as_tensor(labels).long()
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise UserError(f"expected class numbers as labels, got others: {error}") from None
    if len(found) and not 0 <= int(found.min()) <= int(found.max()) < max(len(found), len(class_names(source, None))):
        raise UserError(
            f"expected labels from 0 to the number of classes with images of each, got {int(found.min())} to "
            f"{int(found.max())} of {len(found)} images; number the classes from 0"
        )
    return found


def class_names(source: Any, labels: torch.Tensor | None) -> tuple[str, ...]:
    """Names of the classes in the order of their numbers: the source's, or the numbers up to the largest label."""
    if isinstance(source, ClassFolders | TarFolders):
        return source.class_names
    to_index = getattr(source, "class_to_idx", None)
    if to_index:
        return tuple(printable(str(name)) for name in sorted(to_index, key=lambda name: to_index[name]))
    return () if labels is None else tuple(str(label) for label in range(int(labels.max()) + 1))


def note_of(source: Any) -> str:
    """What is left out of a source, in one line; empty if nothing is, or it is not known."""
    return source.note() if isinstance(source, OWN) else ""


def digest(source: Any, labels: Sequence[int]) -> str:
    """Hash of the images' names and labels and of their sizes in bytes (of 65,536, evenly spread, of more images).

    It does not depend on where the images are. Files of at most 64 MiB together are read. Of a data set in one array,
    pixels are hashed; of others, labels alone.
    """
    found = hashlib.sha256(np.asarray(labels, dtype=np.int64).tobytes())
    if isinstance(source, OWN):
        for number in range(len(source)):
            found.update(source.name(number).encode("utf-8", "surrogateescape") + b"\0")
        spread = np.unique(np.linspace(0, len(source) - 1, min(len(source), SIZED), dtype=np.int64)).tolist()
        sizes = np.array([source.size(number) for number in spread], dtype=np.int64)
        found.update(sizes.tobytes())
        if len(sizes) == len(source) and sizes.sum() <= READ_BYTES:
            for number in range(len(source)):
                with suppress(UserError), source[number][0] as file:  # an empty file, which its reader may leave out
                    found.update(file.read())
    else:
        pixels = getattr(source, "data", None)
        if isinstance(pixels, np.ndarray | torch.Tensor) and pixels.nbytes <= HASHED_BYTES:
            found.update(np.ascontiguousarray(np.asarray(pixels)).tobytes())
    return found.hexdigest()
