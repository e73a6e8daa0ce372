"""Configs, indices and docs/transfer.md have Tables 5 and 6 as printed, and the figures of the authors' README."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pinas_zoo.analysis.paper_tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
FIGURE = re.compile(r"\d+\.\d+(?:±\d+\.\d+)?")
README = {  # of Π-NAS-trans, the authors' published files
    "COCO 2017 val": ["44.07", "39.50"],
    "ADE20K val": ["81.27", "45.47"],
    "Cityscapes val": ["80.70"],
}
DATA = {"coco": "COCO 2017 val", "ade20k": "ADE20K val", "cityscapes": "Cityscapes val"}
COLUMNS = {  # table and columns of the paper
    "COCO 2017 val": (5, ("AP Box", "AP Mask")),
    "ADE20K val": (6, ("ADE20K pixAcc", "ADE20K mIoU")),
    "Cityscapes val": (6, ("Cityscapes mIoU",)),
}
MODELS: list[dict[str, Any]] = [
    model
    for task in ("det", "seg")
    for model in yaml.safe_load((ROOT / "configs" / task / "metafile.yml").read_text())["Models"]
]


def data_of(model: dict[str, Any]) -> str:
    return next(data for part, data in DATA.items() if part in model["Name"])


def figures(model: dict[str, Any], source: str) -> list[str]:
    """Of one model of an index, those whose source begins with ``source``."""
    results = [result for result in model.get("Results", []) if result["Source"].startswith(source)]
    assert all(result["Dataset"] == data_of(model) for result in results)
    return [value for result in results for value in result["Metrics"].values()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["Name"])
def test_the_index_has_the_printed_figures(model: dict[str, Any]) -> None:
    table, columns = COLUMNS[data_of(model)]
    row = model["Metadata"]["Backbone"]
    printed = [TABLES[table].cell(row, column) for column in columns if row in TABLES[table].names()]
    assert figures(model, f"the paper, Table {table}") == printed
    theirs = README[data_of(model)] if model["Metadata"]["Backbone"] == "Π-NAS-trans" else []
    assert figures(model, "the authors' README") == theirs
    assert len(figures(model, "")) == len(printed) + len(theirs)  # none of another source


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["Name"])
def test_the_head_has_the_figures_of_the_index(model: dict[str, Any]) -> None:
    head = (ROOT / model["Config"]).read_text().partition("#   tools/")[0].replace("\n#", "")
    printed, _, theirs = head.partition("Authors' README")
    assert FIGURE.findall(printed) == figures(model, "the paper")
    assert FIGURE.findall(theirs) == figures(model, "the authors' README")
    if figures(model, ""):
        assert f"Paper (Table {COLUMNS[data_of(model)][0]}): " in printed
    else:
        assert "The paper has no figure" in printed
        assert "see" not in printed.lower()


def test_the_page_has_the_figures_of_the_indices() -> None:
    lines = [line for line in (ROOT / "docs/transfer.md").read_text().splitlines() if line.startswith("| ")]
    rows = {cells[0]: cells[1:] for cells in ([c.strip() for c in line.strip("| ").split("|")] for line in lines)}
    for backbone in ("ResNet-50", "ResNeSt-50", "Π-NAS-cls", "Π-NAS-trans"):
        same = [model for model in MODELS if model["Metadata"]["Backbone"] == backbone]
        printed = [value for data in DATA.values() for m in same if data_of(m) == data for value in figures(m, "the p")]
        assert [value for value in rows[backbone] if value != "no row"] == printed
    assert rows["Π-NAS-trans, authors' README"] == [value for values in README.values() for value in values]
