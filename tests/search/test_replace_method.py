"""``--set learn.method=…`` works on any configuration: options of its own method are left out, with a note."""

from __future__ import annotations

import json

import pytest

from pinas_zoo.config_files import config_names
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from pinas_zoo.search.methods.base import METHODS, build_method, method_class, option_names
from pinas_zoo.search.replace_method import load_with_method
from pinas_zoo.search.spaces.base import build_space
from tests.search.methods.test_interface import EXAMPLES, configuration
from tests.search.test_pipeline import TINY
from tests.search.test_pipeline import search as command

CONFIGS = config_names("search")
CELLS = dict(type="nasbench201", channels=4, cells=1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CONFIGS)
def test_any_configuration_takes_any_method(name, method):
    said: list[str] = []
    config = load_with_method(CONFIGS[name], {"learn.method": method}, said.append)
    assert config.learn.method == method
    build_method(method, {**config.learn.options, "queue_size": 8} if method == "pinas" else config.learn.options,
                 build_space(CELLS), 10, 0)  # fmt: skip
    own = load_with_method(CONFIGS[name], {}, said.append)
    gone = set(own.learn.options) - set(config.learn.options)
    assert all(key in said[0] for key in gone)
    assert len(said) == bool(gone)
    assert own.learn.options == {**config.learn.options, **{key: own.learn.options[key] for key in gone}}


def test_options_that_both_methods_have_and_those_of_the_command_line_stay(tmp_path):
    path = tmp_path / "c.py"
    path.write_text("name = 'x'\nlearn = dict(method='fairnas', options=dict(label_smoothing=0.1, update='path'))\n")
    said: list[str] = []
    config = load_with_method(path, {"learn.method": "spos"}, said.append)
    assert config.learn.options == {"label_smoothing": 0.1}
    assert said == ["learn.method is 'spos' instead of 'fairnas'; left out its learn.options: update"]
    config = load_with_method(CONFIGS["digits"], {"learn.options.update": "path", "learn.method": "fairnas"}, print)
    assert config.learn.options == {"update": "path"}
    same = load_with_method(path, {"learn.method": "fairnas"}, said.append)
    assert same.learn.options == {"label_smoothing": 0.1, "update": "path"}
    assert len(said) == 1


def test_an_option_of_the_command_line_that_the_method_lacks_is_an_error(tmp_path):
    result = command(
        "--dry-run", "--work-dir", str(tmp_path / "run"), "--set", "learn.method=spos",
        "--set", "learn.options.queue_size=8", home=tmp_path,
    )  # fmt: skip
    assert result.returncode == 2
    assert "method 'spos': expected learn.options of (label_smoothing" in result.stderr
    assert "got 'queue_size'" in result.stderr


def test_the_command_notes_it_beside_its_output(tmp_path):
    words = ["--dry-run", "--json", "--work-dir", str(tmp_path / "run"), "--set", "learn.method=spos"]
    result = command(*words, home=tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["config"]["learn"]["options"] == {}
    notes = [line for line in result.stderr.splitlines() if line.startswith("note:")]
    assert len(notes) == 1
    assert notes[0].endswith("left out its learn.options: dim, momentum, queue_size, temperature, warm_queue")
    assert "note:" not in command("--dry-run", "--work-dir", str(tmp_path / "run"), home=tmp_path).stderr


def test_a_run_with_another_method_stays_another_run(tmp_path):
    changes = {**TINY, "until": "learn", "learn.steps": "2"}
    del changes["learn.options.queue_size"]
    sets = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    words = ["--work-dir", str(tmp_path / "run"), *sets]
    for _ in range(2):
        first = command(*words, "--set", "learn.method=spos", home=tmp_path)
        assert first.returncode == 0, first.stderr
    assert "learn    complete already" in first.stdout
    other = command(*words, "--set", "learn.method=fairnas", home=tmp_path)
    assert other.returncode == 2
    assert "was made by another configuration (learn.method was 'spos', is 'fairnas'" in other.stderr


@pytest.mark.parametrize("as_file", [True, False])
def test_search_from_python_does_the_same(as_file, tmp_path, zoo_home):
    config = {**configuration("gdas", "nasbench201"), "until": "learn"}
    config["learn"] = dict(method="pinas", options=dict(queue_size=8), steps=2, batch_size=16)
    path = tmp_path / "c.py"
    path.write_text("".join(f"{key} = {value!r}\n" for key, value in config.items()))
    said: list[str] = []
    result = search(path if as_file else config, work_dir=tmp_path / "run", say=said.append,
                    overrides={"learn.method": "spos", "learn.options.label_smoothing": 0.1})  # fmt: skip
    learn = json.loads((result.folder / "config.json").read_text())["learn"]
    assert (learn["method"], learn["options"]) == ("spos", {"label_smoothing": 0.1})
    assert said[0] == "note     learn.method is 'spos' instead of 'pinas'; left out its learn.options: queue_size"
    assert config["learn"]["options"] == {"queue_size": 8}  # the caller's own data is as it was


def test_options_are_those_of_the_constructor_and_of_the_bases_that_it_passes_on_to():
    assert option_names(method_class("fairnas")) == option_names(method_class("spos")) | {"update"}
    assert "label_smoothing" in option_names(method_class("spos"))
    assert {"queue_size", "momentum", "cross_path"} < option_names(method_class("pinas"))
    blockwise = option_names(method_class(str(EXAMPLES / "blockwise.py")))
    assert not blockwise & {"self", "space", "num_classes", "seed", "args", "kwargs"}


def test_an_unknown_method_is_named():
    with pytest.raises(UserError, match=r"expected learn\.method to be one of pinas, spos, fairnas"):
        load_with_method(CONFIGS["digits"], {"learn.method": "nope"}, print)
