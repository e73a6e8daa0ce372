"""The user's registry of networks on disk, one readable JSON file per name.

Entries live in ``<home>/models/<name>.json``; the home is ``$PINAS_ZOO_HOME`` or the platform's user data folder. Every
entry becomes a timm model when :mod:`pinas_zoo` is imported. An entry under one of the paper's names
(``pinas_alpha``, …) holds weights for it.

Files are written atomically, one per name, so that processes need no lock: the last writer of a name wins, and a reader
sees an entry as it was before or after.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import timm

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models import (
    nasbench201,  # noqa: F401  registers its entry point
    registered_names,
    timm_registry,
)
from pinas_zoo.models import pinas as paper
from pinas_zoo.weights import entry_points, sources
from pinas_zoo.weights.atomic import to_json
from pinas_zoo.weights.atomic import write_json as write_json
from pinas_zoo.weights.entry_points import UnknownArchitecture
from pinas_zoo.weights.model_folder import check_args, complete_cfg, plain_args, read_config
from pinas_zoo.weights.new_folder import CONFIG_FILE as CONFIG_FILE
from pinas_zoo.weights.new_folder import WEIGHTS_FILE as WEIGHTS_FILE
from pinas_zoo.weights.tensors import check_network_file
from pinas_zoo.zoo.registry_files import Entry as Entry
from pinas_zoo.zoo.registry_files import check_writable as check_writable
from pinas_zoo.zoo.registry_files import entries as entries
from pinas_zoo.zoo.registry_files import entry_path as entry_path
from pinas_zoo.zoo.registry_files import home as home
from pinas_zoo.zoo.registry_files import report

PICTURED = ("pinas_beta", "pinas_delta", "pinas_epsilon")  # known only from the paper's Figure 9; not invented here
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WINDOWS = frozenset({"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(10))})
_FREE_ARGS = ("num_classes", "in_chans")  # a caller may change them and timm adapts; kept in timm's cfg instead
_mine: dict[str, Entry] = {}  # entries that are registered with timm in this process


def register(
    name: str,
    arch: str | Sequence[int] | Arch | None = None,
    folder: str | os.PathLike[str] | None = None,
    architecture: str | None = None,
    **model_args: Any,
) -> Entry:
    """Keep a network under a name: ``timm.create_model(name)`` builds it, now and in later processes.

    A name that is registered already is replaced. Under a name of the paper (``pinas_alpha``, ``pinas_cls``, …) a
    folder of the same architecture is kept as its weights. ``pinas_beta``, ``pinas_delta`` and ``pinas_epsilon`` are
    free for the architectures of the paper's Figure 9.

    Args:
        name: Lower-case letters, digits and underscores; must not be one of timm's names.
        arch: Candidate per layer; for a network without weights.
        folder: A timm model folder (config.json, model.safetensors), such as a run's ``winner``; stays where it is.
        architecture: timm's entry point, such as ``nasbench201`` (default: ``pinas``); a folder says its own.
        model_args: Further arguments of the network, with ``arch``: depths, widths, stem_width, num_classes, …

    Raises:
        UserError: A bad name, both or neither of arch and folder, or an architecture that does not fit.
        WeightsMissing: The folder or a file of it is missing.
        WeightsError: Its weights are broken, or another network's.
    """
    check_name(name)
    if (arch is None) == (folder is None):
        raise UserError(
            "expected an arch, such as arch='3013231203213032', or the folder of a network with weights, got "
            + ("neither" if arch is None else "both; the folder says its own arch")
        )
    if folder is not None:
        if model_args:
            raise UserError(f"expected a folder alone, which says its own arguments, got also {sorted(model_args)}")
        place = Path(os.path.expanduser(folder)).resolve()
        args, cfg = read_config(place)
        network = entry_points.on_meta(entry_points.name_in(cfg), args)
        check_network_file(place / WEIGHTS_FILE, network, where=str(place / WEIGHTS_FILE))
        entry = Entry(name, args, str(place), cfg)
    else:
        assert arch is not None
        try:
            entry = _entry_of_arch(name, architecture or entry_points.default_name(), arch, model_args)
        except (TypeError, ValueError) as error:
            raise error if isinstance(error, UserError) else UserError(str(error)) from None
    _check_reserved(entry)
    write_json(entry_path(name), asdict(entry))
    _tell_timm(entry)
    return entry


def unregister(name: str) -> None:
    """Remove a name from the registry and from timm; the folder that it points to is left alone.

    Raises:
        UserError: No such name in the registry.
    """
    try:
        entry_path(check_form(name)).unlink()
    except FileNotFoundError:
        if name in _mine:  # another process removed it since
            forget(name)
        raise UserError(f"expected a registered name, got {name!r}; `pinas-zoo list --mine` shows them") from None
    forget(name)


def forget(name: str) -> None:
    """Make a registered name unknown in this process; its entry on disk stays."""
    _mine.pop(name, None)
    sources.FOLDERS.pop(name, None)
    timm_registry.forget(name)
    if name in PICTURED:
        _tell_pictured(name)


def load_registry() -> None:
    """Register every entry with timm, and the names whose architectures are known only from a picture.

    What cannot be loaded is reported by a warning and skipped.
    """
    for name in PICTURED:
        _tell_pictured(name)
    for entry in entries():
        try:
            check_name(entry.name)
            _check_reserved(entry)
            _tell_timm(entry)
        except Exception as error:  # an entry must not keep the package from being imported
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            report(f"registry entry {entry_path(entry.name)} skipped: {reason}; repair or delete the file")


def known() -> list[Entry]:
    """The entries that are registered with timm in this process, sorted by name."""
    return [_mine[name] for name in sorted(_mine)]


def find(name: str) -> Entry | None:
    """The entry of a name that is known to timm in this process; None when there is none."""
    return _mine.get(name)


def entry_with_weights(name: str) -> Entry | None:
    """The entry with a folder for a name or for another name of the same network; None when there is none."""
    registered = sources.registered_name(name)
    return None if registered is None else _mine.get(registered)


def check_form(name: str) -> str:
    """Return a name that can be a file's name on every system.

    Raises:
        UserError: Not of the form of a timm model name, or reserved on Windows.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"expected a name of lower-case letters, digits and underscores (64 at most, a letter first), got {name!r}"
        )
    if name in _WINDOWS:
        raise UserError(f"expected a name that can be a file's on every system, got {name!r}; choose another")
    return name


def check_name(name: str) -> str:
    """Return a name that may be registered.

    Raises:
        UserError: Not of the form of a timm model name, or taken by timm.
    """
    check_form(name)
    if name in _mine or name in PICTURED or name in _weights_names():
        return name
    if timm.is_model(name):
        raise UserError(
            f"expected a name that is not taken, got {name!r}, which is already a timm model; choose another"
        )
    if hasattr(registered_names, name):
        raise UserError(f"expected a name that is not taken, got {name!r}, which this package uses; choose another")
    return name


def _weights_names() -> tuple[str, ...]:
    """The paper's names that stand for one architecture, so that weights may be kept for them."""
    return tuple(paper.ENTRY_POINT.named)


def _entry_of_arch(
    name: str, architecture: str, arch: str | Sequence[int] | Arch, model_args: Mapping[str, Any]
) -> Entry:
    """An entry without weights; its arch as the network itself writes it, its cfg complete.

    Raises:
        UserError, ValueError: No network of the entry point can be built from the arguments.
    """
    text = arch if isinstance(arch, str) else str(Arch.parse(arch))
    args = json.loads(to_json({"arch": text, **model_args}))
    check_args(args, architecture)
    model = entry_points.on_meta(architecture, args)  # a network that cannot be built is not registered
    args = plain_args({**args, "arch": model.arch})
    complete = {**args, "num_classes": model.num_classes}
    return Entry(name, args, None, complete_cfg(complete, {"architecture": architecture}))


def _check_reserved(entry: Entry) -> None:
    """A name of the paper stands for one network of the paper's size."""
    if entry.name not in (*_weights_names(), *PICTURED):
        return
    spec = paper.spec_of(entry.architecture, entry.model_args)
    if spec is None:
        raise UserError(f"expected a network of the Π-NAS space under {entry.name!r}, got one of {entry.architecture}")
    for key, standard in (("depths", paper.DEPTHS), ("widths", paper.WIDTHS), ("stem_width", paper.STEM_WIDTH)):
        if getattr(spec, key) != standard:
            raise UserError(
                f"expected a network of the paper's size under {entry.name!r}, got {key}={getattr(spec, key)}"
            )
    for key, (_, value) in paper.ENTRY_POINT.function_differences(entry.model_args, {}).items():
        raise UserError(
            f"expected a network of the paper under {entry.name!r}, got {key}={value!r}; register it under another name"
        )
    if entry.name in _weights_names():
        arch = paper.ENTRY_POINT.named[entry.name]["arch"]
        if entry.folder is None:
            raise UserError(
                f"expected a name that is not taken, got {entry.name!r}; give folder= to keep weights for it"
            )
        if entry.arch != arch:
            raise UserError(f"expected weights of {entry.name!r}, arch {arch}, got arch {entry.arch} in {entry.folder}")


def _tell_timm(entry: Entry) -> None:
    """Make an entry known to timm, and its folder to :mod:`pinas_zoo.weights.sources`."""
    if entry.name not in _weights_names():  # such a name keeps its own entry point, which asks for the weights
        _add_to_timm(entry)
    _mine[entry.name] = entry
    if entry.folder:
        sources.FOLDERS[entry.name] = Path(entry.folder)
    else:
        sources.FOLDERS.pop(entry.name, None)


def _add_to_timm(entry: Entry) -> None:
    try:
        cfg = complete_cfg(entry.model_args, entry.pretrained_cfg)
    except UnknownArchitecture:  # of a module that the user has not imported as yet
        cfg = dict(entry.pretrained_cfg)
    if entry.folder:
        cfg["file"] = str(entry.weights)
    fixed = {k: v for k, v in entry.model_args.items() if k not in _FREE_ARGS}

    def build(pretrained: bool = False, **kwargs: Any) -> Any:
        check_args(fixed, entry.architecture)  # of an entry whose module was imported after this package
        model: Any = entry_points.get(entry.architecture).build(entry.name, pretrained, **{**fixed, **kwargs})
        # What timm exports of it (push_to_hf_hub, save_for_hf) then loads where this registry is not.
        model._model_args = fixed
        model.pretrained_cfg["architecture"] = entry.architecture
        return model

    timm_registry.add(entry.name, build, cfg, f"Registered network {entry.arch}.")


def _tell_pictured(name: str) -> None:
    timm_registry.add_error(name, picture_error(name))


def picture_error(name: str) -> UserError:
    """The error for a name of :data:`PICTURED` that is not registered."""
    return UserError(
        f"the architecture of {name!r} is known only from a picture (Figure 9 of the paper) and is not guessed "
        f"here; whoever can read it supplies it once: pinas_zoo.register({name!r}, arch='…16 digits 0-3…'), or "
        f"`pinas-zoo register {name} --arch …`; `pinas-zoo info {name} --arch …` compares it with the paper's Table 1"
    )
