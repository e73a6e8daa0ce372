"""CIFAR-10 as a folder with one sub-folder a class."""

from __future__ import annotations

import shutil
import zlib
from itertools import product
from pathlib import Path
from zipfile import BadZipFile, ZipFile, is_zipfile

import numpy as np

from pinas_zoo.errors import UserError
from pinas_zoo.weights.abandoned import remove_abandoned, temporary_beside

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MAX_BYTES = 2**30  # of an archive's arrays
TRAINING = 50_000  # images; the rest is for validation


def image_folder(images: Path, work: Path) -> Path:
    """The folder of images: ``images`` itself, or an .npz of JPEGs written out once into a folder inside ``work``.

    Such a file has the arrays ``header``, ``body``, ``offsets`` and ``labels``; image k is the header followed by
    ``body[offsets[k] : offsets[k + 1]]``. The new folder is named by the checksum of labels and offsets.

    Raises:
        UserError: ``images`` is neither a folder nor such a file.
    """
    if images.is_dir():
        return images
    try:
        if images.exists() and not (images.is_file() and is_zipfile(images)):
            raise ValueError("not an archive")
        with ZipFile(images) as archive:
            if sum(part.file_size for part in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES // 2**20} MiB")
        with np.load(images) as pack:  # never unpickles
            header, body, offsets, labels = (pack[key] for key in ("header", "body", "offsets", "labels"))
        if not {*labels} <= {*range(len(CLASSES))} or len(offsets) != 1 + len(labels):
            raise ValueError("labels are not all in 0 to 9, or there is not one offset more than there are labels")
        if (offsets[1:] < offsets[:-1]).any() or not 0 <= offsets[0] <= offsets[-1] <= len(body):
            raise ValueError("offsets are not those of images that follow each other in body")
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise UserError(
            f"expected --images as a folder of CIFAR-10 or an .npz of JPEGs with header, body, offsets and labels, "
            f"got {images}: {error}"
        ) from error
    folder = work / f"images_{zlib.crc32(labels.tobytes(), zlib.crc32(offsets.tobytes())):08x}"
    if folder.exists():
        return folder
    remove_abandoned(work, folder.name)
    temporary = temporary_beside(folder)
    try:
        for split, name in product(("train", "validation"), CLASSES):
            (temporary / split / name).mkdir(parents=True)
        start, data = header.tobytes(), body.tobytes()
        for k, label in enumerate(labels):
            path = temporary / ("train" if k < TRAINING else "validation") / CLASSES[label] / f"{k:05}.jpg"
            path.write_bytes(start + data[offsets[k] : offsets[k + 1]])
        temporary.rename(folder)
    except OSError:
        if not folder.exists():  # written by another process in the meantime
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder
