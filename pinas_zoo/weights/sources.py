"""Where a network's weights lie, and the file that holds them.

The first of these that is named for a network:

1. what the caller names: ``pretrained_cfg_overlay=dict(file=…)`` (a file of weights or a model folder), a
   ``local-dir:`` or ``hf-hub:`` model name, ``dict(hf_hub_id="user/name@revision")``, ``dict(state_dict=…)``;
2. the model folder that is kept for the name (:data:`FOLDERS`, which the user's registry fills);
3. the Hub repo that this package pins for the name (:data:`pinas_zoo.weights.published.PUBLISHED`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timm.models import PretrainedCfg
from torch import Tensor

from pinas_zoo.errors import HubError, HubOffline, NotPublished, NotSafetensors, WeightsMissing
from pinas_zoo.weights import entry_points, hub
from pinas_zoo.weights.new_folder import PICKLES, WEIGHTS_FILE
from pinas_zoo.weights.published import PLANNED, PUBLISHED, Published

# Where there is no model.safetensors, in timm's order. They are read as data: pinas_zoo.weights.checkpoint_reader.
CHECKPOINT_FILES = ("pytorch_model.bin", "pytorch_model.pth", "model.pth")
FOLDERS: dict[str, Path] = {}  # name of a network: the model folder that is kept for it in this process


@dataclass(frozen=True)
class Source:
    """Where a network's weights lie; exactly one of ``path``, ``repo`` and ``state_dict`` is set."""

    path: Path | None = None  # a file of weights or a model folder
    repo: str | None = None  # "owner/name" or "owner/name@revision"
    filename: str = WEIGHTS_FILE  # in the repo
    sha256: str | None = None  # pinned by this package
    state_dict: dict[str, Tensor] | None = None
    registered: str | None = None  # the name that path is kept for

    def folder(self) -> Path | None:
        """The model folder; None for a file, a repo and tensors."""
        return self.path if self.path is not None and self.path.is_dir() else None

    def file(self, cache_dir: str | Path | None = None) -> Path:
        """The file with the weights, downloaded when it lies on the Hub. It is not opened.

        Where a folder or a repo has no model.safetensors, it is one of :data:`CHECKPOINT_FILES`, as in timm.

        Raises:
            WeightsMissing: A folder without weights.
            NotSafetensors: A folder or repo with weights under other names only.
            HubError: The Hub does not give it.
        """
        if self.repo is not None:
            return self._download(self.repo, cache_dir)
        assert self.path is not None, "tensors in memory have no file"
        if self.registered is not None and not (self.path / WEIGHTS_FILE).is_file():
            raise WeightsMissing(
                f"the weights of {self.registered!r} are not at {self.path / WEIGHTS_FILE}; if the folder was moved, "
                f"run `pinas-zoo register {self.registered} --folder NEW_FOLDER`"
            )
        if not self.path.is_dir():
            return self.path
        for name in (WEIGHTS_FILE, *CHECKPOINT_FILES):
            if (self.path / name).is_file():
                return self.path / name
        others = sorted(p.name for p in self.path.iterdir() if p.suffix in (".safetensors", *PICKLES))
        if others:
            raise NotSafetensors(
                f"expected {WEIGHTS_FILE} or {CHECKPOINT_FILES[0]} in {self.path}, found only {', '.join(others)}; "
                f"name the file that is meant: pretrained_cfg_overlay=dict(file='{self.path / others[0]}')"
            )
        raise WeightsMissing(
            f"expected {WEIGHTS_FILE} in {self.path}, found none; give a model folder or the file itself"
        )

    def _download(self, repo: str, cache_dir: str | Path | None) -> Path:
        try:
            return hub.download(repo, self.filename, cache_dir=cache_dir, sha256=self.sha256)
        except (NotSafetensors, HubOffline) as problem:  # of the latter, another file may be in the cache
            if self.filename != WEIGHTS_FILE or self.sha256 is not None:
                raise
            if isinstance(problem, NotSafetensors) or hub.is_offline():
                for name in CHECKPOINT_FILES:
                    with contextlib.suppress(HubError):
                        return hub.download(repo, name, cache_dir=cache_dir)
            raise


def find_source(name: str, pretrained_cfg: Any = None, overlay: Mapping[str, Any] | None = None) -> Source:
    """The first place, in the order of this module, that is named for a network's weights; nothing is opened.

    Args:
        name: timm's name of the network.
        pretrained_cfg: As in timm.
        overlay: The caller's changes to it.

    Raises:
        NotPublished: Nothing is named; says what there could be.
        NotSafetensors: A file of the Hub in another format is named, or a URL.
    """
    if isinstance(pretrained_cfg, PretrainedCfg):
        pretrained_cfg = pretrained_cfg.to_dict()
    for fields in (overlay, pretrained_cfg):
        if isinstance(fields, Mapping):
            source = _named_by(fields)
            if source is not None:
                return source
    registered = registered_name(name)
    if registered is not None:
        return Source(path=FOLDERS[registered], registered=registered)
    published = _published(name)
    if published is not None:
        return Source(repo=published.ref, sha256=published.sha256)
    raise NotPublished(_why_nothing(name))


def registered_name(name: str) -> str | None:
    """The name, or another name of the same network, for which a model folder is kept; None when there is none."""
    return next((n for n in entry_points.same_network(name) if n in FOLDERS), None)


def hub_fields(name: str) -> dict[str, str]:
    """The fields of timm's pretrained_cfg that lead to a name's published weights; none while there are none."""
    published = _published(name)
    return {} if published is None else {"hf_hub_id": published.ref}


def _named_by(fields: Mapping[str, Any]) -> Source | None:
    """The source that cfg fields name, by timm's precedence; None when they name none."""
    origin, file, repo = fields.get("source"), fields.get("file"), fields.get("hf_hub_id")
    if origin not in ("hf-hub", "local-dir") and fields.get("state_dict"):
        return Source(state_dict=fields["state_dict"])
    if file and origin != "hf-hub":
        return Source(path=Path(os.path.expanduser(file)))
    if repo:
        pins = {published.ref: published.sha256 for published in PUBLISHED.values()}
        filename = fields.get("hf_hub_filename") or WEIGHTS_FILE
        if not filename.endswith((".safetensors", *PICKLES)):
            raise NotSafetensors(
                f"expected a .safetensors file in Hub repo {repo}, or one of {', '.join(PICKLES)}, got {filename}; "
                "name the file of its weights"
            )
        return Source(repo=repo, filename=filename, sha256=pins.get(repo) if filename == WEIGHTS_FILE else None)
    if fields.get("url"):
        raise NotSafetensors(
            f"expected file= or hf_hub_id= for the weights, got url={fields['url']!r}; downloads come from a Hub "
            "alone, which announces each file's hash: download it yourself and give file="
        )
    return None


def _published(name: str) -> Published | None:
    return next((PUBLISHED[n] for n in entry_points.same_network(name) if n in PUBLISHED), None)


def _why_nothing(name: str) -> str:
    cure = (
        "give your own (pretrained_cfg_overlay=dict(file='….safetensors' or a model folder), or "
        f"`pinas-zoo register {name} --folder FOLDER` once), or build it untrained with pretrained=False"
    )
    planned = next((PLANNED[n] for n in entry_points.same_network(name) if n in PLANNED), None)
    if planned is not None:
        return f"no weights of {name!r} are published yet (Hub repo {planned} is planned, not there); {cure}"
    if entry_points.is_generic(name):
        return (
            f"the generic name {name!r} has no weights of its own; name them: pretrained_cfg_overlay=dict(file=…) or "
            "dict(hf_hub_id='user/name'), or load 'hf-hub:user/name' or 'local-dir:FOLDER'"
        )
    return f"no weights are known for {name!r}, which is registered by its architecture alone; {cure}"
