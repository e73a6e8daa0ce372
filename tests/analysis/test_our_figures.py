"""Our figures beside the paper's: counts are those of the networks, settings those of the configuration."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

import pytest
import timm

from pinas_zoo.analysis.cost import count_module, count_operations
from pinas_zoo.analysis.our_figures import OURS, REMARKS, Ours
from pinas_zoo.analysis.paper_beside_ours import NOT_YET, lines_of, sections
from pinas_zoo.analysis.paper_tables import SECTION_4_1, number
from pinas_zoo.models.blocks import CANDIDATES, DEPTHS
from tests.networks import ROOT

COUNTED = {ours.command: ours for ours in OURS.values() if ours.command.startswith("pinas-zoo info") and ours.value}
PLACES = {section.place: section for section in sections()}


@pytest.mark.parametrize("command", sorted(COUNTED))
def test_counts_are_the_networks_own(command):
    name, *size = command.removeprefix("pinas-zoo info ").split(" --image-size ")
    model, shape = timm.create_model(name, device="meta"), (3, *[int(size[0]) if size else 224] * 2)
    counts = {f"{count_module(model, shape).params / 1e6:.3f}M", f"{count_operations(model, shape) / 1e9:.3f}G"}
    assert {ours.value for ours in OURS.values() if ours.command == command} == counts


def test_every_entry_stands_in_a_section():
    """A row or column that is misspelt would never be printed."""
    shown = {
        (section.place, row.printed[0], column)
        for section in PLACES.values()
        for row in section.rows
        for column, ours in zip(section.columns[1:], row.ours, strict=True)
        if ours is not None and ours.command
    }
    assert shown == set(OURS)
    assert set(REMARKS) <= set(PLACES)


def test_every_number_of_the_paper_has_a_place_for_ours():
    for section in PLACES.values():
        for row in section.rows:
            for cell, ours in zip(row.printed[1:], row.ours, strict=True):
                if section.place == "section 4.1":
                    continue
                try:
                    number(cell)
                except ValueError:
                    assert (ours is not None) == (cell == "collision")
                else:
                    assert ours is not None
                    assert ours.command or ours == Ours("")
    assert [cells[2] for cells in lines_of(PLACES["figure 3"])[1]]
    beta = next(row for row in PLACES["table 1"].rows if row.printed[0] == "Π-NAS-β")
    assert PLACES["table 1"].cells_of_ours(beta) == ["[4]", "[4]", NOT_YET, NOT_YET, NOT_YET]


def test_settings_are_the_configuration_s():
    config = pytest.importorskip("pinas_zoo.search.config")
    values: Any = config.load_config(ROOT / "configs" / "search" / "resnest50_imagenet" / "base.py").model_dump()
    found = {row: ours.value for (place, row, _), ours in OURS.items() if place == "section 4.1"}
    assert len(found) > 12
    for row, text in found.items():
        key, _, expected = text.partition("=")
        value = values
        for part in key.split("."):
            value = value[part] if isinstance(value, Mapping) else getattr(value, part)
        assert value == ast.literal_eval(expected), row


def test_the_space_of_sec_4_1_is_ours():
    printed = {setting.name: setting.printed for setting in SECTION_4_1 if setting.stage == "space"}
    blocks = [text for name, text in printed.items() if name.startswith("Block")]
    assert blocks == list(map(str, CANDIDATES))
    assert int(printed["layers"]) == sum(DEPTHS)
    assert printed["architectures"] == f"{len(CANDIDATES)}^{sum(DEPTHS)}"
