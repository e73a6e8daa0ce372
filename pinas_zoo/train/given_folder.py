"""A folder of images that the user names in place of a recipe's own data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pinas_zoo.data.sources import open_split
from pinas_zoo.data.unread_root import DEFAULT_ROOT, refuse_unread_root
from pinas_zoo.errors import UserError
from pinas_zoo.train.config import Recipe, TrainData
from pinas_zoo.train.images import located


def with_given_folder(recipe: Recipe, overrides: Mapping[str, Any]) -> tuple[Recipe, str]:
    """The recipe with the images of the folder that the overrides name, and a line that says so where it changed.

    A recipe of digits takes the folder instead, and one of a data set of torchvision takes folders of classes where the
    folder does not hold that data set. The recipe's other values stay.

    Args:
        recipe: The recipe, with the overrides.
        overrides: Values that the user gave, by dotted key.

    Raises:
        UserError: A folder beside digits that the user or the recipe asks for all the same.
    """
    data, given = recipe.data, overrides.get("data.root")
    if given is None or "data.type" in overrides or "data" in overrides:
        refuse_unread_root(data.type, data.root)
        return recipe, ""
    if data.type == "digits":
        if given == "digits" and not Path(given).exists():  # what `pinas-zoo eval --data` calls them
            return recipe.model_copy(update={"data": data.model_copy(update={"root": DEFAULT_ROOT})}), ""
        folder = data.model_copy(update={"type": "timm", "name": ""})
        said = f"images are read from the folder {given}, in place of the recipe's digits (data.type='timm')"
        return recipe.model_copy(update={"data": folder}), said
    if not data.name.lower().startswith("torch/") or "data.name" in overrides:
        return recipe, ""
    folder = data.model_copy(update={"name": ""})
    if _opens(data, data.train_split) or not _opens(*located(folder, data.train_split)):
        return recipe, ""
    said = f"{given} does not hold {data.name}, but folders of classes, which are read in its place (data.name='')"
    return recipe.model_copy(update={"data": folder}), said


def _opens(data: TrainData, split: str) -> bool:
    try:
        open_split(data.table(), split)
    except UserError:
        return False
    return True
