"""Found networks: the user's registry on disk, one readable JSON file per name.

Entries live in ``<home>/models/<name>.json``; the home is ``$PINAS_ZOO_HOME`` or the platform's user data folder. Every
entry becomes a timm model when :mod:`pinas_zoo` is imported.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs
import timm
from timm.models import generate_default_cfgs, register_model

from pinas_zoo.arch import Arch
from pinas_zoo.models import pinas as family

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_mine: dict[str, Entry] = {}  # what of the registry is known to timm in this process


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


def home() -> Path:
    """The folder of the user's registry: ``$PINAS_ZOO_HOME``, or the platform's user data folder."""
    return Path(os.environ.get("PINAS_ZOO_HOME") or platformdirs.user_data_dir("pinas_zoo", appauthor=False))


def register(
    name: str,
    arch: str | Sequence[int] | Arch | None = None,
    folder: str | os.PathLike[str] | None = None,
    **model_args: Any,
) -> Entry:
    """Keep a network under a name: ``timm.create_model(name)`` builds it, now and in later processes.

    Args:
        name: Lower-case letters, digits and underscores; must not be one of timm's names.
        arch: Candidate per layer; for a network without weights.
        folder: A timm model folder (config.json, model.safetensors), such as a run's ``winner``; stays where it is.
        model_args: Further arguments of the network, with ``arch``: depths, widths, num_classes, …

    Raises:
        ValueError: A bad name, both or neither of arch and folder, or an architecture that does not fit.
        FileNotFoundError: The folder or a file of it is missing.
    """
    check_name(name)
    if (arch is None) == (folder is None):
        raise ValueError("expected either arch= or folder=, got " + ("neither" if arch is None else "both"))
    if folder is not None:
        entry = _entry_of_folder(name, Path(folder).expanduser().resolve())
    else:
        entry = Entry(name, {"arch": str(Arch.parse(arch)) if arch is not None else "", **model_args})
    family.PiNAS(**{**entry.model_args, "device": "meta"})  # a network that cannot be built is not registered
    write_json(_path(name), asdict(entry))
    _tell_timm(entry)
    return entry


def unregister(name: str) -> None:
    """Remove a name from the registry; the folder that it points to is left alone.

    Raises:
        KeyError: No such name in the registry.
    """
    path = _path(check_name(name, allow_taken=True))
    if not path.is_file():
        raise KeyError(f"expected a registered name, got {name!r}; `pinas-zoo list --mine` shows them")
    path.unlink()
    _mine.pop(name, None)


def entries() -> list[Entry]:
    """The registry as it is on disk; a damaged entry is reported by a warning and skipped."""
    found = []
    for path in sorted((home() / "models").glob("*.json")):
        try:
            found.append(_read_entry(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"registry entry {path} skipped: {error}; mend it or delete the file", stacklevel=2)
    return found


def load_registry() -> None:
    """Make every entry of the registry known to timm; never raises."""
    for entry in entries():
        try:
            check_name(entry.name)
        except ValueError as error:
            warnings.warn(f"registry entry {_path(entry.name)} skipped: {error}", stacklevel=2)
            continue
        _tell_timm(entry)


def check_name(name: str, allow_taken: bool = False) -> str:
    """Return a usable registry name.

    Raises:
        ValueError: Not of the form of a timm model name, or taken by timm or by this package.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"expected a name of lower-case letters, digits and underscores (64 at most, a letter first), got {name!r}"
        )
    if not allow_taken and name not in _mine and timm.is_model(name):
        raise ValueError(f"expected a name that is not taken, got {name!r}, which is already a timm model")
    return name


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all: to a temporary name beside the file, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2)
            file.write("\n")
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _path(name: str) -> Path:
    return home() / "models" / f"{name}.json"


def _read_entry(path: Path) -> Entry:
    entry = Entry(**json.loads(path.read_text(encoding="utf-8")))
    if entry.name != path.stem:
        raise ValueError(f"expected the name {path.stem!r} inside, got {entry.name!r}")
    Arch.parse(entry.arch)
    return entry


def _entry_of_folder(name: str, folder: Path) -> Entry:
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise FileNotFoundError(f"expected a timm model folder with {file}, found none in {folder}")
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    args = config.get("model_args") or {}
    if "arch" not in args:
        raise ValueError(f"expected model_args with an arch in {folder / CONFIG_FILE}, got {sorted(args)}")
    return Entry(name, args, str(folder), config.get("pretrained_cfg") or {})


def _tell_timm(entry: Entry) -> None:
    cfg = family._cfg(**entry.pretrained_cfg)
    if entry.folder:
        cfg["file"] = str(Path(entry.folder) / WEIGHTS_FILE)

    def build(pretrained: bool = False, **kwargs: Any) -> family.PiNAS:
        if pretrained and entry.folder and not Path(cfg["file"]).is_file():
            raise FileNotFoundError(
                f"the weights of {entry.name!r} are not at {cfg['file']}; if the folder was moved, "
                f"run `pinas-zoo register {entry.name} --folder NEW_FOLDER`"
            )
        return family._create_pinas(entry.name, pretrained, **{**entry.model_args, **kwargs})

    build.__name__ = build.__qualname__ = entry.name
    build.__module__ = family.__name__
    build.__doc__ = f"Registered network {entry.arch}."
    family.default_cfgs.update(generate_default_cfgs({entry.name: cfg}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm warns when a name is registered anew, which is meant here
        register_model(build)
    _mine[entry.name] = entry
