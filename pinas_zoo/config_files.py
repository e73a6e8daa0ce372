"""Configurations by path or by name: those of a checkout's ``configs`` folder, which a wheel has inside the package."""

from __future__ import annotations

import difflib
from pathlib import Path

from pinas_zoo.errors import UserError

PACKAGE = Path(__file__).resolve().parent


def config_folder() -> Path:
    """The folder ``configs``: inside an installed package, or beside the package in a checkout."""
    installed = PACKAGE / "configs"
    return installed if installed.is_dir() else PACKAGE.parent / "configs"


def base_config(name: str) -> str:
    """The path of a configuration's shared part, for the ``_base_`` of a config that lies anywhere.

    OpenMMLab finds a ``_base_`` beside the config, or by ``LIBRARY::`` in its own libraries alone. The line that
    ``pinas-zoo new-config`` writes calls this function, so that the config works with a checkout and with a wheel.

    Args:
        name: Folder and name below ``configs``, such as ``det/mask-rcnn_fpn_syncbn_1x_coco``.

    Raises:
        UserError: There is none of that name.
    """
    kind, _, stem = name.partition("/")
    folder = config_folder() / kind / "_base_"
    path = folder / f"{stem}.py"
    if not path.is_file():
        known = ", ".join(f"{kind}/{file.stem}" for file in sorted(folder.glob("*.py"))) or "none"
        raise UserError(f"expected a base config of this version of pinas-zoo ({known}), got {name!r}")
    return str(path)


def config_names(kind: str) -> dict[str, Path]:
    """Configurations by name, such as ``digits`` or ``resnest50_imagenet/learn``, in alphabetical order.

    Args:
        kind: A folder of ``configs``: ``search``, ``cls``, ``det``, ``seg`` or ``evidence``. Files in folders named
            ``_base_`` are parts of configurations and have no names.
    """
    folder = config_folder() / kind
    files = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.py"))}
    return {name: path for name, path in files.items() if "_base_" not in name.split("/")}


def find_config(text: str | Path, *kinds: str) -> Path:
    """The file that a path or a name stands for. A file that exists wins over a name.

    Args:
        text: A file, or a name of :func:`config_names`. The name may be written as a checkout's path, such as
            ``configs/search/digits.py``, so that one command line serves a checkout and an installed package.
        kinds: Folders of ``configs`` whose names are accepted.

    Raises:
        UserError: Neither a file nor a name.
    """
    path = Path(text)
    if path.is_file():
        return path
    known: dict[str, Path] = {}
    for kind in kinds:
        for name, file in config_names(kind).items():
            known[name] = known[f"{name}.py"] = known[f"configs/{kind}/{name}.py"] = file
    wanted = path.as_posix()
    if wanted in known:
        return known[wanted]
    if (path / "config.json").is_file():
        raise UserError(
            f"expected a configuration file, got the run folder {text}; to resume the run give the configuration that "
            "made it"
        )
    names = [name for kind in kinds for name in config_names(kind)]
    near = difflib.get_close_matches(path.stem, names, n=1) or names[:1]
    raise UserError(
        f"expected a configuration file or one of {', '.join(names) or 'no names'}, got {text}, which is not there; "
        f"try {near[0] if near else 'the path of a file'}"
    )
