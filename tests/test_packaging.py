"""Installations are complete: an editable install beside a clone, the wheel's files, the wheel in a new environment.

Each environment here is new and sees the dependencies of the running one through a .pth file. Python does not read the
.pth files of a folder that another .pth file names, so an editable pinas_zoo of the running environment is not seen.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from pinas_zoo import extras
from pinas_zoo.version import __version__

ROOT = Path(__file__).resolve().parents[1]
PYTHON_TOOLS = ("train.py", "test.py", "analyze.py", "publish.py", "shared_main.py")
TOOLS = (*PYTHON_TOOLS, "dist_train.sh", "dist_test.sh", "slurm_train.sh")
DEPENDENCIES = ("torch", "timm", "numpy")  # their folders are found at run time


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Standard output of a command that must succeed; nothing of this checkout is on its path."""
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")} | variables
    result = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def environment(folder: Path) -> tuple[Path, Path]:
    """A new environment with the running one's dependencies: its interpreter and its site-packages."""
    venv.create(folder, with_pip=False, symlinks=True)
    scheme = sysconfig.get_path("scripts", "venv", {"base": str(folder), "platbase": str(folder)})
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    seen = {Path(sysconfig.get_path(key)) for key in ("purelib", "platlib")}
    seen |= {Path(importlib.import_module(name).__file__).parents[1] for name in DEPENDENCIES}  # type: ignore[arg-type]
    (site / "zz_dependencies.pth").write_text("\n".join(sorted(str(path) for path in seen)) + "\n")
    return Path(scheme) / "python", site


def clone(folder: Path) -> Path:
    """A copy of the checkout's sources."""
    folder.mkdir(parents=True)
    for name in ("pinas_zoo", "configs", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pinas_zoo_launcher.py", "pyproject.toml", "README.md", "LICENSE", ".gitignore", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def install(python: Path, *arguments: str | Path, cwd: Path) -> None:
    """The running pip installs into another interpreter's environment; no index is asked."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "--no-deps", "--no-index", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def wheel_files() -> dict[str, Path]:
    """Paths in the wheel, and the files of the checkout that they come from, as hatchling selects them."""
    builders = pytest.importorskip("hatchling.builders.wheel")
    builder = builders.WheelBuilder(str(ROOT))
    return {file.distribution_path: Path(file.path) for file in builder.recurse_included_files()}


def test_a_script_beside_a_clone_gets_the_package(tmp_path):
    pytest.importorskip("hatchling")
    python, site = environment(tmp_path / "env")
    beside = tmp_path / "beside"
    code = "import hatchling.build, sys; print(hatchling.build.build_editable(sys.argv[1]))"
    name = run(sys.executable, "-c", code, tmp_path, cwd=clone(beside / "pinas_zoo")).split()[-1]
    zipfile.ZipFile(tmp_path / name).extractall(site)  # as pip does, which the slow test runs
    script = beside / "script.py"
    script.write_text(
        "import pinas_zoo, timm\nprint(pinas_zoo.__file__)\nprint(*timm.list_models('pinas*'))\n"
        "import pinas_zoo_launcher; from pinas_zoo.search.config_files import find_config; print(find_config('digits'))"
    )
    where, names, digits = run(python, script, cwd=beside).splitlines()[-3:]
    assert Path(where) == beside / "pinas_zoo/pinas_zoo/__init__.py"
    assert {"pinas", "pinas_cls", "pinas_trans"} <= set(names.split())
    assert Path(digits) == beside / "pinas_zoo/configs/search/digits.py"


def test_the_wheel_has_every_file_of_the_package_and_of_the_configurations(wheel_files):
    sources = {"pinas_zoo": ROOT / "pinas_zoo", "pinas_zoo/configs": ROOT / "configs"}
    expected = {
        f"{place}/{path.relative_to(folder).as_posix()}"
        for place, folder in sources.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    expected |= {f"pinas_zoo/tools/{name}" for name in TOOLS} | {"pinas_zoo_launcher.py"}
    assert set(wheel_files) == expected
    assert {
        "pinas_zoo/py.typed",
        "pinas_zoo/configs/search/digits.py",
        "pinas_zoo/configs/det/metafile.yml",
    } <= expected
    assert not {path.suffix for path in wheel_files.values()} & {".pyc", ".pth", ".safetensors", ".pkl", ".npz", ".db"}


def test_the_wheel_says_its_version_its_command_and_its_extras():
    builders = pytest.importorskip("hatchling.builders.wheel")
    project = builders.WheelBuilder(str(ROOT)).metadata
    assert project.version == __version__
    assert project.core.scripts == {"pinas-zoo": "pinas_zoo_launcher:main"}
    extras = {"study", "search", "openmmlab", "onedl", "transformers", "smp", "dev"}
    assert set(project.core.optional_dependencies) == extras


def test_exact_versions_cover_what_is_required():
    pinned = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    text = (ROOT / "pyproject.toml").read_text()
    project = text[text.index("\ndependencies = [") : text.index("[project.scripts]")]
    required = {name.lower() for name in re.findall(r'^    "([A-Za-z0-9-]+)', project, re.M)}
    assert len(required) > 25
    assert required - pinned == {"pinas-zoo"}
    assert {"pip", "hatchling", "build"} <= pinned  # what installs and builds


@pytest.mark.parametrize("checkout", [True, False])
def test_launchers_put_a_checkout_on_the_path_and_an_installed_package_not(checkout, tmp_path):
    above = tmp_path / "pinas_zoo"
    shutil.copytree(ROOT / "tools", above / "tools")
    if checkout:
        (above / "pyproject.toml").touch()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "path=$PYTHONPATH"\n')
    python.chmod(0o755)
    shown = run(above / "tools/dist_train.sh", "config.py", "1", cwd=tmp_path, PYTHON=str(python)).strip()
    assert shown == (f"path={above}/tools/..:" if checkout else "path=")


def test_the_cure_for_a_missing_extra_works_installed_or_not(monkeypatch):
    monkeypatch.setattr(metadata, "distribution", lambda name: object())
    assert extras.install_command("search") == 'pip install "pinas-zoo[search]"'  # pip finds it installed

    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert extras.install_command("search") == f'pip install -e "{ROOT}[search]"'


@pytest.mark.slow
def test_the_wheel_in_a_clean_environment(tmp_path):
    pytest.importorskip("build")
    pytest.importorskip("mmdet")
    source, dist, empty = clone(tmp_path / "source"), tmp_path / "dist", tmp_path / "empty"
    empty.mkdir()
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source, cwd=tmp_path)
    assert sorted(path.name for path in dist.iterdir()) == [
        f"pinas_zoo-{__version__}-py3-none-any.whl",  # built from the sdist
        f"pinas_zoo-{__version__}.tar.gz",
    ]
    python, site = environment(tmp_path / "env")
    install(python, next(dist.glob("*.whl")), cwd=tmp_path)
    code = (
        "import importlib.resources, pathlib, pinas_zoo, timm\n"
        "print(pinas_zoo.__file__)\n"
        "print(*timm.list_models('pinas*'))\n"
        "print((importlib.resources.files('pinas_zoo') / 'py.typed').is_file())"
    )
    where, names, typed = run(python, "-c", code, cwd=empty).splitlines()[-3:]
    assert Path(where) == site / "pinas_zoo/__init__.py"
    assert {"pinas", "pinas_cls", "pinas_trans"} <= set(names.split())
    assert typed == "True"

    command = python.parent / "pinas-zoo"
    assert "search" in run(command, "--help", cwd=empty)
    for name in ("digits", "configs/search/digits.py"):
        assert "digits" in run(command, "search", name, "--dry-run", cwd=empty)
    assert not list(empty.iterdir())

    code = (  # every configuration is read, with the parts that its _base_ names
        "from pathlib import Path\n"
        "from mmengine.config import Config\n"
        "from pinas_zoo.config_files import config_names, find_config\n"
        "from pinas_zoo.openmmlab.launch import read_config\n"
        "from pinas_zoo.search.config import load_config\n"
        "print(len([load_config(find_config(name, 'search')) for name in config_names('search')]))\n"
        "print(len([read_config(name).model for kind in ('det', 'seg') for name in config_names(kind)]))"
    )
    searches, transfers = run(python, "-c", code, cwd=empty).splitlines()[-2:]
    assert int(searches) == len(list((ROOT / "configs/search").rglob("*.py")))
    assert int(transfers) == 15
    code = "from jinja2 import PackageLoader\nprint(*PackageLoader('pinas_zoo', {!r}).list_templates())"
    for folder in {path.parent.relative_to(ROOT / "pinas_zoo") for path in (ROOT / "pinas_zoo").rglob("*.j2")}:
        names = run(python, "-c", code.format(folder.as_posix()), cwd=empty).split()
        assert [name for name in names if name.endswith(".j2")]
    for tool in ("train", "test", "analyze", "publish"):
        assert "usage:" in run(python, "-m", f"pinas_zoo.tools.{tool}", "--help", cwd=empty)
    for name in TOOLS[-3:]:
        assert os.access(site / "pinas_zoo/tools" / name, os.X_OK)


@pytest.mark.slow
@pytest.mark.parametrize("git", [True, False])
def test_two_builds_of_one_commit_have_the_same_bytes(git, tmp_path):
    """Elsewhere, later, with other permissions, time zone and language; and without git, where no commit has a time."""
    pytest.importorskip("build")
    if shutil.which("make") is None or shutil.which("git") is None:
        pytest.skip("make or git is absent")
    folders = (tmp_path / "one", tmp_path / "an other" / "place")
    built = []
    for folder, (umask, zone, language) in zip(
        folders, [(0o022, "UTC", "C"), (0o077, "Asia/Tokyo", "C.UTF-8")], strict=True
    ):
        before = os.umask(umask)
        try:
            clone(folder)
            shutil.copy(ROOT / "Makefile", folder)
            for path in folder.rglob("*"):
                path.chmod((0o777 if path.is_dir() or os.access(path, os.X_OK) else 0o666) & ~umask)
                os.utime(path, (1e9 + umask, 1e9 + umask))
            if git:
                commit = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "--quiet", "-m", "one"]
                run("git", "init", "--quiet", cwd=folder)
                run("git", "add", ".", cwd=folder)
                run(*commit, "--date=2026-01-02T03:04:05Z", cwd=folder, GIT_COMMITTER_DATE="2026-01-02T03:04:05Z")
            build = ["make", "wheel", f"BIN={Path(sys.executable).parent}", "READY="]
            run(*build, cwd=folder, TZ=zone, LC_ALL=language, PYTHONHASHSEED=str(umask))
        finally:
            os.umask(before)
        built.append({path.name: path.read_bytes() for path in (folder / "dist").iterdir()})
    assert len(built[0]) == 2
    assert built[0] == built[1]
    with zipfile.ZipFile(next((folders[1] / "dist").glob("*.whl"))) as wheel:
        assert {info.date_time for info in wheel.infolist()} == {
            (2026, 1, 2, 3, 4, 4) if git else (2020, 2, 2, 0, 0, 0)  # a zip file counts seconds by two
        }
        modes = {info.external_attr >> 16 & 0o777 for info in wheel.infolist()}
    assert modes == {0o644, 0o755}


@pytest.mark.slow
def test_pip_installs_a_clone_as_editable(tmp_path):
    python, site = environment(tmp_path / "env")
    beside = tmp_path / "beside"
    source = clone(beside / "pinas_zoo")
    install(python, "--no-build-isolation", "--editable", source, cwd=tmp_path)
    assert (site / "_pinas_zoo.pth").read_text().split() == [str(source)]
    names = run(python, "-c", "import pinas_zoo, timm; print(*timm.list_models('pinas*'))", cwd=beside).split()
    assert "pinas_cls" in names
    assert "search" in run(python.parent / "pinas-zoo", "--help", cwd=beside)
