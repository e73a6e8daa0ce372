"""The results of an evaluation as one HTML page: confusion, the most confident mistakes as pictures, calibration."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from pinas_zoo.data.images import ImageSet
from pinas_zoo.train.evaluate import Predictions, calibration, tells_top5
from pinas_zoo.weights.atomic import write_text

MISTAKES = 24  # pictures
PICTURE = 160  # pixels of a picture's longer side
MATRIX = 40  # classes up to which the whole matrix is shown
PAIRS = 20  # most frequent confusions in the table
SIDE = 320  # pixels of the calibration chart


def write_page(
    path: Path, facts: Mapping[str, Any], predictions: Predictions, images: ImageSet, class_names: Sequence[str]
) -> None:
    """Write the page, which contains its pictures.

    Args:
        path: The HTML file.
        facts: Of :func:`pinas_zoo.train.evaluate.results`, with ``network`` and ``data``.
        predictions: Of the images.
        images: The images, in the predictions' order.
        class_names: Names of the network's classes.
    """
    loader = PackageLoader("pinas_zoo.train")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bins, _ = calibration(predictions)
    text = environment.get_template("results.html.j2").render(
        facts=facts,
        headline=headline(facts),
        classes=sorted(facts["per_class"], key=lambda c: (c["top1"], c["class"])),
        matrix=confusion_matrix(predictions, class_names),
        pairs=confused_pairs(predictions, class_names),
        mistakes=mistakes(predictions, images, class_names),
        bins=[{**b, "x": b["confidence"] * SIDE, "y": SIDE - b["accuracy"] * SIDE} for b in bins],
        most=max(b["images"] for b in bins),
        side=SIDE,
    )
    write_text(path, text)


def headline(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The numbers at the top of the page."""
    return [
        ("top-1", f"{facts['top1']:.2%}"),
        *([("top-5", f"{facts['top5']:.2%}")] if tells_top5(facts) else []),
        ("mean of classes", f"{facts['mean_class_top1']:.2%}"),
        ("images", str(facts["images"])),
        ("calibration error", f"{facts['calibration_error']:.4f}"),
        ("images/s of the network", f"{facts['network_images_per_s']:.1f}"),
        ("peak memory", f"{facts['peak_memory_mib']:.0f} MiB"),
    ]


def confusion_matrix(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any] | None:
    """Counts by true and predicted class, of the classes that occur; None where they are too many to show."""
    predicted = predictions.classes[:, 0]
    present = torch.cat([predictions.labels, predicted]).unique().tolist()
    if len(present) > MATRIX:
        return None
    place = {label: number for number, label in enumerate(present)}
    counts = [[0] * len(present) for _ in present]
    for label, guess in zip(predictions.labels.tolist(), predicted.tolist(), strict=True):
        counts[place[label]][place[guess]] += 1
    rows = [
        {
            "label": class_names[label],
            "cells": [{"count": count, "shade": round(count / max(1, sum(row)), 3)} for count in row],
        }
        for label, row in zip(present, counts, strict=True)
    ]
    return {"labels": [class_names[label] for label in present], "rows": rows}


def confused_pairs(predictions: Predictions, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent mistakes: true class, predicted class, number of images."""
    wrong = predictions.classes[:, 0] != predictions.labels
    pairs = torch.stack([predictions.labels[wrong], predictions.classes[wrong, 0]], 1)  # M x 2
    if not len(pairs):
        return []
    found, counts = pairs.unique(dim=0, return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:PAIRS].tolist()
    return [
        {"true": class_names[int(found[k, 0])], "guess": class_names[int(found[k, 1])], "images": int(counts[k])}
        for k in order
    ]


def mistakes(predictions: Predictions, images: ImageSet, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """The mistakes that the network is surest of, with their pictures as data URLs."""
    wrong = (predictions.classes[:, 0] != predictions.labels).nonzero()[:, 0]
    surest = wrong[predictions.probabilities[wrong, 0].argsort(descending=True, stable=True)][:MISTAKES]
    return [
        {
            "picture": _data_url(Image.fromarray(images.read(row))),
            "true": class_names[int(predictions.labels[row])],
            "guess": class_names[int(predictions.classes[row, 0])],
            "probability": f"{float(predictions.probabilities[row, 0]):.1%}",
            "true_probability": f"{float(predictions.true_log_probability[row].exp()):.1%}",
        }
        for row in surest.tolist()
    ]


def _data_url(image: Image.Image) -> str:
    scale = PICTURE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    stream = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.NEAREST).save(stream, "JPEG")
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
