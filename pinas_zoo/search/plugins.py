"""Spaces and methods by name: a class of this package, or one in a Python file of the user's own.

A file is executed, so only the user may name it: in the configuration that a command is given as a Python file, or by
``--set``. What a run folder keeps (``config.json``) never makes a command execute one:
:func:`pinas_zoo.search.config.load_config` refuses, and says which ``--set`` would allow it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from pinas_zoo.errors import UserError

T = TypeVar("T")
MOVED = {  # modules that files written for version 0.1 import
    "pinas_zoo.search.space": "pinas_zoo.search.spaces (SearchSpace, Supernet) and pinas_zoo.rng (step_rng)",
    "pinas_zoo.search.run": "pinas_zoo.search (search, open_run)",
}


def is_file(name: str) -> bool:
    """Whether a name of a space or method is a Python file rather than a class of this package."""
    return name.endswith(".py")


def load_class(name: str, known: Mapping[str, str], base: type[T], key: str) -> type[T]:
    """The class that a configuration's ``key`` names.

    Args:
        name: One of ``known``, or a path that ends with ``.py``, from the current folder.
        known: Name to ``module:Class``.
        base: What the class has to be. A file defines one subclass of it; of several, the one that no other is based
            on, or the one named as in version 0.1 (``Space``, ``Method``).
        key: For the message.

    Raises:
        UserError: No such name or file, a file that does not run, or one without such a class.
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
    """Executes the file once in this process; later calls get the same module while the file is the same."""
    if not path.is_file():
        raise UserError(
            f"expected a Python file at {path}, which {key} names, found none; paths start from {Path.cwd()}"
        )
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + path.read_bytes()).hexdigest()[:16]
    name = f"pinas_zoo_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles of the file's classes look there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own Python: whatever it raises is theirs to read
        del sys.modules[name]
        moved = MOVED.get(getattr(error, "name", None) or "")
        hint = f"; it is now {moved}" if moved else ""
        raise UserError(f"{path}, which {key} names, does not run: {type(error).__name__}: {error}{hint}") from error
    return module
