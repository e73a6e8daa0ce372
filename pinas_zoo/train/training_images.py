"""Whether a network is evaluated on the images that it was trained on, as far as its model folder says."""

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
    config = facts.get("config")
    record = config.get("data") if isinstance(config, Mapping) else None
    if not isinstance(record, Mapping):
        return False
    kind, name, root, trained = (record.get(key) for key in ("type", "name", "root", "train_split"))
    if kind != data.type or not isinstance(trained, str):
        return False
    if data.type == "digits":
        return split == trained
    if (name or "") != data.name or not isinstance(root, str):
        return False
    return _place(root, trained, data.name) == _place(data.root, split, data.name)


def _place(root: str, split: str, name: str) -> tuple[str, str]:
    """Where a split is: its folder or tar file, or the root and the split's name of a named data set."""
    if not name:
        try:
            return os.path.realpath(split_path(Path(root), split)), ""
        except UserError:  # it is no longer there
            pass
    return os.path.realpath(root), split
