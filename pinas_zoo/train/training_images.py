"""Which images a network was trained on, as far as its model folder says, and whether it is evaluated on them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.data.options import Data
from pinas_zoo.data.sources import split_path
from pinas_zoo.errors import UserError


def was_trained_on(facts: Mapping[str, Any], data: Data, split: str) -> bool:
    """Whether the recorded training split is this split.

    A relative folder of the record counts from the working folder. Copies of the images are not recognised.

    Args:
        facts: ``provenance.json`` of the model folder, of a search or a training; another form is no record.
        data: The images of the evaluation.
        split: Their split.
    """
    record = _data_of(facts)
    kind, name, root, trained = (record.get(key) for key in ("type", "name", "root", "train_split"))
    if kind != data.type or not isinstance(trained, str):
        return False
    if data.type == "digits":  # training images by any name but the test images'
        return split != data.test_split
    if (name or "") != data.name or not isinstance(root, str):
        return False
    return _place(root, trained, data.name) == _place(data.root, split, data.name)


def digits_split(facts: Mapping[str, Any]) -> tuple[int, int]:
    """Seed and random streams by which a network's training split the digits, of which a fifth are test images.

    Another seed's test images are mostly training images of this one. Both are those of a new run, 0 and 2, for a
    network that was not trained on digits or whose record has no seed.

    Args:
        facts: ``provenance.json`` of the model folder.
    """
    config, seed = facts.get("config"), 0
    if not isinstance(config, Mapping) or _data_of(facts).get("type") != "digits":
        return 0, 2
    if type(config.get("seed")) is int and 0 <= config["seed"] < 2**32:
        seed = config["seed"]
    is_search = "explore" in config  # a recipe has no streams, nor has a search of version 0.1, which had one
    return seed, 1 if is_search and config.get("streams", 1) == 1 else 2


def _data_of(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recorded ``data`` table; empty where there is none."""
    config = facts.get("config")
    record = config.get("data") if isinstance(config, Mapping) else None
    return record if isinstance(record, Mapping) else {}


def _place(root: str, split: str, name: str) -> tuple[str, str]:
    """Where a split is: its folder or tar file, or the root and the split's name of a named data set."""
    if not name:
        try:
            return os.path.realpath(split_path(Path(root), split)), ""
        except UserError:  # it is no longer there
            pass
    return os.path.realpath(root), split
