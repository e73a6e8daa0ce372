"""How far the order of candidates depends on the images that recalibrate their batch norms.

    python benchmarks/recalibration.py RUN [--paths 24]

RUN is the folder of a search whose explore stage is complete and whose score is `classifier`. Random paths are scored
with several kinds of recalibration images, and two scorings are compared by Kendall's tau. "other images" are drawn
with another seed, so a tau with them says how much of an order is noise. The folder is not changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pinas_zoo.arch import Arch
from pinas_zoo.data.options import Views
from pinas_zoo.search.config import load_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.ranking.kendall import tau
from pinas_zoo.search.scorers.classifier import ClassifierScorer

NO_COLOUR = dict(jitter_p=0.0, gray_p=0.0, blur_p=0.0)
PAPER = Views(scale=(0.08, 1.0), flip=0.5, **NO_COLOUR)  # the crops of configs/search/resnest50_imagenet


def score(context: Context, paths: list[Arch], seed: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and loss of the paths, with these options of ``explore`` and recalibration images of a seed."""
    explore = context.config.explore.model_copy(update=options)
    config = context.config.model_copy(update={"explore": explore})
    images = replace(context, config=config.model_copy(update={"seed": seed}))
    scored = replace(context, config=config)
    for other in (images, scored):  # the images of the run, whatever the seed
        other.__dict__.update(splits=context.splits, normalisation=context.normalisation)
    data = replace(scored.scoring_data(), recalibration=images.recalibration())
    scores = ClassifierScorer.build(data).scores(paths)
    return np.array([s.accuracy for s in scores]), np.array([s.loss for s in scores])


def kinds(context: Context, batch: int) -> Mapping[str, dict[str, Any]]:
    """Name of each kind of recalibration images, and its options."""
    return {
        "centre": dict(recalibration_views=None),
        "crops of the linear stage": dict(recalibration_views=context.config.linear.views),
        "crops of the paper": dict(recalibration_views=PAPER),
        f"centre, batches of {batch}": dict(recalibration_views=None, recalibration_batch_size=batch),
        f"crops of the paper, batches of {batch}": dict(recalibration_views=PAPER, recalibration_batch_size=batch),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--paths", type=int, default=24)
    parser.add_argument("--batch", type=int, default=128)
    args = parser.parse_args()
    context = Context.of(load_config(args.run / "config.json"), args.run, lambda text: None)
    rng, seed, paths = np.random.default_rng(0), context.config.seed, list[Arch]()
    while len(paths) < args.paths:
        paths += [path for path in context.space.sample(rng, 1) if path not in paths]
    centre = score(context, paths, seed, recalibration_views=None)
    print(f"{len(paths)} random paths, {context.config.explore.recalibration_images} recalibration images")
    columns = ("recalibration images", "accuracy", "loss", "tau with centre: accuracy", "loss")
    print(f"| {' | '.join([*columns, 'with other images: accuracy', 'loss'])} |")
    print("| --- " * 7 + "|")
    for name, options in kinds(context, args.batch).items():
        one, other = score(context, paths, seed, **options), score(context, paths, seed + 1, **options)
        taus = [f"{tau(a, b):.2f}" for pair in (centre, other) for a, b in zip(one, pair, strict=True)]
        low, high = 100 * one[0].min(), 100 * one[0].max()
        print(f"| {name} | {low:.1f} to {high:.1f}% | {one[1].mean():.2f} | {' | '.join(taus)} |")


if __name__ == "__main__":
    main()
