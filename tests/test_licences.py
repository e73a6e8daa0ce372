"""The page of licences has a row for every dependency, with what its metadata says."""

from __future__ import annotations

import re
import sys
from email.message import Message
from importlib import metadata

import pytest

from tests.licences import HEAD, NOT_STATED, PAGE, ROOT, closure, installed_rows, licence_of, normal, page_rows

pytest.importorskip("packaging")
NAMED = re.compile(rf"GPL|MPL|Proprietary|-NC|non-?commercial|{NOT_STATED}", re.IGNORECASE)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="constraints.txt pins little there, and tomllib is absent")
def test_every_installed_dependency_has_its_row():
    rows = page_rows(PAGE.read_text(encoding="utf-8"))
    wrong = {name: row for name, row in installed_rows().items() if rows.get(name) != row}
    assert not wrong, "python -m tests.licences writes them to docs/licences.md"


def test_every_pinned_package_has_its_row():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line} - {"pip"}  # it comes with Python
    assert not pinned - set(page_rows(PAGE.read_text(encoding="utf-8")))


def test_what_asks_for_more_than_a_notice_is_named_above_the_table():
    text = PAGE.read_text(encoding="utf-8")
    above = text.partition(HEAD)[0]
    for name, (licence, _) in page_rows(text).items():
        if NAMED.search(licence):
            assert f"`{name}`" in above or (name.startswith("nvidia-") and "`nvidia-*`" in above), name


def test_a_requirement_brings_what_it_requires():
    needed = metadata.requires("torchvision") or []
    assert any("torch" in line for line in needed)
    assert {"torchvision", "torch", "numpy", "pillow"} <= closure(["torchvision>=0.1"])
    assert closure(["torchvision>=0.1; python_version < '3'"]) == set()


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License-Expression": "0BSD AND MIT", "License": "Zlib"}, "0BSD AND MIT"),
        ({"License": "UNKNOWN", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
        ({"License": "A long text\nof many lines", "Classifier": "License :: OSI Approved :: BSD License"}, "BSD"),
        ({"License": "GPL-3.0-only"}, "GPL-3.0-only"),
        ({"License": "For research alone"}, NOT_STATED),
        ({}, NOT_STATED),
    ],
)
def test_what_metadata_says(fields: dict[str, str], licence: str):
    message = Message()
    for key, value in fields.items():
        message[key] = value
    assert licence_of(message) == licence
