"""Speed of four augmented views per image: the two executors of the search beside torchvision on Pillow images.

    python benchmarks/views.py                     # random pixels in memory: 256 images of 32 x 32, and 16 of 224 x 224
    python benchmarks/views.py --images FOLDER     # JPEGs, re-encoded at 500 x 375 pixels and decoded, to 224 x 224

All return normalised float tensors, with the augmentation of sec. 4.1. Times are process time of one thread.
torchvision's blur of Pillow images is slow, so a further row uses Pillow's blur, as MoCo's code does.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T

from pinas_zoo.data.augmentation import BatchViews, draw_views, image_views, per_batch, view_uniforms
from pinas_zoo.data.decoding import decode
from pinas_zoo.data.options import Views

NUM_VIEWS, SIZE = 4, 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IN_MEMORY = ((256, 32), (16, 224))  # images, and their height and width, which are those of views


class PillowBlur:
    """Gaussian blur by Pillow's three box filters; sigma uniform in 0.1..2."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(float(np.random.default_rng().uniform(0.1, 2.0))))


def torchvision_pipeline(blur: Callable, size: int = SIZE) -> T.Compose:
    return T.Compose(
        [
            T.RandomResizedCrop(size, scale=(0.2, 1.0)),
            T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.4)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.RandomApply([blur], p=0.5),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )


def encode(image: Image.Image) -> bytes:
    """Encode an image as a JPEG of 500 x 375 pixels."""
    file = io.BytesIO()
    image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def ours(options: Views) -> Callable[[bytes, int], torch.Tensor]:
    """Views of a JPEG, as a worker of the loader makes them."""
    normalise = BatchViews(options, MEAN, STD).normalise

    def make(jpeg: bytes, number: int) -> torch.Tensor:
        image = decode(jpeg)
        (uniforms,) = view_uniforms(0, 0, [number], NUM_VIEWS)
        made = image_views(image, draw_views(options, image.shape[0], image.shape[1], uniforms, SIZE))
        return normalise(torch.from_numpy(made).permute(0, 3, 1, 2))

    return make


def theirs(blur: Callable) -> Callable[[bytes, int], torch.Tensor]:
    pipeline = torchvision_pipeline(blur)
    return lambda jpeg, number: torch.stack(
        [pipeline(Image.open(io.BytesIO(jpeg)).convert("RGB")) for _ in range(NUM_VIEWS)]
    )


def batch_ours(on_cpu: tuple[int, int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Views of a batch in memory: one image at a time where it or its views are larger than ``on_cpu``."""
    module = BatchViews(Views(), MEAN, STD)

    def make(pixels: torch.Tensor) -> torch.Tensor:
        per_batch.ON_CPU = on_cpu
        height, width = pixels.shape[2:]
        uniforms = view_uniforms(0, 0, range(len(pixels)), NUM_VIEWS)
        return module.views(pixels, draw_views(module.options, height, width, uniforms, width))

    return make


def batch_theirs(blur: Callable, size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    pipeline = torchvision_pipeline(blur, size)

    def make(pixels: torch.Tensor) -> torch.Tensor:
        images = [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in pixels]
        return torch.stack([torch.stack([pipeline(image) for _ in range(NUM_VIEWS)]) for image in images])

    return make


def per_second(run: Callable[[], object], images: int, rounds: int) -> float:
    """Images per second of process time in the best of the rounds."""
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        run()
        seconds.append(time.process_time() - started)
    return images / min(seconds)


def print_rates(rates: dict[str, float]) -> None:
    fastest = max(rates.values())
    for name, rate in rates.items():
        print(f"{name:40} {rate:7.1f} images/s   {fastest / rate:5.2f} x as long as the fastest")


def from_files(folder: Path, count: int, rounds: int) -> None:
    jpegs = [encode(Image.open(path)) for path in sorted(folder.rglob("*.jpg"))[:count]]
    makers = {
        "ours": ours(Views()),
        "torchvision on Pillow": theirs(T.GaussianBlur(23, (0.1, 2.0))),
        "torchvision on Pillow, Pillow's blur": theirs(PillowBlur()),
    }

    def run(make: Callable[[bytes, int], torch.Tensor]) -> None:
        for number, jpeg in enumerate(jpegs):
            assert make(jpeg, number).shape == (NUM_VIEWS, 3, SIZE, SIZE)

    print(f"{len(jpegs)} JPEGs of 500 x 375, {NUM_VIEWS} views of {SIZE} x {SIZE}, one thread, best of {rounds}")
    print_rates({name: per_second(partial(run, make), len(jpegs), rounds) for name, make in makers.items()})


def from_memory(count: int, size: int, rounds: int) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    makers = {
        "ours, the whole batch": batch_ours((size, size)),
        "ours, one image at a time": batch_ours((0, 0)),
        "torchvision on Pillow": batch_theirs(T.GaussianBlur(23, (0.1, 2.0)), size),
        "torchvision on Pillow, Pillow's blur": batch_theirs(PillowBlur(), size),
    }
    print(f"{count} images of {size} x {size} in memory, {NUM_VIEWS} views each, one thread, best of {rounds}")
    print_rates({name: per_second(partial(make, pixels), count, rounds) for name, make in makers.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder with JPEGs")
    parser.add_argument("--count", type=int, default=32, help="JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    if args.images:
        from_files(args.images, args.count, args.rounds)
        return
    for count, size in IN_MEMORY:
        from_memory(count, size, args.rounds)


if __name__ == "__main__":
    main()
