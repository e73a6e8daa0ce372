"""The files of the user's registry, one readable JSON file per name in ``<home>/models``, read as data.

A file that is damaged, too long, a pipe or a device, or that describes a network no entry may be, is reported in one
line and skipped; the others are read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import platformdirs

from pinas_zoo.bounded_reading import read_json
from pinas_zoo.errors import UserError
from pinas_zoo.terminal import escape
from pinas_zoo.weights import entry_points
from pinas_zoo.weights.entry_points import UnknownArchitecture
from pinas_zoo.weights.model_folder import check_args, plain_args, read_config
from pinas_zoo.weights.new_folder import CONFIG_FILE, WEIGHTS_FILE
from pinas_zoo.weights.timm_cfg import check_cfg

_ENTRY_LIMIT = 16 * 2**20  # bytes; label names of 22k classes take about one
_reported: set[str] = set()  # warnings that were given in this process


@dataclass(frozen=True)
class Entry:
    """One registered network: how to build it and, when it has weights, the timm model folder that holds them."""

    name: str
    model_args: Mapping[str, Any]
    folder: str | None = None
    pretrained_cfg: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arch(self) -> str:
        return str(self.model_args["arch"])

    @property
    def architecture(self) -> str:
        """timm's entry point that builds it; an older entry may name none, which means ``pinas``."""
        return entry_points.name_in(self.pretrained_cfg)

    @property
    def weights(self) -> Path | None:
        """The safetensors file, which may have gone since; None for an architecture alone."""
        return Path(self.folder) / WEIGHTS_FILE if self.folder else None


def home() -> Path:
    """The folder of the user's registry: ``$PINAS_ZOO_HOME``, or the platform's user data folder.

    Raises:
        UserError: The user has no home folder, as in a container that runs under a number without a name.
    """
    moved = os.environ.get("PINAS_ZOO_HOME")
    try:
        return Path(moved).expanduser() if moved else Path(platformdirs.user_data_dir("pinas_zoo", appauthor=False))
    except (RuntimeError, KeyError, ValueError) as error:
        raise UserError(
            f"expected a place for the registry, got none ({' '.join(str(error).split())}); set PINAS_ZOO_HOME to a "
            "folder"
        ) from None


def entry_path(name: str) -> Path:
    """The file of a name's entry."""
    return home() / "models" / f"{name}.json"


def check_writable() -> None:
    """Check that an entry could be written, without writing one.

    Raises:
        UserError: The folder of the registry can be neither written nor created.
    """
    folder = home()
    there = next(path for path in (folder / "models", folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"expected a registry that can be written, got {folder}; choose another with PINAS_ZOO_HOME")


def entries() -> list[Entry]:
    """The registry as it is on disk; a damaged entry is reported by a warning and skipped.

    A user without a home folder has no registry, and is told so when one is to be written.
    """
    entries = []
    try:
        folder = home() / "models"
    except UserError:
        return []
    try:
        paths = sorted(p for p in folder.iterdir() if p.suffix == ".json" and not p.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        report(f"registry {folder} skipped: {error}; repair it, or move it with $PINAS_ZOO_HOME")
        return []
    for path in paths:
        try:
            entries.append(_read_entry(path))
        except FileNotFoundError:
            continue  # unregistered by another process just now
        except Exception as error:  # any error of one file must leave the others loadable
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            report(f"registry entry {path} skipped: {reason}; repair or delete the file")
    return entries


def _read_entry(path: Path) -> Entry:
    """Read an entry; what its folder says now takes precedence over what was stored at registration."""
    content = read_json(path, "a registry entry", _ENTRY_LIMIT)
    if not isinstance(content, dict):
        raise ValueError(f"expected an object with name and model_args, got {type(content).__name__}")
    entry = Entry(**content)
    if not isinstance(entry.model_args, Mapping) or not isinstance(entry.pretrained_cfg, Mapping):
        raise ValueError("expected model_args and pretrained_cfg as objects")
    if entry.folder is not None and not isinstance(entry.folder, str):
        raise ValueError(f"expected the folder as a path, got {type(entry.folder).__name__}")
    if entry.name != path.stem:
        raise ValueError(f"expected the name {path.stem!r} inside, got {entry.name!r}")
    if entry.folder is not None and (Path(entry.folder) / CONFIG_FILE).is_file():
        try:
            args, cfg = read_config(entry.folder)
        except UnknownArchitecture:  # of a module that the user has not imported as yet
            return entry
        except UserError as error:
            report(f"registry entry {path} has no weights now: {error}; repair {entry.folder}, or register it again")
            entry = replace(entry, folder=None)
        else:
            return Entry(entry.name, args, entry.folder, cfg)
    args = plain_args(entry.model_args)
    with contextlib.suppress(UnknownArchitecture):  # as above
        check_args(args, entry.architecture)
    check_cfg(entry.pretrained_cfg)
    return Entry(entry.name, args, entry.folder, dict(entry.pretrained_cfg))


def report(text: str) -> None:
    """Warn in one line, once in a process, without raising.

    Under ``-W error`` the text goes to the log, since one entry must not stop an import. The warning names no line of
    code, which Python would print below it.
    """
    if text in _reported:
        return
    _reported.add(text)
    try:
        warnings.warn_explicit(escape(text), UserWarning, "pinas_zoo", 1)
    except UserWarning:
        logging.getLogger(__name__).warning(escape(text))
