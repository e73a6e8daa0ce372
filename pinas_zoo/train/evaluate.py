"""Evaluation of a classifier on labelled images: accuracy, classes, calibration, speed and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import ImageNetInfo, infer_imagenet_subset
from torch import nn

from pinas_zoo.data.images import ImageSet
from pinas_zoo.engine import distributed
from pinas_zoo.engine.precision import at_least_fp32
from pinas_zoo.engine.trainer import DTYPES
from pinas_zoo.errors import UserError
from pinas_zoo.operating_system import peak_memory_mib

Normalise = Callable[[torch.Tensor], torch.Tensor]
BINS = 15  # of confidence, for the calibration error
SHOWN = 5  # classes that are kept for each image
NAMED = 3  # classes that a message names
WARM_UP = 1  # batches that do not count for the speeds, where there are more


@dataclass(frozen=True)
class Predictions:
    """What a network says of labelled images, in their order.

    Attributes:
        labels: True classes of the network, N.
        classes: Most probable classes, best first, N x 5 (fewer where the network has fewer).
        probabilities: Their probabilities, N x 5.
        true_log_probability: Logarithm of the probability of the true class, N, which may be -inf.
        images_per_s: Speed, with reading of the images.
        network_images_per_s: Speed of the network alone.
        peak_memory_mib: Highest memory of the process, on a GPU that of its tensors.
    """

    labels: torch.Tensor
    classes: torch.Tensor
    probabilities: torch.Tensor
    true_log_probability: torch.Tensor
    images_per_s: float
    network_images_per_s: float
    peak_memory_mib: float


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: ImageSet,
    normalise: Normalise,
    batch_size: int,
    class_of_label: Sequence[int] | None = None,
    precision: str = "fp32",
    channels_last: bool = False,
) -> Predictions:
    """Classify all images.

    Args:
        model: Classifier on its device; it is put into eval mode.
        images: Images with labels, whose batches are made without augmentation.
        normalise: uint8 n x 3 x S x S to what the network takes.
        batch_size: Images that go through the network together.
        class_of_label: Class of the network for each label of the images; None: they are the same.
        precision: As in training.
        channels_last: Whether weights and activations have the channels-last memory format.
    """
    model.eval()
    device = next(model.parameters()).device
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    model.to(memory_format=memory_format)
    to_class = None if class_of_label is None else torch.tensor(class_of_label)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    parts: list[tuple[torch.Tensor, ...]] = []
    timed, seconds, start = 0, 0.0, time.perf_counter()
    warm_up = WARM_UP if len(images) > WARM_UP * batch_size else 0
    for number, batch in enumerate(images.batches(batch_size)):
        labels = batch["labels"] if to_class is None else to_class[batch["labels"]]
        x = normalise(batch["pixels"].to(device, non_blocking=True)).contiguous(memory_format=memory_format)
        _wait(device)
        before = time.perf_counter()
        with torch.autocast(device.type, DTYPES[precision], enabled=DTYPES[precision] is not None):
            logits = model(x)
        _wait(device)
        timed, seconds = timed + len(x), seconds + time.perf_counter() - before
        logits = at_least_fp32(logits)
        top = logits.softmax(1).topk(min(SHOWN, logits.shape[1]))
        true = logits.log_softmax(1).cpu().gather(1, labels[:, None])[:, 0]
        parts.append((labels, top.indices.cpu(), top.values.cpu(), true))
        if number == warm_up - 1:
            timed, seconds, start = 0, 0.0, time.perf_counter()
    elapsed = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_memory_mib()
    labels, classes, values, true = (torch.cat(column) for column in zip(*parts, strict=True))
    return Predictions(labels, classes, values, true, timed / elapsed, timed / seconds, round(peak, 1))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.inference_mode()
def accuracy(
    model: nn.Module, images: ImageSet, normalise: Normalise, batch_size: int, precision: str = "fp32"
) -> tuple[float, float]:
    """Top-1 accuracy in 0..1 and mean cross-entropy; each process takes a part of the images.

    The model is in the mode in which it was before.
    """
    rank, world = distributed.rank(), distributed.world()
    mine = images if world == 1 else images.subset(torch.arange(rank, len(images), world))
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    for batch in mine.batches(batch_size) if len(mine) else ():
        labels = batch["labels"].to(device)
        with torch.autocast(device.type, DTYPES[precision], enabled=DTYPES[precision] is not None):
            logits = model(normalise(batch["pixels"].to(device)))
        logits = at_least_fp32(logits)
        correct, loss = (logits.argmax(1) == labels).sum(), F.cross_entropy(logits, labels, reduction="sum")
        sums += torch.stack([correct.double(), loss.double()])
    model.train(was_training)
    mean = [distributed.mean(value) * world / len(images) for value in sums]
    return mean[0], mean[1]


def accuracy_and_loss(predictions: Predictions) -> tuple[float, float]:
    """Top-1 accuracy in 0..1 and mean cross-entropy, as :func:`accuracy` has them; infinite where an output is."""
    hits = (predictions.classes[:, 0] == predictions.labels).double()
    return float(hits.mean()), -float(predictions.true_log_probability.double().mean())


def results(predictions: Predictions, class_names: Sequence[str]) -> dict[str, Any]:
    """Numbers of an evaluation as plain data: accuracies in 0..1, per class, and the expected calibration error.

    Args:
        predictions: Of :func:`predict`.
        class_names: Names of the network's classes, by number.
    """
    hit = predictions.classes == predictions.labels[:, None]  # N x 5
    _, loss = accuracy_and_loss(predictions)
    top1, top5 = hit[:, 0].double(), hit.any(1).double()
    per_class: list[dict[str, Any]] = [
        {
            "class": int(label),
            "label": class_names[int(label)],
            "images": int(rows.sum()),
            "top1": float(top1[rows].mean()),
        }
        for label in predictions.labels.unique()
        for rows in [predictions.labels == label]
    ]
    return {
        "images": len(predictions.labels),
        "classes": len(class_names),
        "top1": float(top1.mean()),
        "top5": float(top5.mean()),
        "mean_class_top1": sum(c["top1"] for c in per_class) / len(per_class),
        "loss": loss,
        "calibration_error": calibration(predictions)[1],
        "images_per_s": predictions.images_per_s,
        "network_images_per_s": predictions.network_images_per_s,
        "peak_memory_mib": predictions.peak_memory_mib,
        "per_class": per_class,
    }


def tells_top5(facts: Mapping[str, Any]) -> bool:
    """Whether top-5 accuracy says something: with five classes or fewer it is always 100%.

    Args:
        facts: Of :func:`results`; earlier versions wrote no number of classes.
    """
    return int(facts.get("classes", SHOWN + 1)) > SHOWN


def calibration(predictions: Predictions) -> tuple[list[dict[str, float]], float]:
    """Bins of confidence with their accuracy, and the expected calibration error (Guo et al., ICML 2017, eq. 3)."""
    confidence = predictions.probabilities[:, 0].double()
    correct = (predictions.classes[:, 0] == predictions.labels).double()
    bins, error = [], 0.0
    number = (confidence * BINS).long().clamp(max=BINS - 1)
    for index in range(BINS):
        rows = number == index
        if rows.any():
            mean, hits, count = float(confidence[rows].mean()), float(correct[rows].mean()), int(rows.sum())
            bins.append({"confidence": mean, "accuracy": hits, "images": count})
            error += abs(mean - hits) * count / len(confidence)
    return bins, error


def classes_of(model: Any) -> tuple[str, ...]:
    """Names by which folders of images can name the classes of a network; numbers where none are known."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    names = cfg.get("label_names")
    if names and len(names) == model.num_classes:
        return tuple(map(str, names))
    subset = infer_imagenet_subset(model)
    if subset:
        info: Any = ImageNetInfo(subset)
        return tuple(info.label_names())
    return tuple(map(str, range(model.num_classes)))


def match_classes(class_names: Sequence[str], model: Any) -> tuple[list[int], tuple[str, ...]]:
    """The network's class of each class of the images, and the names of all of the network's classes.

    Classes are matched by name, or by order where the network has as many without names; they then have the images'.

    Raises:
        UserError: The images have classes that the network has not.
    """
    known = classes_of(model)
    if set(class_names) <= set(known):
        return [known.index(name) for name in class_names], known
    named = bool((getattr(model, "pretrained_cfg", None) or {}).get("label_names"))
    if not named and len(class_names) == model.num_classes:
        return list(range(len(class_names))), tuple(class_names)
    strange = [name for name in class_names if name not in known]
    more = f", and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
    raise UserError(
        f"expected images of the network's {model.num_classes} classes ({', '.join(known[:NAMED])}"
        f"{', …' if len(known) > NAMED else ''}), got {len(class_names)} classes, of which the network does not have "
        f"{', '.join(strange[:NAMED])}{more}; rename the folders, or fine-tune the network on them with "
        "`pinas-zoo train`"
    )
