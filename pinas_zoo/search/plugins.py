"""Spaces and methods by name: classes of this package, or classes in the user's Python files.

Loading a class from a file executes the file. Therefore only the user may name it, in a Python configuration or by
``--set``. A file that ``config.json`` of a run folder names is not executed:
:func:`pinas_zoo.search.config.load_config` raises an error, which names the ``--set`` that would allow it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from pinas_zoo.bounded_reading import read_bytes
from pinas_zoo.errors import UserError

T = TypeVar("T")
LIMIT = 4 * 2**20  # bytes of a Python file
MOVED = {  # modules of version 0.1, and where their contents are now
    "pinas_zoo.search.run": "pinas_zoo.search (search, open_run)",
}


def is_file(name: str) -> bool:
    """Whether the name of a space or method is that of a Python file."""
    return name.endswith(".py") and "\0" not in name


def load_class(name: str, known: Mapping[str, str], base: type[T], key: str) -> type[T]:
    """Load the class that a configuration key names.

    Args:
        name: A key of ``known``, or a path that ends with ``.py``, relative to the current folder.
        known: Built-in classes as ``module:Class``, by name.
        base: Required base class. A file has to define one subclass of it. If it defines several, subclasses from which
            others derive are ignored, and one with the name of version 0.1 (``Space``, ``Method``) takes precedence.
        key: Configuration key, for messages.

    Raises:
        UserError: The name is unknown, the file does not exist or raises an error, or it does not define one such
            class.
    """
    if is_file(name):
        return _class_of_file(_run_file(Path(name), key), name, base, key)
    if name not in known:
        raise UserError(f"expected {key} to be one of {', '.join(known)} or a Python file (….py), got {name!r}")
    module, _, attribute = known[name].partition(":")
    found: type[T] = getattr(importlib.import_module(module), attribute)
    return found


def _class_of_file(module: ModuleType, name: str, base: type[T], key: str) -> type[T]:
    named = {"SearchSpace": "Space"}.get(base.__name__, base.__name__)
    own = [c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, base) and c is not base]
    defined = [c for c in own if c.__module__ == module.__name__]
    last = [c for c in defined or own if not any(c in other.__mro__[1:] for other in defined or own)]
    chosen = [c for c in last if c.__name__ == named] or list(dict.fromkeys(last))
    if len(chosen) != 1:
        got = ", ".join(c.__name__ for c in chosen) or "none"
        raise UserError(f"expected one class that is a {base.__name__} in {name}, which {key} names, found {got}")
    return chosen[0]


def _run_file(path: Path, key: str) -> ModuleType:
    """Execute a file and return its module. Later calls return the same module until the file changes."""
    if not path.is_file():
        raise UserError(
            f"expected a Python file at {path}, which {key} names, found none; paths start from {Path.cwd()}"
        )
    content = read_bytes(path, "a Python file", LIMIT)
    digest = hashlib.sha256(os.fsencode(path.resolve()) + b"\0" + content).hexdigest()[:16]
    name = f"pinas_zoo_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up the file's classes there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's Python file may raise anything
        del sys.modules[name]
        moved = MOVED.get(getattr(error, "name", None) or "")
        hint = f"; it is now {moved}" if moved else ""
        said = " ".join(str(error).split())
        raise UserError(f"{path}, which {key} names, does not run: {type(error).__name__}: {said}{hint}") from error
    return module
