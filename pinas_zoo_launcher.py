"""Entry point of the command ``pinas-zoo``: parses arguments before the package is executed.

Importing ``pinas_zoo`` registers its models with timm, which imports torch and takes seconds. ``--help``, messages
about wrong arguments and shell completion need none of it. This module stands outside the package for that reason. It
puts a package that is found, but not executed yet, into ``sys.modules``, so that ``pinas_zoo.cli`` can be imported by
itself. The package is executed when a command runs, or at the first use of one of its attributes.

``python -m pinas_zoo.cli`` does the same work without this module: it executes the package first.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from types import ModuleType

TYPE_CHECKING = False  # as typing's, whose import would cost a tenth of the time of --help
if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "pinas_zoo"


class UnexecutedPackage(ModuleType):
    """A package that has a place for its submodules, but has not run its own code."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # the import system asks for these, and does without
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        execute(self)
        return getattr(self, name)


def find_package() -> ModuleType:
    """The package from ``sys.modules``; if it is not imported yet, put it there without executing it.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    if PACKAGE in sys.modules:
        return sys.modules[PACKAGE]
    spec = find_spec(PACKAGE)  # of a top-level name, whose search executes nothing
    if spec is None or spec.loader is None or spec.origin is None:  # a folder without __init__.py has no origin
        raise ModuleNotFoundError(f"expected the package {PACKAGE}, found none; install pinas-zoo again", name=PACKAGE)
    package = module_from_spec(spec)
    package.__class__ = UnexecutedPackage
    sys.modules[PACKAGE] = package
    return package


def execute(package: ModuleType) -> None:
    """Run the package's own code, unless that has been done; on an error it counts as not imported."""
    if not isinstance(package, UnexecutedPackage):
        return
    package.__class__ = ModuleType  # type: ignore[assignment]  # a normal module from here on
    spec = package.__spec__
    assert spec is not None
    assert spec.loader is not None
    try:
        spec.loader.exec_module(package)
    except BaseException:
        sys.modules.pop(PACKAGE, None)
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``pinas-zoo``; returns the exit code."""
    package = find_package()
    from pinas_zoo.cli import main as run_command  # `from pinas_zoo import cli` would execute the package

    code = run_command(argv, load_package=lambda: execute(package))
    if argv is None:  # the result is complete: a signal ends the process without a traceback from Python's own clean-up
        import signal

        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
    return code


if __name__ == "__main__":
    sys.exit(main())
