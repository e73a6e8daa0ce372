"""Damaged and foreign files in a run's folder give one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pinas_zoo.engine.checkpoint import CHECKPOINT, load_checkpoint
from pinas_zoo.errors import BrokenWeights, UserError
from pinas_zoo.search import search
from pinas_zoo.search.config import parse_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.preflight import check_run
from pinas_zoo.search.run_files import read_ranking
from pinas_zoo.search.run_folder import DONE, check_folder, read_done
from pinas_zoo.terminal import say
from pinas_zoo.weights.tensors import load_tensors

CONFIG = dict(
    name="folder",
    space=dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    data=dict(type="digits", image_size=32, val_per_class=8),
    learn=dict(steps=2, batch_size=16),
)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"summary": 3}'])
def test_damaged_results_of_a_stage(tmp_path, content):
    (tmp_path / DONE).write_text(content)
    with pytest.raises(UserError, match=r"damaged file \(.*\); delete it to repeat the stage"):
        read_done(tmp_path)


def test_a_ranking_without_a_column(tmp_path):
    (tmp_path / "ranking.csv").write_text("rank,arch\n1,0123\n")
    with pytest.raises(UserError, match="no column accuracy"):
        read_ranking(tmp_path / "ranking.csv")


@pytest.mark.parametrize("state", [{"step": 3}, [1], torch.ones(2)])
def test_a_checkpoint_that_is_none(tmp_path, state):
    torch.save(state, tmp_path / CHECKPOINT)
    with pytest.raises(UserError, match="delete it"):
        load_checkpoint(tmp_path)


def test_weights_that_are_none(tmp_path):
    (tmp_path / "supernet.safetensors").write_text("x")
    with pytest.raises(BrokenWeights, match="broken or truncated"):
        load_tensors(tmp_path / "supernet.safetensors")


def test_a_kept_configuration_that_is_not_valid(tmp_path):
    config = parse_config(CONFIG)
    (tmp_path / "config.json").write_text(json.dumps({**config.model_dump(mode="json"), "streams": "x"}))
    with pytest.raises(UserError, match=r"its config.json is not valid: .*streams"):
        check_folder(config, tmp_path)


def test_limits_that_no_candidate_meets_are_found_before_learning(tmp_path, zoo_home):
    config = parse_config({**CONFIG, "explore": dict(max_flops_g=1e-6)})
    with pytest.raises(UserError, match=r"max_flops_g=1e-06, found none.*raise the limit"):
        check_run(Context.of(config, tmp_path / "run", print))
    assert not (tmp_path / "run").exists()


def test_a_registry_that_cannot_be_written_is_found_before_learning(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PINAS_ZOO_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="expected a registry that can be written"):
        check_run(Context.of(parse_config(CONFIG), tmp_path / "run", print))


@pytest.mark.parametrize("overrides", [{"name.x": 1}, {1: 2}])
def test_overrides_of_no_table(tmp_path, overrides):
    with pytest.raises(UserError):
        search(CONFIG, work_dir=tmp_path / "run", overrides=overrides)


@pytest.mark.parametrize("config", [None, [1]])
def test_a_configuration_of_another_type(config):
    with pytest.raises(UserError, match="expected a configuration as a file, a name or a mapping"):
        search(config)


def test_control_characters_of_a_folder_do_not_reach_the_terminal(capsys):
    say("learn  \x1b]0;own\x07 done\nnext")
    assert capsys.readouterr().out == "learn  \\x1b]0;own\\x07 done\nnext\n"


def test_a_run_folder_is_no_configuration(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(UserError, match=r"got the run folder .* to resume the run give the configuration"):
        search(Path(tmp_path))
