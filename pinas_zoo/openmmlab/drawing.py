"""Predictions of a detector or segmenter drawn onto images: ``pinas-zoo detect`` and ``pinas-zoo segment``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pinas_zoo.data.image_files import read_image
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab import launch

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
    if names:
        model = launch.load_model(cfg, args.weights, args.device)
        visualizer = _visualizer(cfg, model)
        out.mkdir(parents=True, exist_ok=True)
        for path, name in names.items():
            pixels = np.ascontiguousarray(np.asarray(read_image(Path(path), 3))[..., ::-1])  # H x W x BGR, as opencv's
            sample = predict(model, pixels, scope)
            extra: dict[str, Any] = {"pred_score_thr": args.score} if scope == "mmdet" else {}
            visualizer.add_datasample(
                name, pixels[..., ::-1], sample, draw_gt=False, out_file=str(out / name), show=False, **extra
            )
            print(f"{out / name}: {describe(sample, model, args, scope)}")
    problems = [problem for problem in checked.values() if problem is not None]
    for problem in problems[:-1]:
        print(f"pinas-zoo {args.command}: {problem}", file=sys.stderr)
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


def describe(sample: Any, model: Any, args: argparse.Namespace, scope: str) -> str:
    """A picture in words: its objects above the score, or the share of each class."""
    classes = model.dataset_meta["classes"]
    if scope == "mmdet":
        found = sample.pred_instances
        shown = found[found.scores >= args.score]
        best = [f"{classes[int(i)]} {float(s):.2f}" for i, s in zip(shown.labels[:5], shown.scores[:5], strict=True)]
        return f"{len(shown)} objects of score {args.score} and more" + (": " + ", ".join(best) if best else "")
    labels = sample.pred_sem_seg.data.flatten()
    shares = labels.bincount(minlength=len(classes)).float() / len(labels)
    order = shares.argsort(descending=True)[:5]
    return ", ".join(f"{classes[int(i)]} {100 * float(shares[i]):.0f} %" for i in order if shares[i] > 0)


def _visualizer(cfg: Any, model: Any) -> Any:
    registry = launch.library_registry(cfg.default_scope)
    visualizer = registry.VISUALIZERS.build({**cfg.visualizer, "vis_backends": None, "name": "pinas-zoo"})
    visualizer.dataset_meta = model.dataset_meta
    return visualizer
