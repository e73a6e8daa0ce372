"""Python configuration files in mmengine's format, as a user names them; their faults are one line.

mmengine executes such a file, so only one that the user names on the command line or in Python is read here: never one
that a run folder, a model folder or a repo names. Before that, the files that it is based on are followed without
executing anything, because mmengine follows a circle of them for ever, and leaves out imports that it does not find.
"""

from __future__ import annotations

import ast
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

from pinas_zoo.bounded_reading import read_bytes
from pinas_zoo.config_files import base_config
from pinas_zoo.errors import UserError

LIMIT = 4 * 2**20  # bytes of one file
MOST_FILES = 500  # that one configuration is based on


def read_python_config(path: Path) -> Config:
    """Execute a configuration file.

    Raises:
        UserError: It cannot be read or run, calls ``exit``, imports what is not installed, or is based on a file that
            is missing or based on itself. Or there is no place for temporary files, which mmengine copies it to.
    """
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise UserError(
            f"expected a folder for temporary files, got: {error.strerror}; set TMPDIR to one that can be written"
        ) from None
    try:
        _follow(path.absolute(), ())
        config: Config = Config.fromfile(str(path))
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # the user's Python file may raise anything
        said = " ".join(str(error).split())[:300]
        raise UserError(f"expected a configuration in {path}, got {type(error).__name__}: {said}") from error
    return config


def _follow(path: Path, above: tuple[Path, ...], count: list[int] | None = None) -> None:
    """Check a file and those that it is based on, of which it is the last in a chain."""
    count = [0] if count is None else count
    count[0] += 1
    if path in above:
        chain = " -> ".join(p.name for p in (*above[above.index(path) :], path))
        raise UserError(f"expected configurations that end, got a circle: {chain}; take one _base_ out")
    if count[0] > MOST_FILES:
        raise UserError(f"expected a configuration based on at most {MOST_FILES} files, got more; take some out")
    if not path.is_file():
        whose = f", the _base_ of {above[-1]}" if above else ""
        raise UserError(f"expected a configuration file at {path}{whose}, found none; correct its path")
    content = read_bytes(path, "a configuration", LIMIT)
    if path.suffix != ".py":
        return
    tree = ast.parse(content, filename=str(path))
    for name in _missing(tree):
        raise UserError(f"expected {name!r} to be installed, which {path} imports; install it, or take it out")
    for base in _bases(tree, path):
        _follow(Path(path.parent, base).absolute().resolve(), (*above, path.resolve()), count)


def _bases(tree: ast.Module, path: Path) -> Iterator[str]:
    """Files, relative to the configuration's, that ``_base_ = …`` and ``with read_base():`` name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_base_":
            try:
                value = _of_package(node.value) or ast.literal_eval(node.value)
            except (ValueError, TypeError):
                raise UserError(
                    f"expected _base_ in {path} as text or a list of texts, got an expression; write the paths"
                ) from None
            for base in value if isinstance(value, list | tuple) else [value]:
                if not isinstance(base, str):
                    raise UserError(f"expected _base_ in {path} as text or a list of texts, got {base!r}")
                if "::" not in base:  # of another package
                    yield base
        if isinstance(node, ast.With):
            for inner in node.body:
                if isinstance(inner, ast.ImportFrom) and inner.level:
                    up = "../" * (inner.level - 1)
                    yield f"{up}{(inner.module or '').replace('.', '/')}.py"


def _of_package(value: ast.expr) -> str | None:
    """The file that the line of ``pinas-zoo new-config`` asks ``base_config`` for; None for another expression."""
    match value:
        case ast.Call(func=ast.Attribute(attr="base_config"), args=[ast.Constant(value=str(name))], keywords=[]):
            return base_config(name)
    return None


def _missing(tree: ast.Module) -> Iterator[str]:
    """Imports of a file's own lines that fail; those within ``try`` may.

    Of other packages only the first part of a name is looked for, which executes nothing of them.
    """
    for node in tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if find_spec(top) is None:
                yield name
            elif top in sys.stdlib_module_names and isinstance(node, ast.ImportFrom):
                yield from (f"{name}.{a.name}" for a in node.names if not _has(name, a.name))


def _has(module_name: str, name: str) -> bool:
    """Whether a module of the standard library has a name, be it that of a module inside."""
    module = import_module(module_name)
    if name == "*" or hasattr(module, name):
        return True
    return hasattr(module, "__path__") and find_spec(f"{module_name}.{name}") is not None
