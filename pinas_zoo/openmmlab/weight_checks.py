"""The weights that a training starts from, read before anything is built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.checkpoints import read_weights, state_dict_of


def initial_weights(model: Any, place: str = "model") -> Iterator[tuple[str, str]]:
    """Places in a model's config that name weights, and what they name."""
    if isinstance(model, Mapping):
        if isinstance(model.get("pretrained"), str):
            yield f"{place}.pretrained", model["pretrained"]
        given = model.get("init_cfg")
        several = isinstance(given, Sequence) and not isinstance(given, str)
        for i, init in enumerate(given if isinstance(given, Sequence) and several else [given]):
            if isinstance(init, Mapping) and init.get("type") == "Pretrained" and init.get("checkpoint"):
                yield f"{place}.init_cfg{f'.{i}' if several else ''}.checkpoint", str(init["checkpoint"])
        for key, part in model.items():
            if key != "init_cfg":
                yield from initial_weights(part, f"{place}.{key}")
    elif isinstance(model, Sequence) and not isinstance(model, str):
        for i, part in enumerate(model):
            yield from initial_weights(part, f"{place}.{i}")


def check_initial_weights(cfg: Any) -> None:
    """Read ``load_from`` and the weights of every ``init_cfg``.

    Raises:
        UserError: One is missing or damaged, asks to run code, or holds no tensors. The message says where it is named.
    """
    places = [("load_from", cfg.load_from)] if cfg.get("load_from") and not cfg.get("resume") else []
    for place, checkpoint in [*places, *initial_weights(cfg.model)]:
        try:
            state_dict_of(read_weights(checkpoint), checkpoint)
        except UserError as error:
            raise type(error)(f"{place}: {error}{random_instead(place)}") from None


def random_instead(place: str) -> str:
    """Words on how to start without the weights at a place of the config."""
    part = place if place.endswith(("load_from", "pretrained")) else place.partition(".init_cfg")[0] + ".init_cfg"
    return f"; or start from random weights: --cfg-options {part}=None"
