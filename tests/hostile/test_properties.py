"""Values made by chance: each is read rightly or refused by a UserError, whatever it is."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from pinas_zoo.arch import DIGITS, Arch
from pinas_zoo.convert.classifier import convert_tensors
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import SearchConfig, parse_config, parse_overrides
from pinas_zoo.search.ranking.truth_csv import read_truth
from pinas_zoo.weights.model_folder import parse_config as parse_model_config
from pinas_zoo.weights.tensors import without_wrappers
from pinas_zoo.zoo import registry, registry_files

EXAMPLES = settings(deadline=None, max_examples=60, derandomize=True, database=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
ARGUMENTS = (
    "arch",
    "depths",
    "widths",
    "stem_width",
    "num_classes",
    "in_chans",
    "output_stride",
    "norm_layer",
    "global_pool",
    "drop_rate",
)
FIELDS = (
    "input_size",
    "mean",
    "std",
    "crop_pct",
    "interpolation",
    "label_names",
    "label_descriptions",
    "crop_mode",
    "num_classes",
    "pool_size",
    "classifier",
)


def or_refused(read: Callable[[], Any]) -> Any:
    """What a reader returns; None where it refuses the input in one line."""
    try:
        return read()
    except UserError as error:
        said = str(error)
    assert said.strip()
    assert "\n" not in said
    return None


@EXAMPLES
@given(st.text(DIGITS[:4], min_size=1, max_size=40))
def test_every_text_of_digits_is_an_architecture_and_stays_itself(text: str) -> None:
    arch = Arch.parse(text, len(text), 4)
    assert str(arch) == text
    assert Arch.parse(list(arch)) == arch
    assert Arch.parse(arch) == arch


@EXAMPLES
@given(JSON | st.lists(st.integers(-5, 50), max_size=6) | st.binary(max_size=8))
def test_whatever_is_given_as_an_architecture(value: Any) -> None:
    arch = or_refused(lambda: Arch.parse(value, 4, 4))
    assert arch is None or (len(arch) == 4 and all(0 <= choice < 4 for choice in arch))


PATHS = [
    f"{table}.{key}"
    for table in ("data", "views", "learn", "linear", "explore", "train", "space")
    for key in (
        "lr",
        "steps",
        "batch_size",
        "type",
        "options",
        "image_size",
        "mean",
        "scale",
        "evaluations",
        "depths",
        "epochs",
    )
] + list(SearchConfig.model_fields)


@EXAMPLES
@given(st.sampled_from(PATHS), JSON)
def test_configuration_values(path: str, value: Any) -> None:
    values: Any = {"name": "a", "data": {"type": "digits"}}
    table, _, key = path.partition(".")
    values[table] = {**values.get(table, {}), key: value} if key and isinstance(values.get(table, {}), dict) else value
    found = or_refused(lambda: parse_config(values))
    if found is not None:
        assert parse_config(json.loads(found.model_dump_json())) == found  # a run's config.json is the same run


@EXAMPLES
@given(st.text(max_size=30), st.text(max_size=60))
def test_settings_of_a_command_line(key: str, value: str) -> None:
    found = or_refused(lambda: parse_overrides([f"{key}={value}"]))
    assert found is None or len(found) == 1


@EXAMPLES
@given(st.sampled_from(ARGUMENTS), JSON, st.sampled_from(FIELDS), JSON)
def test_config_json_of_a_network(argument: str, value: Any, field: str, other: Any) -> None:
    args = {"arch": "0123", "depths": [1, 1, 1, 1], argument: value}
    content = {"architecture": "pinas", "model_args": args, "pretrained_cfg": {"input_size": [3, 32, 32], field: other}}
    or_refused(lambda: parse_model_config(json.dumps(content).encode(), "config.json"))
    or_refused(lambda: parse_model_config(json.dumps({"architecture": value, argument: other}).encode(), "config.json"))


@EXAMPLES
@given(JSON, st.sampled_from(ARGUMENTS), JSON)
def test_registry_entries_never_keep_the_sound_one_from_loading(whole: Any, argument: str, value: Any) -> None:
    contents = (whole, {"name": "b", "model_args": {"arch": "0123", "depths": [1, 1, 1, 1], argument: value}})
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINAS_ZOO_HOME", home)
        patch.setattr(registry_files, "report", lambda text: None)
        models = Path(home) / "models"
        models.mkdir()
        (models / "sound.json").write_text(json.dumps({"name": "sound", "model_args": {"arch": "0" * 16}}))
        for name, content in zip("ab", contents, strict=True):
            (models / f"{name}.json").write_text(json.dumps(content))
        registry.load_registry()
        names = [entry.name for entry in registry.known()]
        for name in names:
            registry.forget(name)
    assert "sound" in names


CELLS = st.text(max_size=12) | st.floats().map(str) | st.integers().map(str)


@EXAMPLES
@given(st.lists(st.tuples(CELLS, CELLS), max_size=6), st.sampled_from([",", ";", "\t"]))
def test_truth_tables(rows: list[tuple[str, str]], separator: str) -> None:
    text = "\n".join([f"arch{separator}accuracy", *(separator.join(row) for row in rows)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        found = or_refused(lambda: read_truth(path)[0])
    assert found is None or all(abs(value) <= 1e12 for value in found.values())


PARTS = st.lists(
    st.sampled_from(
        [
            "module",
            "_orig_mod",
            "backbone",
            "layer1",
            "0",
            "3",
            "conv1",
            "weight",
            "bn1",
            "",
            "999999999",
            "-1",
            "\x1b",
            "fc",
            "conv1.0",
        ]
    ),
    max_size=6,
)


@EXAMPLES
@given(st.lists(PARTS.map(".".join), max_size=5), st.lists(st.integers(0, 3), max_size=4))
def test_names_of_a_checkpoint(names: list[str], shape: list[int]) -> None:
    import torch

    tensors = {name: torch.zeros(shape) for name in names}
    or_refused(lambda: without_wrappers(tensors))
    assert or_refused(lambda: convert_tensors(tensors, "x.pth")) is None
