"""The explore stage: which study a configuration belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinas_zoo.search.config import load_config
from pinas_zoo.search.stages.explore import signature

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "search"
OF_0_1_0 = {"digits": "b44947dcf222b5a3", "cifar10": "9e538e7cc6aba1b4", "nasbench201_three": "bb64edf6daf077b5"}


@pytest.mark.parametrize("name", OF_0_1_0)
def test_a_study_of_version_0_1_0_belongs_to_the_same_configuration(name):
    config = load_config(CONFIGS / f"{name}.py", {"name": name.removesuffix("_three")})  # its name in that version
    assert signature(config) == OF_0_1_0[name]
    assert signature(config.model_copy(update={"streams": 1})) == OF_0_1_0[name]
    assert signature(config.model_copy(update={"seed": 1})) != OF_0_1_0[name]
