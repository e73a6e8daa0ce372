"""The corpus: all inputs by kind. Readers take seconds together; whole commands take minutes and are slow tests."""

from __future__ import annotations

from tests.hostile import folder_inputs, image_inputs, table_inputs, value_inputs
from tests.hostile.inputs import Input

READERS: dict[str, tuple[Input, ...]] = {
    "images": image_inputs.inputs(),
    "folders": folder_inputs.inputs(),
    "values": value_inputs.inputs(),
    "tables": table_inputs.inputs(),
}
COMMANDS: dict[str, tuple[Input, ...]] = {}
