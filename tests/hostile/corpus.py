"""The corpus: all inputs by kind. Readers take seconds together; whole commands take minutes and are slow tests."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from tests.hostile import (
    card_inputs,
    command_inputs,
    folder_inputs,
    image_inputs,
    more_command_inputs,
    network_inputs,
    recipe_inputs,
    result_inputs,
    table_inputs,
    value_inputs,
)
from tests.hostile.inputs import Input

READERS: dict[str, tuple[Input, ...]] = {
    "images": image_inputs.inputs(),
    "folders": folder_inputs.inputs(),
    "values": value_inputs.inputs(),
    "tables": table_inputs.inputs(),
    "networks": network_inputs.inputs(),
    "results": result_inputs.inputs(),
    "recipes": recipe_inputs.inputs(),
    "cards": card_inputs.inputs(),
}
COMMANDS: dict[str, tuple[Input, ...]] = {
    "commands": command_inputs.inputs(),
    "more-commands": more_command_inputs.inputs(),
    "trainings": recipe_inputs.slow_inputs(),
}
if find_spec("mmdet") and find_spec("mmseg"):
    for name in ("pinas_zoo.openmmlab", "mmdet.datasets", "matplotlib.pyplot"):  # once, and not in each child
        import_module(name)
    from tests.hostile import dataset_inputs, drawing_inputs, own_data_inputs

    READERS["datasets"] = dataset_inputs.inputs()
    READERS["own-data"] = own_data_inputs.inputs()
    COMMANDS["drawing"] = drawing_inputs.inputs()
    COMMANDS["own-data"] = own_data_inputs.slow_inputs()
