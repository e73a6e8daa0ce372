"""Predictions of a detector or segmenter, drawn and as data: ``pinas-zoo detect`` and ``pinas-zoo segment``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from pinas_zoo.data.image_files import read_image
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab import launch
from pinas_zoo.openmmlab.colors import palette
from pinas_zoo.openmmlab.picture import DrawnObject, draw_classes, draw_objects
from pinas_zoo.terminal import error, print_json, say
from pinas_zoo.weights.atomic import replacing

SHOWN = 5  # objects or classes in the line of an image
MOST_PIXELS = 2**22  # of an image that is not reduced
MOST_SCORES = 2**27  # numbers in fp32, of all classes of all pixels
LONGEST = 100  # times the shorter side; the libraries' resizing makes the shorter side of longer images 0


def draw(args: argparse.Namespace, scope: str) -> None:
    """Write one picture per image into ``args.out`` and print a line for each; images that cannot be read are skipped.

    Raises:
        UserError: The config is of the other task, the weights do not fit, or an image cannot be read. With several
            such images, the others are printed to stderr.
    """
    cfg = launch.read_config(args.config, args.cfg_options)
    if cfg.default_scope != scope:
        raise UserError(
            f"expected the config of a {launch.TASKS[scope]}, got {args.config}, one of a "
            f"{launch.TASKS[cfg.default_scope]}; use `pinas-zoo {'segment' if scope == 'mmdet' else 'detect'}`"
        )
    out = Path(args.out)
    if out.exists() and not out.is_dir():
        raise UserError(f"expected a folder for --out, got the file {out}")
    checked = {path: why_not_drawn(Path(path)) for path in args.images}
    names = targets([path for path, problem in checked.items() if problem is None])
    found = []
    if names:
        model = launch.load_model(cfg, args.weights, args.device)
        out.mkdir(parents=True, exist_ok=True)
        for path, name in names.items():
            image = read_image(Path(path), 3)
            shown = reduced(image, most_pixels(model, scope))
            sample = predict(model, np.ascontiguousarray(np.asarray(shown)[..., ::-1]), scope)
            parts = objects(sample, model, args.score) if scope == "mmdet" else classes(sample, model)
            picture = paint(shown, sample, parts, model, scope)
            with replacing(out / name) as temporary:
                picture.save(temporary, format="PNG")
            key = "objects" if scope == "mmdet" else "classes"
            size = {"width": image.width, "height": image.height}
            if args.json and scope == "mmdet" and shown.size != image.size:
                parts = [enlarged(part, shown.size, image.size) for part in parts]
            found.append({"image": path, "picture": str(out / name), **size, key: parts})
            if not args.json:
                say(f"{out / name}: {describe(parts, scope, args)}")
    if args.json:
        print_json(found)
    problems = [problem for problem in checked.values() if problem is not None]
    for problem in problems[:-1]:
        error(args.command, problem)
    if problems:
        raise UserError(problems[-1])


def why_not_drawn(path: Path) -> str | None:
    """The reason why predictions for an image cannot be made, in one line; None when they can."""
    try:
        width, height = read_image(path, 3).size
    except UserError as error:
        return str(error)
    if max(width, height) <= LONGEST * min(width, height):
        return None
    return f"expected an image at most {LONGEST} times as long as it is wide, got {path} of {width} x {height} pixels"


def most_pixels(model: Any, scope: str) -> int:
    """Pixels of the largest image that is predicted as it is: the libraries hold all masks, or all classes, of it."""
    if scope == "mmdet":
        return MOST_PIXELS
    return min(MOST_PIXELS, MOST_SCORES // len(model.dataset_meta["classes"]))


def reduced(image: Image.Image, most: int) -> Image.Image:
    """The image, made smaller if it has more than ``most`` pixels."""
    factor = math.sqrt(most / (image.width * image.height))
    if factor >= 1:
        return image
    size = max(1, int(image.width * factor)), max(1, int(image.height * factor))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def enlarged(part: Mapping[str, Any], shown: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
    """An object found in a reduced image, in the pixels of the image itself; sizes are W, H."""
    x, y = size[0] / shown[0], size[1] / shown[1]
    box = [round(side * factor, 2) for side, factor in zip(part["box"], (x, y, x, y), strict=True)]
    found = {**part, "box": box}
    if "mask" in part:
        found["mask"] = _encoded(cv2.resize(_decoded(part["mask"]), size, interpolation=cv2.INTER_NEAREST))
    return found


def targets(paths: list[str]) -> dict[str, str]:
    """File name of the picture of each image: the image's name, with a number where two images have the same."""
    names: dict[str, str] = {}
    for path in paths:
        stem, number = Path(path).stem, 1
        name = f"{stem}.png"
        while name in names.values():
            number += 1
            name = f"{stem}_{number}.png"
        names[path] = name
    return names


def predict(model: Any, pixels: np.ndarray[Any, Any], scope: str) -> Any:
    """The data sample with the predictions for one image, H x W x 3 in BGR."""
    if scope == "mmdet":
        from mmdet.apis import inference_detector

        return inference_detector(model, pixels)
    from mmseg.apis import inference_model

    return inference_model(model, pixels)


def objects(sample: Any, model: Any, least: float) -> list[dict[str, Any]]:
    """The objects of a score of ``least`` and more, the best first.

    Each has ``class`` (the number), ``label``, ``score``, ``box`` (x1, y1, x2, y2 in pixels) and, from a detector of
    masks, ``mask``: COCO's compressed RLE, with ``size`` (height, width) and ``counts``, which pycocotools decodes.
    """
    names = model.dataset_meta["classes"]
    found = sample.pred_instances.cpu()
    found = found[found.scores >= least]
    parts = []
    for k in found.scores.argsort(descending=True).tolist():
        label = int(found.labels[k])
        part = {"class": label, "label": names[label], "score": round(float(found.scores[k]), 6)}
        part["box"] = [round(float(side), 2) for side in found.bboxes[k]]
        if "masks" in found:
            part["mask"] = _encoded(np.asarray(found.masks[k]))
        parts.append(part)
    return parts


def _encoded(mask: np.ndarray[Any, Any]) -> dict[str, Any]:
    from pycocotools.mask import encode

    rle = encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def _decoded(rle: dict[str, Any]) -> np.ndarray[Any, Any]:
    from pycocotools.mask import decode

    return decode(rle)  # H x W


def classes(sample: Any, model: Any) -> list[dict[str, Any]]:
    """The classes of an image, the largest first: ``class`` (the number), ``label`` and ``share`` of the pixels."""
    names = model.dataset_meta["classes"]
    counts = sample.pred_sem_seg.data.flatten().bincount(minlength=len(names)).tolist()
    order = sorted((k for k in range(len(names)) if counts[k]), key=lambda k: -counts[k])
    return [{"class": k, "label": names[k], "share": round(counts[k] / sum(counts), 6)} for k in order]


def paint(image: Any, sample: Any, parts: list[dict[str, Any]], model: Any, scope: str) -> Any:
    """The picture of the predictions."""
    names = [str(name) for name in model.dataset_meta["classes"]]
    colors = palette(len(names))
    if given := model.dataset_meta.get("palette"):
        colors = [(int(color[0]), int(color[1]), int(color[2])) for color in given[: len(names)]]
    if scope == "mmseg":
        return draw_classes(image, sample.pred_sem_seg.data.squeeze(0).cpu().numpy(), names, colors)
    drawn = [
        DrawnObject(
            label=part["label"],
            color=colors[part["class"]],
            score=part["score"],
            box=tuple(part["box"]),
            mask=_decoded(part["mask"]) if "mask" in part else None,
        )
        for part in parts
    ]
    return draw_objects(image, drawn)


def describe(parts: list[dict[str, Any]], scope: str, args: argparse.Namespace) -> str:
    """A picture in words: its objects above the score, or the share of each class."""
    if scope == "mmdet":
        best = ", ".join(f"{part['label']} {part['score']:.2f}" for part in parts[:SHOWN])
        return f"{len(parts)} objects of score {args.score} and more" + (f": {best}" if best else "")
    return ", ".join(f"{part['label']} {100 * part['share']:.0f} %" for part in parts[:SHOWN])
