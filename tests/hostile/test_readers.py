"""Every input of the corpus keeps its promise (:mod:`tests.hostile.inputs`); ``python -m tests.hostile`` lists them."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("limits of processes are Linux's", allow_module_level=True)
from tests.hostile.corpus import COMMANDS, READERS
from tests.hostile.inputs import Input, shards
from tests.hostile.limits import read_shard

PARTS = [(f"{name}-{k}", part) for name, inputs in READERS.items() for k, part in enumerate(shards(inputs))]
LONG = [(f"{name}-{k}", part) for name, inputs in COMMANDS.items() for k, part in enumerate(shards(inputs))]


def broken(inputs: tuple[Input, ...], folder: Path) -> list[str]:
    return [f"{o.name}: {o.text}" for o in read_shard(inputs, folder) if o.kind == "broken"]


@pytest.mark.parametrize("part", [part for _, part in PARTS], ids=[name for name, _ in PARTS])
def test_readers(part: tuple[Input, ...], tmp_path: Path) -> None:
    assert broken(part, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", [part for _, part in LONG], ids=[name for name, _ in LONG])
def test_commands(part: tuple[Input, ...], tmp_path: Path) -> None:
    assert broken(part, tmp_path) == []


def test_the_corpus_has_its_size_and_names_are_unique() -> None:
    names = Counter(item.name for inputs in (*READERS.values(), *COMMANDS.values()) for item in inputs)
    assert [name for name, count in names.items() if count > 1] == []
    assert len(names) > 2800  # as docs/security.md says
