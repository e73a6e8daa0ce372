"""A configuration is found by path or by name, in a checkout and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinas_zoo import config_files
from pinas_zoo.config_files import config_names
from pinas_zoo.errors import UserError
from pinas_zoo.search.config_files import find_config

ROOT = Path(__file__).resolve().parents[1]
SEARCH = ROOT / "configs" / "search"


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ("digits", "digits.py"),
        ("digits.py", "digits.py"),
        ("configs/search/digits.py", "digits.py"),
        ("resnest50_imagenet/learn", "resnest50_imagenet/learn.py"),
        ("configs/search/resnest50_imagenet/base.py", "resnest50_imagenet/base.py"),
    ],
)
def test_a_name_stands_for_a_file_from_any_folder(text, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(text) == SEARCH / file
    assert find_config(Path(text)) == SEARCH / file


def test_every_search_configuration_has_a_name():
    names = config_names("search")
    assert list(names.values()) == sorted(SEARCH.rglob("*.py"))
    assert all(find_config(name) == path for name, path in names.items())


@pytest.mark.parametrize("name", ["digits", "digits.py", "configs/search/digits.py"])
def test_a_file_wins_over_a_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("{}")
    assert find_config(name).resolve() == mine.resolve()


def test_a_folder_is_no_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()  # such as the user's data
    assert find_config("digits") == SEARCH / "digits.py"


@pytest.mark.parametrize("text", ["digit", "gone.py", "../search/digits", "det/digits", "", str(SEARCH)])
def test_what_is_neither_lists_the_names(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UserError, match=r"expected a configuration file or one of .*\bdigits\b.*, got .*; try "
    ) as error:
        find_config(text)
    assert all(name in str(error.value) for name in config_names("search"))
    assert "mask-rcnn" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_near_miss_is_named():
    with pytest.raises(UserError, match=r"; try cifar10$"):
        find_config("cifar")


def test_detectors_and_segmenters_have_names_and_their_parts_none():
    det, seg = config_names("det"), config_names("seg")
    assert len(det) == 5
    assert len(seg) == 10
    assert not [name for name in (*det, *seg) if "_base_" in name]
    name = "deeplabv3_pinas_cls-d8_120e_ade20k-480x480"
    assert config_files.find_config(name, "det", "seg") == ROOT / "configs/seg" / f"{name}.py"
    with pytest.raises(UserError):
        config_files.find_config(name, "det")


def test_an_installed_package_has_configurations_inside(tmp_path, monkeypatch):
    package = tmp_path / "pinas_zoo"
    inside = package / "configs/search/mine.py"
    inside.parent.mkdir(parents=True)
    inside.write_text("name = 'mine'\n")
    monkeypatch.setattr(config_files, "PACKAGE", package)
    assert find_config("mine") == inside
    with pytest.raises(UserError, match=r"try mine$"):
        find_config("digits")


def test_without_any_configuration_there_is_still_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, "PACKAGE", tmp_path / "pinas_zoo")
    with pytest.raises(UserError, match=r"got digits, which is not there; try the path of a file$"):
        find_config("digits")
