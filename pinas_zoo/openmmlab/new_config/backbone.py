"""The backbone of a new config: what the user names, its weights, and the sizes that neck and heads must know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.errors import NotPublished, UserError, WeightsMissing
from pinas_zoo.models.pinas import WIDTHS
from pinas_zoo.zoo.resolve import FOLDER_PREFIX, HUB_PREFIXES, resolve

EXPANSION = 4  # of a stage's planes to its outputs' channels
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which the configs have


@dataclass(frozen=True)
class Backbone:
    """A backbone as a config names it.

    Attributes:
        arch: Of ``PiNASBackbone``.
        checkpoint: Where its weights are; None: it starts from random ones.
        channels: Of the four stages' outputs; None where they are those of the paper's networks.
        pixels: Mean and standard deviation of R, G, B from 0 to 255; None where they are ImageNet's.
    """

    arch: str
    checkpoint: str | None
    channels: tuple[int, ...] | None
    pixels: tuple[tuple[float, ...], tuple[float, ...]] | None


def find_backbone(word: str, weights: str | None, notes: list[str]) -> Backbone:
    """The backbone of a name, an architecture, a model folder or a Hub repo.

    Args:
        word: As for :func:`pinas_zoo.zoo.resolve.resolve`.
        weights: A checkpoint instead of the network's own, or ``none``.
        notes: Extended by what the user should know.

    Raises:
        UserError: Nothing of that name, a network of another space, one for images that are not of three channels, or
            weights that are not there.
    """
    network = resolve(word)
    spec = network.spec
    if spec is None:
        raise UserError(
            f"expected a network of the Π-NAS space as --backbone, got {word}, one of another; try pinas_trans, or "
            f"{'1' * 16} (ResNeSt-50) with --weights hf-hub:timm/resnest50d.in1k"
        )
    if spec.in_chans != 3:
        raise UserError(f"expected a backbone for images of 3 channels, got {word}, one for {spec.in_chans}")
    mean, std = (tuple(network.cfg.get(key) or usual) for key, usual in (("mean", MEAN), ("std", STD)))
    other = (mean, std) != (MEAN, STD)
    checkpoint = _checkpoint(word, network.kind, weights)
    if checkpoint is None:
        notes.append(
            f"{word} has no weights here, so training starts from random ones: it takes longer and reaches less; "
            "give a checkpoint by --weights"
            if weights is None
            else "training starts from random weights"
        )
        other = False
    elif weights and Path(weights).suffix and ":" not in weights and not os.path.isfile(os.path.expanduser(weights)):
        raise UserError(f"expected a file of weights, got {weights}, which is not there")
    return Backbone(
        arch=str(network.folder.resolve()) if network.kind == "folder" and network.folder else word,
        checkpoint=checkpoint,
        channels=None if tuple(spec.widths) == WIDTHS else tuple(EXPANSION * width for width in spec.widths),
        pixels=(_scaled(mean), _scaled(std)) if other and len(mean) == len(std) == 3 else None,
    )


def _checkpoint(word: str, kind: str, weights: str | None) -> str | None:
    """The ``checkpoint=`` of mmengine's ``init_cfg``."""
    if weights is not None:
        path = Path(os.path.expanduser(weights))
        return None if weights == "none" else str(path.resolve()) if path.is_file() else weights
    if kind == "arch":
        return None
    try:
        resolve(word).source()
    except (NotPublished, WeightsMissing):
        return None
    if kind == "folder":
        return FOLDER_PREFIX + str(Path(os.path.expanduser(word.removeprefix(FOLDER_PREFIX))).resolve())
    return word if word.startswith(HUB_PREFIXES) else f"pinas:{word}"


def _scaled(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(255 * value, 3) for value in values)
