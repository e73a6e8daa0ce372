"""What is wrong with a study's configuration, folder or files of results is one line."""

from __future__ import annotations

from typing import Any

import pytest

from pinas_zoo.cli import main
from pinas_zoo.errors import UserError
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.trained_study.config import find_study, load_study, replaced_by_methods
from pinas_zoo.search.trained_study.jobs import Study
from pinas_zoo.search.trained_study.outcomes import read_outcomes
from tests.search.trained_study.tiny_study import write_config

SPACE = {"type": "resnest50", "depths": (1, 1, 1, 1), "widths": (16, 16, 16, 16), "stem_width": 4}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("count = 2", "'count': expected greater than or equal to 3, got 2"),
        ("seeds = (0, 0)", "'seeds': expected different seeds"),
        ("recipe = dict(seed=1)", "expected no recipe.seed, which the study sets itself, got 1"),
        ("recipe = dict(epochs=1)", "unknown key 'epochs'"),
        ("search = dict(train=dict())", "expected no search.train, which the study sets itself"),
        ("methods = dict(spos=dict(learn=dict(method='spos', rate=1)))", "methods.spos: unknown key 'learn.rate'"),
        ("methods = dict(other=dict(learn=dict(method='other')))", "other"),
        ("methods = dict()", "expected at least one method, got methods={}"),
        ("scores = ('flops',)", "'scores.0'"),
        ("sums = ('consistency',)", "'sums': expected a list of lists of scores"),
        ("sums = (('consistency',),)", "'sums': expected at least two scores in each sum"),
        ("sums = (('probe', 'flops'), ('flops', 'probe'))", "'sums': expected each sum once"),
        ("sums = (('consistency', 'other'),)", "'sums': expected scores of classifier, probe, consistency"),
        ("architectures = ('0124',)", "0124"),
        ("architectures = ('0123', '0000', '3333')", "expected a count of at least 4, for 3 listed"),
        ("count = 300", "expected a count within the space's 256 architectures, got 300"),
        ("supernet = 1", "unknown key 'supernet'"),
    ],
)
def test_configurations(tmp_path, capsys, more, said):
    assert main(["study", str(write_config(tmp_path, more)), "--work-dir", str(tmp_path / "run")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "run").exists()


METHODS = "methods = dict(pinas=dict(learn=dict(steps=3)), spos=dict(learn=dict(method='spos'%s)))"


def test_a_value_that_every_method_replaces_is_refused(tmp_path, capsys):
    """It was overridden in silence, and the study ran for as long as before."""
    config = write_config(tmp_path, METHODS % ", steps=4")
    words = ["study", str(config), "--work-dir", str(tmp_path / "run"), "--set"]
    for given in ("search.learn.steps=20", "search.learn={'steps': 20}"):
        assert main([*words, given]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            "pinas-zoo study: expected search.learn.steps=20 to have an effect, got methods.pinas.learn.steps "
            "and methods.spos.learn.steps in its place; try --set methods.pinas.learn.steps=20 --set "
            "methods.spos.learn.steps=20"
        )
    assert not (tmp_path / "run").exists()


def test_a_value_that_one_of_several_methods_replaces_is_noted(tmp_path):
    def replaced(key: str, value: Any) -> list[str]:
        return replaced_by_methods(load_study(config, {key: value}), {key: value})

    config = write_config(tmp_path, METHODS % "")
    line = "search.learn.steps=20 is replaced by methods.pinas.learn.steps"
    assert replaced("search.learn.steps", 20) == [line]
    assert replaced("search.learn.steps", 3) == []  # as the method has it
    assert replaced("search.data.root", "elsewhere") == replaced("seed", 3) == []
    assert replaced("methods.pinas.learn.steps", 9) == []


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--worker",)])
def test_options_of_all_methods_are_checked_before_the_first_is_learned(words, tmp_path, capsys):
    more = "methods = dict(spos=dict(learn=dict(method='spos')), dna=dict(learn=dict(method='dna', options=%s)))"
    config = write_config(tmp_path, more % dict(teacher="local-dir:absent"))
    assert main(["study", str(config), "--work-dir", str(tmp_path / "run"), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pinas-zoo study: methods.dna: ")
    assert "absent" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_the_size_of_untrained_networks_is_checked_before_the_first_is_trained(words, tmp_path, capsys):
    method = "methods = dict(spos=dict(learn=dict(method='spos'), explore=dict(zero_cost_space=dict(cells=2))))"
    config = write_config(tmp_path, method)
    assert main(["study", str(config), "--work-dir", str(tmp_path / "run"), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pinas-zoo study: methods.spos: explore.zero_cost_space: ")
    assert "'cells'" in line
    assert not (tmp_path / "run").exists()


def test_folders(tmp_path, capsys):
    config = write_config(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    for words, said in (
        (["--work-dir", str(tmp_path / "other")], "expected an empty folder or a study, got"),
        (["--work-dir", str(config)], "expected a folder for the study, got the file"),
        (["--work-dir", str(tmp_path / "none"), "--report"], "expected the folder of a study, got"),
        (["--work-dir", str(tmp_path / "none"), "--report", "--worker"], "expected --worker or --report, got both"),
        (["--work-dir", str(tmp_path / "none"), "--dry-run", "--report"], "expected --dry-run alone, got --report"),
        (["--work-dir", str(tmp_path / "other"), "--dry-run"], "expected an empty folder or a study, got"),
        (["--work-dir", str(tmp_path / "none"), "--outcome", "box"], "expected --outcome NAME=FILE, got 'box'"),
        (["--work-dir", str(tmp_path / "none"), "--outcome", "box=absent.csv"], "absent.csv"),
        (["--work-dir", str(tmp_path / "none"), "--set", "storage=study.sqlite"], "storage study.sqlite cannot be"),
    ):
        assert main(["study", str(config), *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "arch,box\n0123,1\n", "expected a column 'outcome', got arch, box"),
        ("a.csv", "architecture,outcome\n0123,high\n", "line 2: expected a number as 'outcome', got 'high'"),
        ("a.csv", "architecture,outcome\n012,1\n", "line 2: expected an architecture of the study's space"),
        ("a.csv", "architecture,outcome\n0123,1\n0123,2\n", "expected one outcome of 0123, got 1 and 2"),
        ("a.json", "[1]", "expected an object such as {'111111': 38.2}"),
        ("a.json", '{"0123": true}', "expected a number for '0123', got"),
        ("a.json", '{"0123": 1e400}', "expected a number for '0123', got"),
        ("a.json", "{", "a.json"),
    ],
)
def test_files_of_results(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        read_outcomes(tmp_path / name, build_space(SPACE))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["cifar10", "digits"])
def test_configurations_that_come_with_the_package(tmp_path, name):
    study = Study(load_study(find_study(name)), tmp_path, print)
    assert study.architectures()[0].origin == "reference resnest"
    assert len(study.architectures()) == study.config.count - len(study.config.methods)
