"""Made-up photographs for stages that need JPEGs: clouds with grain, about as large as a photograph's file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375  # pixels, those of ImageNet's typical image


def jpeg(number: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """A JPEG that follows from the number."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = rng.normal(0, 12, (height, width, 1)).astype(np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_folder(folder: Path, each: int, classes: int, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """``each`` images a class under train and validation, unless the folder exists; copies of at most 64 pictures."""
    if folder.is_dir():
        return folder
    files = [jpeg(number, width, height) for number in range(min(64, each * classes))]
    temporary = folder.with_name(f".{folder.name}.tmp")
    for split in ("train", "validation"):
        for k in range(classes):
            (temporary / split / f"class{k}").mkdir(parents=True, exist_ok=True)
            for n in range(each):
                (temporary / split / f"class{k}" / f"{n:05}.jpg").write_bytes(files[(k * each + n) % len(files)])
    temporary.rename(folder)
    return folder
