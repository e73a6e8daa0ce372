"""Speed of four augmented views per image: the augmentation of the search beside torchvision on Pillow images.

    python benchmarks/views.py IMAGES              # a folder with JPEGs, which are re-encoded at 500 x 375 pixels

Both decode the same JPEGs and return normalised float tensors of 224 x 224 pixels, with the augmentation of sec. 4.1.
Times are process time of one thread. torchvision's blur of Pillow images is slow, so a third row uses Pillow's blur, as
MoCo's code does.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T

from pinas_zoo.data.augmentation import BatchViews, ImageViews
from pinas_zoo.data.images import decode
from pinas_zoo.search.config import Views

NUM_VIEWS, SIZE = 4, 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PillowBlur:
    """Gaussian blur by Pillow's three box filters; sigma uniform in 0.1..2."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(float(np.random.default_rng().uniform(0.1, 2.0))))


def torchvision_pipeline(blur: Callable) -> T.Compose:
    return T.Compose(
        [
            T.RandomResizedCrop(SIZE, scale=(0.2, 1.0)),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.4)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.RandomApply([blur], p=0.5),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )


def images_per_second(make_views: Callable[[bytes, int], torch.Tensor], jpegs: list[bytes], rounds: int) -> float:
    """Images per second of process time, the best of several rounds."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        for number, jpeg in enumerate(jpegs):
            assert make_views(jpeg, number).shape == (NUM_VIEWS, 3, SIZE, SIZE)
        seconds.append(time.process_time() - started)
    return len(jpegs) / min(seconds)


def encode(image: Image.Image) -> bytes:
    """Encode an image as a JPEG of 500 x 375 pixels."""
    file = io.BytesIO()
    image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def ours(options: Views) -> Callable[[bytes, int], torch.Tensor]:
    views, normalise = ImageViews(options, SIZE), BatchViews(options, MEAN, STD).normalise

    def make(jpeg: bytes, number: int) -> torch.Tensor:
        made = views(decode(jpeg), np.random.default_rng([0, number]), NUM_VIEWS)
        return normalise(torch.from_numpy(made).permute(0, 3, 1, 2))

    return make


def theirs(blur: Callable) -> Callable[[bytes, int], torch.Tensor]:
    pipeline = torchvision_pipeline(blur)
    return lambda jpeg, number: torch.stack(
        [pipeline(Image.open(io.BytesIO(jpeg)).convert("RGB")) for _ in range(NUM_VIEWS)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=32, help="JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    jpegs = [encode(Image.open(path)) for path in sorted(args.images.rglob("*.jpg"))[: args.count]]
    rows = {
        "pinas_zoo.data.augmentation.ImageViews": ours(Views()),
        "torchvision on Pillow": theirs(T.GaussianBlur(23, (0.1, 2.0))),
        "torchvision on Pillow, Pillow's blur": theirs(PillowBlur()),
    }
    rates = {name: images_per_second(make, jpegs, args.rounds) for name, make in rows.items()}
    fastest = rates["pinas_zoo.data.augmentation.ImageViews"]
    print(f"{len(jpegs)} JPEGs of 500 x 375, {NUM_VIEWS} views of {SIZE} x {SIZE}, one thread, best of {args.rounds}")
    for name, rate in rates.items():
        print(f"{name:40} {rate:7.1f} images/s   {fastest / rate:5.2f} x as long as ours" if rate != fastest else
              f"{name:40} {rate:7.1f} images/s")  # fmt: skip


if __name__ == "__main__":
    main()
