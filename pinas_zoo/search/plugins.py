"""Spaces and methods by name: a module of this package, or a Python file of the user's own.

A file is executed, so only the user may name it: in the configuration that a command is given as a Python file, or by
``--set``. What a run folder keeps (``config.json``) never makes a command execute one:
:func:`pinas_zoo.search.config.load_config` refuses, and says which ``--set`` would allow it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from pinas_zoo.errors import UserError


def is_file(name: str) -> bool:
    """Whether a name of a space or method is a Python file rather than a module of this package."""
    return name.endswith(".py")


def load_class(name: str, package: str, attribute: str, key: str) -> Any:
    """The class ``attribute`` of the module that a configuration's ``key`` names.

    Args:
        name: A module of ``package``, or a path that ends with ``.py``, from the current folder.
        package: Such as ``pinas_zoo.search.spaces``.
        attribute: ``Space`` or ``Method``.
        key: For the message.

    Raises:
        UserError: No such module or file, a file that does not run, or one without the class.
    """
    if is_file(name):
        module = _run_file(Path(name), key)
    else:
        try:
            module = importlib.import_module(f"{package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{package}.{name}":
                raise
            raise UserError(
                f"expected {key} to be a module of {package} or a Python file (….py), got {name!r}"
            ) from error
    if not hasattr(module, attribute):
        raise UserError(f"expected a class {attribute} in {name}, which {key} names, found none")
    return getattr(module, attribute)


def _run_file(path: Path, key: str) -> Any:
    """Executes the file once in this process; later calls get the same module while the file is the same."""
    if not path.is_file():
        raise UserError(
            f"expected a Python file at {path}, which {key} names, found none; paths start from {Path.cwd()}"
        )
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + path.read_bytes()).hexdigest()[:16]
    name = f"pinas_zoo_own_{path.stem}_{digest}"
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
        raise UserError(f"{path}, which {key} names, does not run: {type(error).__name__}: {error}") from error
    return module
