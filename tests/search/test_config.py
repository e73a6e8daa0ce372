"""Configurations: what is read is what was meant, and what was not meant is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.search.config import ActionSpaceSettings, SearchConfig, load_config, parse_config, parse_overrides
from pinas_zoo.search.spaces.base import build_space

SEARCH = Path(__file__).resolve().parents[2] / "configs" / "search"
CONFIGS = sorted(SEARCH.rglob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_configuration_loads_and_survives_json(path):
    config = load_config(path)
    kept = config.model_dump(mode="json")
    assert parse_config(kept).model_dump(mode="json") == kept
    assert build_space(config.space).size > 1


def test_the_compared_methods_differ_from_the_papers_search_only_in_learning():
    """Sec. 4.2: SPOS and FairNAS are searched by the same procedure; FairNAS is updated as the authors ran it."""
    folder = SEARCH / "resnest50_imagenet"
    pinas, spos, fairnas = (load_config(folder / f"{name}.py").model_dump() for name in ("explore", "spos", "fairnas"))
    for other in (spos, fairnas):
        assert {key for key in pinas if pinas[key] != other[key]} == {"name", "views", "learn"}
        assert {key for key in pinas["learn"] if pinas["learn"][key] != other["learn"][key]} == {
            "method", "options", "batch_size", "lr",
        }  # fmt: skip
        crop_and_flip = pinas["linear"]["views"]
        assert {key for key in crop_and_flip if crop_and_flip[key] != other["views"][key]} <= {"jitter", "blur_sigma"}
    assert (spos["learn"]["method"], spos["learn"]["options"]) == ("spos", {})
    assert (fairnas["learn"]["method"], fairnas["learn"]["options"]) == ("fairnas", {"update": "path"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected a key 'name'"),
        ({"name": "x", "lern": {}}, "unknown key 'lern'; did you mean 'learn'?"),
        ({"name": "x", "learn": {"step": 3}}, "unknown key 'learn.step'; did you mean 'learn.steps'?"),
        ({"name": "x", "learn": {"steps": 0}}, "'learn.steps'"),
        ({"name": "x", "learn": {"steps": "many"}}, "'learn.steps'.*got 'many'"),
        ({"name": "../x"}, "'name'"),
        ({"name": "x", "explore": {"action_space": {"preset": "lanas"}}}, "'explore.action_space.preset'.*got 'lanas'"),
        ({"name": "x", "explore": {"action_space": {"preset": ["authors"]}}}, "'explore.action_space.preset'"),
        ({"name": "x", "explore": {"score": "evil"}}, "'explore.score': expected one of classifier, .*, got 'evil'"),
        ({"name": "x", "explore": {"score": {"flops": 1}}}, "expected one of classifier, .*, or a list of several"),
        ({"name": "x", "explore": {"score": []}}, "expected at least one score in the list, got \\[\\]"),
        ({"name": "x", "explore": {"score": ["flops", "evil"]}}, "scores of classifier, .* in the list, got .*'evil'"),
        (
            {"name": "x", "explore": {"score": ["flops", 0.5]}},
            r"expected names of scores or pairs like \['flops', 0.5\]",
        ),
        ({"name": "x", "explore": {"score": [["flops", 1, 2]]}}, "expected names of scores or pairs"),
        ({"name": "x", "explore": {"score": [[["flops"], 1]]}}, "expected names of scores or pairs"),
        ({"name": "x", "explore": {"score": ["flops", ["flops", 2]]}}, "expected each score once in the list"),
        ({"name": "x", "explore": {"score": [["flops", -1]]}}, "expected a weight of 1e-06 to 1e.06 for flops"),
        ({"name": "x", "explore": {"score": [["flops", 0]]}}, "expected a weight"),
        ({"name": "x", "explore": {"score": [["flops", math.inf]]}}, "'explore.score.0.1': expected a finite number"),
        ({"name": "x", "explore": {"score": [["flops", math.nan]]}}, "'explore.score.0.1': expected a finite number"),
        ({"name": "x", "explore": {"score": [["flops", 10**400]]}}, "'explore.score.0.1': expected a finite number"),
        ({"name": "x", "explore": {"score": [["flops", "2"]]}}, "expected a weight"),
        ({"name": "x", "explore": {"score": [["flops", True]]}}, "expected a weight"),
        ({"name": "x", "explore": {"action_space": {"height": 0}}}, "'explore.action_space.height'.*got 0"),
        ({"name": "x", "explore": {"action_space": {"height": "x"}}}, "height': expected a valid integer, got 'x'$"),
        (
            {"name": "x", "explore": {"action_space": "authors"}},
            "a table of the keys 'preset', .*got 'authors'",
        ),
        (
            {"name": "x", "explore": {"recalibration_views": 5}},
            "a table of the keys 'scale'.*one by one",
        ),
        ({"name": "x", "explore": {"action_space": {"hight": 2}}}, "did you mean 'explore.action_space.height'?"),
        ({"name": "x", "views": {"scale": [1.0]}}, "views.scale"),
        ({"name": "x", "views": {"scale": [0.2, 1.5]}}, r"'views\.scale\.1'.*less than or equal to 1, got 1\.5"),
        ({"name": "x", "views": {"scale": [1.0, 0.2]}}, r"'views\.scale': expected the lower bound first, got \[1\.0"),
        ({"name": "x", "views": {"blur_sigma": [2.0, 0.1]}}, r"'views\.blur_sigma': expected the lower bound first"),
        ({"name": "x", "explore": {"views": {"jitter": [-1, 0, 0, 0]}}}, r"'explore\.views.*jitter\.0'.*got -1"),
        ({"name": "x", "views": {"ratio": [0.5, math.inf]}}, r"'views\.ratio\.1'.*got inf"),
        ({"name": "x", "views": {"jitter": [0, 0, 0, 0.6]}}, r"'views\.jitter\.3'.*less than or equal to 0\.5"),
    ],
)
def test_what_is_wrong_is_named(values, message):
    with pytest.raises(UserError, match=message):
        parse_config(values)


def sampler(**explore: object) -> ActionSpaceSettings:
    options = parse_config({"name": "x", "explore": explore}).explore
    return options.action_space.settings(options.random_first)


def test_the_authors_sampler_is_one_preset_whose_values_can_be_set_one_by_one():
    assert sampler(action_space={"preset": "authors"}) == (80, 1, 0.0, False, "median")
    assert sampler(action_space={"preset": "authors", "height": 2, "random_first": 40}) == (40, 2, 0.0, False, "median")
    assert sampler() == (20, 3, 0.2, True, "linear")
    assert sampler(random_first=50, action_space={"exploration": 0.0}) == (50, 3, 0.0, True, "linear")


def test_a_preset_replaces_that_of_a_saved_configuration(tmp_path):
    saved = tmp_path / "config.json"
    saved.write_text(parse_config({"name": "x"}).model_dump_json())
    explore = load_config(saved, {"explore.action_space.preset": "authors"}).explore
    assert explore.action_space.settings(explore.random_first) == (80, 1, 0.0, False, "median")


def test_a_list_of_scores_is_kept_as_pairs_and_replaces_one_score(tmp_path):
    (tmp_path / "x.py").write_text('name = "x"\nexplore = dict(score=["identification", ["flops", 0.5]])\n')
    config = load_config(tmp_path / "x.py")
    assert config.explore.score == (("identification", 1.0), ("flops", 0.5))
    assert config.explore.weights == {"identification": 1.0, "flops": 0.5}
    assert config.explore.kinds == ("identification", "flops")
    assert parse_config(config.model_dump(mode="json")) == config
    for text, kinds, weights in (
        ("explore.score=('consistency','flops')", ("consistency", "flops"), {"consistency": 1.0, "flops": 1.0}),
        ("explore.score=flops", ("flops",), None),
    ):
        explore = load_config(tmp_path / "x.py", parse_overrides([text])).explore
        assert (explore.kinds, explore.weights) == (kinds, weights)


def test_overrides_replace_single_values(tmp_path):
    path = tmp_path / "c.py"
    path.write_text("name = 'x'\nlearn = dict(steps=7, lr=0.5)\n")
    config = load_config(path, {"learn.steps": 9})
    assert (config.learn.steps, config.learn.lr) == (9, 0.5)
    assert SearchConfig(name="x").learn.steps != 9


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "c.py"
    path.write_text("name = oops\n")
    with pytest.raises(UserError, match=r"expected a configuration in .*c\.py, got NameError.*oops"):
        load_config(path)
    with pytest.raises(UserError, match="expected a configuration file, found none at"):
        load_config(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"type": "resnest"}, "expected space.type to be one of"),
        ({"type": "resnest50", "depth": (1, 1, 1, 1)}, "depth"),
        ({"type": "resnest50", "depths": (1, 1, 1)}, "expected four stages"),
        ({"type": "resnest50", "widths": (24, 24, 24, 24)}, "every candidate"),
        (
            {"type": "nasbench201", "subspace": ("none", "conv")},
            "space.subspace to be a list of .*, got 'conv'$",
        ),
    ],
)
def test_a_bad_space_is_named(space, message):
    with pytest.raises(UserError, match=message):
        build_space(space)
