"""The backbone of a new config: what the user names, its weights, and the sizes that neck and heads must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pinas_zoo.errors import NotPublished, UserError, WeightsMissing
from pinas_zoo.models.pinas import WIDTHS
from pinas_zoo.zoo.resolve import FOLDER_PREFIX, ResolvedNetwork, resolve

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
    checkpoint = _given(weights) if weights is not None else _own(network)
    if checkpoint is None:
        notes.append(
            f"{word} has no weights here, so training starts from random ones: it takes longer and reaches less; "
            "give a checkpoint by --weights"
            if weights is None
            else "training starts from random weights"
        )
        other = False
    return Backbone(
        arch=str(network.folder.resolve()) if network.kind == "folder" and network.folder else word,
        checkpoint=checkpoint,
        channels=None if tuple(spec.widths) == WIDTHS else tuple(EXPANSION * width for width in spec.widths),
        pixels=(_scaled(mean), _scaled(std)) if other and len(mean) == len(std) == 3 else None,
    )


def _given(weights: str) -> str | None:
    """The ``checkpoint=`` of mmengine's ``init_cfg`` for what the user names; None for ``none``.

    Raises:
        UserError: No file, no folder, and no place such as ``hf-hub:…``, ``pinas:NAME`` or a URL.
    """
    path = Path(weights).expanduser()
    if weights == "none":
        return None
    if path.is_file():
        return str(path.resolve())
    if path.is_dir():
        return FOLDER_PREFIX + str(path.resolve())
    if weights.startswith(FOLDER_PREFIX):
        return FOLDER_PREFIX + str(Path(weights.removeprefix(FOLDER_PREFIX)).expanduser().resolve())
    if ":" not in weights:
        raise UserError(
            f"expected a file or model folder as --weights, got {weights}, which is not there; try "
            f"pinas:{weights} for the weights of a name, hf-hub:user/name, or none"
        )
    return weights


def _own(network: ResolvedNetwork) -> str | None:
    """The ``checkpoint=`` of a network's own weights; None where it has none."""
    if network.kind == "arch":
        return None
    try:
        network.source()
    except (NotPublished, WeightsMissing):
        return None
    if network.folder is not None:
        return FOLDER_PREFIX + str(network.folder.resolve())
    return network.given if network.repo is not None else f"pinas:{network.given}"


def _scaled(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(255 * value, 3) for value in values)
