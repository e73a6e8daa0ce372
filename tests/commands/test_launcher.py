"""The command's start: --help imports nothing heavy, and a command finds the whole package."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import pinas_zoo_launcher as launcher
from pinas_zoo import cli

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "timm", "numpy", "rich", "shtab", "mmengine", "PIL", "huggingface_hub", "pathlib", "typing", "shutil")
SCRIPT = "import sys; from pinas_zoo_launcher import main; sys.exit(main())"  # what the console script does


def python(code: str, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # -S: nothing of site-packages, whose .pth files may import what is looked for
    return subprocess.run(
        [sys.executable, *(["-S"] if environment.pop("bare", "") else []), "-c", code, *argv],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_help_imports_nothing_heavy_and_no_other_command():
    code = f"""
import sys, json
from pinas_zoo_launcher import main
out = {{}}
for name in (None, *{list(cli.COMMANDS)!r}):
    before = set(sys.modules)
    try:
        main([*([name] if name else []), "--help"])
    except SystemExit as end:
        assert end.code == 0
    out[name or ""] = sorted(set(sys.modules) - before)
print(json.dumps([out, type(sys.modules["pinas_zoo"]).__name__]), file=sys.stderr)
"""
    done = python(code, bare="yes")
    assert done.returncode == 0, done.stderr
    imported, package = json.loads(done.stderr)
    assert package == "UnexecutedPackage"
    assert not {name for names in imported.values() for name in names} & set(HEAVY)
    commands = {
        name: {m.rpartition(".")[2] for m in found if m.startswith("pinas_zoo.commands.")}
        for name, found in imported.items()
    }
    assert commands.pop("") == set()
    assert commands.pop("segment") <= {"segment", "detect"}
    assert all(found == {cli.module_of(name).rpartition(".")[2]} for name, found in commands.items())
    assert all(f"usage: pinas-zoo {name} " in done.stdout for name in cli.COMMANDS)


def test_wrong_words_and_version_import_nothing_heavy():
    code = f"import sys; sys.modules.update(dict.fromkeys({HEAVY[:6]!r})); {SCRIPT}"  # importing them fails
    done = python(code, "--version")
    assert (done.returncode, done.stdout) == (0, f"pinas-zoo {cli.__version__}\n"), done.stderr
    done = python(code, "serach")
    assert done.returncode == 2
    assert "invalid choice: 'serach'" in done.stderr
    done = python(code, "info")
    assert done.returncode == 2
    assert "required: NAME|ARCH|FOLDER" in done.stderr


def test_a_command_finds_one_whole_package(tmp_path):
    code = """
import importlib, sys, types
from pinas_zoo_launcher import main
try:
    main(["list", "--help"])
except SystemExit:
    pass
bare = sys.modules["pinas_zoo"]
early = sys.modules["pinas_zoo.errors"].UserError
assert "torch" not in sys.modules
sys.stdout = sys.stderr
assert main(["register", "mine", "--arch", "0123", "--depths", "1,1,1,1"]) == 0
assert main(["info", "nonsense"]) == 2
import pinas_zoo, timm
import pinas_zoo.zoo.registry
assert pinas_zoo is bare and type(pinas_zoo) is types.ModuleType
assert pinas_zoo.errors.UserError is early and issubclass(pinas_zoo.errors.WeightsError, early)
assert pinas_zoo.register is pinas_zoo.zoo.registry.register and pinas_zoo.cli.main
assert timm.is_model("pinas_cls") and timm.is_model("mine")
assert importlib.reload(pinas_zoo) is pinas_zoo
"""
    done = python(code, PINAS_ZOO_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "pinas-zoo info: expected a timm name" in done.stderr


# the launcher by itself, on a package of this test


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes a package; the launcher then takes it for its own."""

    def write(init: str) -> Path:
        folder = tmp_path / "packages" / "launched_by_a_test"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(init)
        (folder / "part.py").write_text("value = 7\n")
        importlib.invalidate_caches()
        return folder

    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setattr(launcher, "PACKAGE", "launched_by_a_test")
    yield write
    for name in [name for name in sys.modules if name.partition(".")[0] == "launched_by_a_test"]:
        del sys.modules[name]


def test_a_submodule_is_imported_without_its_package(package):
    package("from launched_by_a_test.part import value\ncount = globals().get('count', 0) + 1\n")
    bare = launcher.find_package()
    part = importlib.import_module("launched_by_a_test.part")
    assert "count" not in vars(bare)
    assert launcher.find_package() is bare  # a second call in the process
    launcher.execute(bare)
    launcher.execute(bare)
    assert (bare.count, bare.value, bare.part) == (1, 7, part)
    assert type(bare) is ModuleType
    assert importlib.import_module("launched_by_a_test") is bare
    with pytest.raises(AttributeError, match="nothing"):
        _ = bare.nothing
    assert importlib.reload(bare).count == 2


def test_the_first_use_of_the_package_executes_it(package):
    package("answer = 42\n")
    launcher.find_package()
    import launched_by_a_test  # type: ignore[import-not-found]

    assert not hasattr(launched_by_a_test, "__wrapped__")  # what inspect and doctest ask of everything
    assert "answer" not in vars(launched_by_a_test)
    assert launched_by_a_test.answer == 42


def test_a_package_that_cannot_be_executed_is_not_left_half_imported(package):
    folder = package("import package_that_is_not_there\n")
    bare = launcher.find_package()
    with pytest.raises(ModuleNotFoundError, match="package_that_is_not_there"):
        launcher.execute(bare)
    assert "launched_by_a_test" not in sys.modules
    (folder / "__init__.py").write_text("fixed = True\n# of another size\n")
    importlib.invalidate_caches()
    assert importlib.import_module("launched_by_a_test").fixed


def test_a_package_that_is_not_there_or_an_empty_folder(package, tmp_path, monkeypatch):
    (tmp_path / "packages" / "empty_folder").mkdir(parents=True)
    for name in ("empty_folder", "no_such_folder"):
        monkeypatch.setattr(launcher, "PACKAGE", name)
        with pytest.raises(ModuleNotFoundError, match=f"expected the package {name}, found none"):
            launcher.find_package()
        assert name not in sys.modules


# how a command ends


def ending(monkeypatch: pytest.MonkeyPatch, run, command: str = "list", **options) -> None:
    parsed = SimpleNamespace(command=command, run=run, **options)
    monkeypatch.setattr(cli, "build_parser", lambda: SimpleNamespace(parse_known_args=lambda argv: (parsed, [])))


def test_ctrl_c_while_the_package_loads_is_one_line(monkeypatch, capsys):
    def interrupt() -> None:
        raise KeyboardInterrupt

    ending(monkeypatch, lambda args: pytest.fail("it ran"))
    assert cli.main([], load_package=interrupt) == 130
    assert capsys.readouterr().err == "pinas-zoo list: stopped\n"


def test_a_command_that_needs_no_package_does_not_load_it(monkeypatch):
    ending(monkeypatch, lambda args: None, needs_package=False)
    assert cli.main([], load_package=lambda: pytest.fail("it was loaded")) == 0


def test_with_json_nothing_else_is_on_stdout(monkeypatch, capsys):
    from pinas_zoo.terminal import print_json

    def run(args) -> None:
        print("noise")
        print_json([1])

    ending(monkeypatch, run, json=True)
    assert cli.main([], load_package=lambda: print("more noise")) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == [1]
    assert captured.err == "more noise\nnoise\n"


def test_an_error_with_escapes_in_it_is_one_line(monkeypatch, capsys):
    def run(args) -> None:
        raise FileNotFoundError(2, "No such file", "evil\x1b[2J\nname")

    ending(monkeypatch, run)
    assert cli.main([]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err


def test_a_reader_that_has_gone_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "completion", "fish"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has /dev/full")
def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, "completion", "fish"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr
