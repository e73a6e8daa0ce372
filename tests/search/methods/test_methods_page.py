"""docs/methods.md lists what the paper's experiments compare, and its columns are true of this package."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import get_args

import pytest
import timm

from pinas_zoo.config_files import config_names
from pinas_zoo.search.config import Explore, parse_overrides
from pinas_zoo.search.methods.base import METHODS, method_class, option_names
from pinas_zoo.search.replace_method import load_with_method
from pinas_zoo.search.spaces.base import build_space
from tests.networks import ROOT

PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
PARTS = {"gdas", "nsas"}  # built-in methods that the paper compares only in combination
COMPARED = {  # Tables 2, 3, 4 and 7, Figures 3, 4, 6 and 8
    "Π-NAS", "SPOS", "FairNAS", "DNA", "FBNetV2", "TuNAS", "arch2vec", "ProxylessNAS", "WPL", "GDAS-NSAS",
    "S-Π model (no mean teacher)", "Π-NAS w/o CP", "Π-NAS w/o DS", "Π-NAS w/o nontrivial", "Π-NAS w/o DA",
    "ResNet-50", "ResNeSt-50", "SENet-50", "SKNet-50", "EfficientNet-B3",
}  # fmt: skip


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its head."""
    lines = PAGE.split(f"\n## {heading}\n")[1].splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("|"))
    stop = next((k for k in range(start, len(lines)) if not lines[k].startswith("|")), len(lines))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 : stop]]


SYSTEMS = {row[0]: row[1:] for row in rows("Systems of the paper's experiments")}
COMMANDS = [
    words
    for _, _, how in SYSTEMS.values()
    for code in re.findall(r"`(pinas-zoo search [^`]+)`", how)
    for words in [shlex.split(code)]
]


def test_every_system_of_the_paper_is_listed_with_one_state():
    assert set(SYSTEMS) == COMPARED
    for name, (where, here, _) in SYSTEMS.items():
        assert re.search(r"Tables? \d|Figures? \d", where), name
        assert re.fullmatch(r"(yes|sampler|network of timm): `\w+`", here), name


def test_what_is_implemented_is_listed_so_and_nothing_else():
    listed = {here.split("`")[1] for _, here, _ in SYSTEMS.values() if here.startswith("yes")}
    assert listed == set(METHODS) - PARTS
    samplers = {here.split("`")[1] for _, here, _ in SYSTEMS.values() if here.startswith("sampler")}
    assert samplers <= set(get_args(Explore.model_fields["sampler"].annotation))
    assert {cells[0].strip("`") for cells in rows("What is built in")} == {*METHODS, "a Python file"}


def test_listed_options_exist():
    for name, _, options in rows("What is built in"):
        kind = name.strip("`")
        if kind in METHODS:
            named = set(re.findall(r"`(\w+)`", options)) - set(METHODS)
            assert named <= option_names(method_class(kind)), name


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_listed_command_runs_what_its_row_says(words):
    config, sets = words[2], [after for word, after in pairwise(words) if word == "--set"]
    said: list[str] = []
    changes = parse_overrides(sets)
    loaded = load_with_method(config_names("search")[config], changes, said.append)
    assert said == []
    assert set(loaded.learn.options) <= option_names(method_class(loaded.learn.method))
    assert build_space(loaded.space).size > 1
    row = next(row for row in SYSTEMS.values() if f"`{shlex.join(words)}`" in row[2])
    assert row[1] in (f"yes: `{loaded.learn.method}`", f"sampler: `{loaded.explore.sampler}`")
    for key, value in changes.items():  # an ablation says something else than the default
        before = load_with_method(config_names("search")[config], {}, print).model_dump()
        for part in key.split("."):
            before = before.get(part) if isinstance(before, dict) else None
        assert before != value


def test_networks_of_timm_exist():
    named = [here.split("`")[1] for _, here, _ in SYSTEMS.values() if here.startswith("network")]
    assert len(named) == 5
    assert all(timm.is_model(name) for name in named)
