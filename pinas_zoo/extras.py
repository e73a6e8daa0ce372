"""Whether the extra ``openmmlab`` or ``onedl`` is installed, and how to install one; nothing of it is imported here."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path

from pinas_zoo.errors import UserError

NEEDED = {  # module: distributions that have it
    "mmengine": ("onedl-mmengine", "mmengine"),  # the maintained forks first
    "mmcv": ("onedl-mmcv", "mmcv-lite", "mmcv"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
    "pkg_resources": ("setuptools",),
    "ftfy": ("ftfy",),
    "regex": ("regex",),
}


def install_command(extra: str) -> str:
    """The command that installs an extra of this package.

    The package is not on PyPI: pip takes the installed one and adds what the extra needs. A checkout that runs without
    having been installed is named by its folder.
    """
    try:
        metadata.distribution("pinas-zoo")
    except metadata.PackageNotFoundError:
        return f'pip install -e "{Path(__file__).resolve().parents[1]}[{extra}]"'
    return f'pip install "pinas-zoo[{extra}]"'


def missing() -> list[str]:
    """Modules of the extra that are not installed; of setuptools only where the mmengine here imports it."""
    needed = [name for name in NEEDED if name != "pkg_resources" or not _has_distribution("onedl-mmengine")]
    return [name for name in needed if importlib.util.find_spec(name) is None]


def _has_distribution(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def require() -> None:
    """Check that the extra is there and can start.

    Raises:
        UserError: Names what is missing and the cure.
    """
    absent = missing()
    if absent:
        cures = [f"`{install_command('openmmlab')}`"]
        if "pkg_resources" in absent:
            cures = ["`pip install 'setuptools<82'`"] if absent == ["pkg_resources"] else cures
        raise UserError(f"expected mmdet and mmsegmentation, found no {', '.join(absent)}; run {' and '.join(cures)}")
    try:
        import cv2  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"expected opencv to load, got: {error}; on a server without libGL run `pip uninstall opencv-python` and "
            "`pip install opencv-python-headless`, or install Debian's libgl1 and libglib2.0-0"
        ) from None


def version(module: str) -> str | None:
    """Version of the distribution that has a module, with the distribution's name where it is another."""
    for name in NEEDED.get(module, (module,)):
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return found if name == module else f"{found} ({name})"
    return None


def require_search() -> None:
    """Check that the packages of the ``search`` extra can be imported.

    Raises:
        UserError: Names the one that cannot, and the cure.
    """
    try:
        import jinja2  # noqa: F401
        import mmengine  # noqa: F401
        import optuna  # noqa: F401
        import pydantic  # noqa: F401
        import scipy  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"expected the search extra, found no {error.name}; {install_command('search')}") from error
    except ImportError as error:  # opencv, which mmengine imports, needs system libraries that bare servers lack
        raise UserError(f"{error}; on Debian: apt-get install libgl1 libglib2.0-0") from error
