"""Four augmented views of an image: both executors of the search's own against torchvision's pipelines on Pillow images.

    python benchmarks/views.py                     # random pixels in memory: 256 images of 32 x 32, and 16 of 224 x 224
    python benchmarks/views.py --images FOLDER     # JPEGs, which are written anew at 500 x 375 pixels, to views of 224

All end in normalised float tensors, with sec. 4.1's distribution. Time is that of one core (process time, one thread).
torchvision's blur of Pillow images is slow, so a further row has Pillow's own blur in its place, as MoCo's code has.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T

from pinas_zoo.data.augmentation import BatchViews, draw_views, image_views, per_batch, view_uniforms
from pinas_zoo.data.decoding import decode
from pinas_zoo.data.options import Views

NUM_VIEWS = 4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IN_MEMORY = ((256, 32), (16, 224))  # images, and their height and width, which are those of views
MakeViews = Callable[[Sequence[np.ndarray], int], torch.Tensor]  # images H x W x 3 and a step to N x V x 3 x S x S


class PillowBlur:
    """Gaussian blur by Pillow's three box filters; sigma uniform in 0.1..2."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(float(np.random.default_rng().uniform(0.1, 2.0))))


def torchvision_pipeline(blur: Callable, size: int) -> T.Compose:
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


def one_at_a_time(size: int) -> MakeViews:
    module = BatchViews(Views(), MEAN, STD)

    def make(images: Sequence[np.ndarray], step: int) -> torch.Tensor:
        uniforms = view_uniforms(0, step, range(len(images)), NUM_VIEWS)
        made = [
            image_views(image, draw_views(module.options, image.shape[0], image.shape[1], u, size))
            for image, u in zip(images, uniforms, strict=True)
        ]
        return module.normalise(torch.from_numpy(np.stack(made)).permute(0, 1, 4, 2, 3))

    return make


def whole_batch(size: int) -> MakeViews:
    module = BatchViews(Views(), MEAN, STD)

    def make(images: Sequence[np.ndarray], step: int) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
        uniforms = view_uniforms(0, step, range(len(images)), NUM_VIEWS)
        return module.views(pixels, draw_views(module.options, *pixels.shape[2:], uniforms, size))

    return make


def torchvision_on_pillow(blur: Callable, size: int) -> MakeViews:
    pipeline = torchvision_pipeline(blur, size)
    return lambda images, step: torch.stack(
        [torch.stack([pipeline(Image.fromarray(image)) for _ in range(NUM_VIEWS)]) for image in images]
    )


def images_per_second(make: MakeViews, read: Sequence[Callable[[], np.ndarray]], size: int, rounds: int) -> float:
    """Best of the rounds, per second of process time; decoding is part of it."""
    seconds = []
    for step in range(rounds):
        started = time.process_time()
        assert make([image() for image in read], step).shape == (len(read), NUM_VIEWS, 3, size, size)
        seconds.append(time.process_time() - started)
    return len(read) / min(seconds)


def compare(read: Sequence[Callable[[], np.ndarray]], size: int, rounds: int, batched: bool) -> None:
    rows = {"one image at a time": one_at_a_time(size)}
    if batched:
        rows["a whole batch"] = whole_batch(size)
    rows["torchvision on Pillow"] = torchvision_on_pillow(T.GaussianBlur(23, (0.1, 2.0)), size)
    rows["torchvision on Pillow, Pillow's blur"] = torchvision_on_pillow(PillowBlur(), size)
    rates = {name: images_per_second(make, read, size, rounds) for name, make in rows.items()}
    fastest = max(rates.values())
    for name, rate in rates.items():
        print(f"{name:40} {rate:7.1f} images/s   {fastest / rate:5.2f} x as long as the fastest")


def encode(image: Image.Image) -> bytes:
    """A JPEG of 500 x 375 pixels."""
    file = io.BytesIO()
    image.convert("RGB").resize((500, 375), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder with JPEGs")
    parser.add_argument("--count", type=int, default=32, help="JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    per_batch.ON_CPU = (10**6, 10**6)  # whole batches at every size, to show where they are slower
    if args.images:
        jpegs = [encode(Image.open(path)) for path in sorted(args.images.rglob("*.jpg"))[: args.count]]
        print(f"{len(jpegs)} JPEGs of 500 x 375 to views of 224 x 224, {NUM_VIEWS} each, best of {args.rounds}")
        compare([lambda jpeg=jpeg: decode(jpeg) for jpeg in jpegs], 224, args.rounds, batched=False)
        return
    for count, size in IN_MEMORY:
        pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        print(f"{count} images of {size} x {size} in memory, {NUM_VIEWS} views each, best of {args.rounds}")
        compare([lambda image=image: image for image in pixels], size, args.rounds, batched=True)


if __name__ == "__main__":
    main()
