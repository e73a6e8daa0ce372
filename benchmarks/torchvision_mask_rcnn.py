"""Training speed of torchvision's Mask R-CNN on our networks, beside the same detector on timm's resnest50d.

    python benchmarks/torchvision_mask_rcnn.py --size 192 256 --repeats 3     # results/torchvision_mask_rcnn.md

An iteration consists of the losses on random images and objects, their gradients, and a step of SGD. Every round runs
each competitor once, so that other load affects all of them. A ratio is the median over rounds of the ratio within a
round. 64 regions an image are sampled for the heads, not the recipe's 512, so that the backbone takes most of the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inference import interleave, machine, markdown, ratio, spread

import pinas_zoo  # noqa: F401  registers the networks with timm
from pinas_zoo.models.torchvision_heads import mask_rcnn
from pinas_zoo.weights.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
PEER = "resnest50d"  # timm's own
NAMES = (PEER, "pinas_trans", "pinas_cls")
CLASSES = 91
REGIONS = 64  # an image, for the heads
OBJECTS = 8  # an image


def build(backbone: str, size: tuple[int, int]) -> Any:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"min_size": min(size), "max_size": max(size), "box_batch_size_per_image": REGIONS}
    return mask_rcnn(backbone, CLASSES, **settings).train()


def targets_of(size: tuple[int, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Random rectangles in torchvision's format."""
    limit = torch.tensor([size[1], size[0]])
    corner = torch.rand(OBJECTS, 2, generator=generator) * limit * 0.6
    boxes = torch.cat([corner, corner + limit * (0.1 + 0.3 * torch.rand(OBJECTS, 2, generator=generator))], 1)
    masks = torch.zeros(OBJECTS, *size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    return {"boxes": boxes, "labels": torch.randint(1, CLASSES, (OBJECTS,), generator=generator), "masks": masks}


def iteration(model: Any, size: tuple[int, int], batch: int, bf16: bool) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, *size, generator=generator) for _ in range(batch)]
    targets = [targets_of(size, generator) for _ in range(batch)]

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            losses = model(images, [dict(target) for target in targets])
        sum(losses.values()).backward()
        optimizer.step()

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256), metavar=("H", "W"), help="(192 256)")
    parser.add_argument("--batch", type=int, default=2, help="images an iteration (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds that count (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: %(default)s)")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    size = (args.size[0], args.size[1])
    load = os.getloadavg()[0]
    models = {name: build(name, size) for name in NAMES}
    seconds = interleave({name: iteration(m, size, args.batch, args.bf16) for name, m in models.items()}, args.repeats)
    rows = [("backbone", "params (M)", "iterations/s", "faster than the first", "quartiles")]
    for name, model in models.items():
        params = sum(p.numel() for p in model.parameters()) / 1e6
        speed = 1 / statistics.median(seconds[name])
        compared = (f"{ratio(seconds[PEER], seconds[name]):.2f}", spread(seconds[PEER], seconds[name]))
        rows.append((name, f"{params:.1f}", f"{speed:.3f}", *compared))
    parts = [
        "# torchvision's Mask R-CNN on our networks" + (" in bfloat16" if args.bf16 else ""),
        f"Printed by `{' '.join(['python benchmarks/torchvision_mask_rcnn.py', *sys.argv[1:]])}`, which says how it "
        "measures.",
        f"{machine()}; {args.threads} threads; load average {load:.1f} at the start, {os.getloadavg()[0]:.1f} at the "
        "end.",
        markdown(rows),
    ]
    name = "torchvision_mask_rcnn" + ("_bf16" if args.bf16 else "")
    write_text(ROOT / "benchmarks" / "results" / f"{name}.md", "\n\n".join(parts) + "\n")
    print(*parts, sep="\n\n")


if __name__ == "__main__":
    main()
