"""What a user names, read in one place: a network by its name, architecture, folder or Hub repo, or a search's run.

    pinas_cls, resnet50.a1_in1k        a name of timm, of this package or of the user's registry
    3013231203213032                   an architecture, one digit a layer
    work_dirs/mine/winner, local-dir:… a timm model folder
    hf-hub:user/name[@revision]        a timm model repo on the Hub
    work_dirs/mine                     the folder of a search run

A folder of the same name in the current directory does not change what a name means. No code of a folder or repo is
executed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import timm

from pinas_zoo.bounded_reading import read_bytes
from pinas_zoo.errors import UserError
from pinas_zoo.models.pinas import ENTRY_POINT, spec_of
from pinas_zoo.models.spec import NetworkSpec
from pinas_zoo.weights import entry_points, hub
from pinas_zoo.weights.hub_cache import is_commit
from pinas_zoo.weights.model_folder import CONFIG_LIMIT, parse_config, parse_timm_config, read_config
from pinas_zoo.weights.new_folder import CONFIG_FILE
from pinas_zoo.weights.size_limits import check_plain_arguments, shortened
from pinas_zoo.weights.sources import Source, find_source
from pinas_zoo.weights.tensors import check_finite
from pinas_zoo.zoo import registry

HUB_PREFIXES = ("hf-hub:", "hf_hub:")
FOLDER_PREFIX = "local-dir:"
NETWORKS_OF_A_RUN = ("winner", "trained")  # sub-folders of a run that are model folders


@dataclass(frozen=True)
class ResolvedNetwork:
    """What a word of the user's means.

    ``architecture``, ``args``, ``cfg``, ``spec``, :meth:`on_meta` and :meth:`source` describe one network; for a run,
    which may hold two, and for a folder or repo whose network has no ``arch``, they raise a :class:`UserError`.

    Attributes:
        given: The word.
        kind: Which form it has.
        timm_name: What ``timm.create_model`` takes, with ``args`` beside it for an architecture; empty for a run.
        folder: The model folder, or the run's folder.
        repo: ``owner/name`` or ``owner/name@revision``.
        config_file: config.json of the folder or repo.
        sizes: Arguments that the caller gave beside an architecture.
    """

    given: str
    kind: Literal["name", "arch", "folder", "hub", "run"]
    timm_name: str
    folder: Path | None = None
    repo: str | None = None
    config_file: Path | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def architecture(self) -> str:
        """timm's generic entry point that builds it from :attr:`args`."""
        return self._network[0]

    @property
    def args(self) -> Mapping[str, Any]:
        """Arguments of the entry point."""
        return self._network[1]

    @property
    def cfg(self) -> Mapping[str, Any]:
        """timm's pretrained_cfg, as far as it is known without building the network."""
        return self._network[2]

    @property
    def spec(self) -> NetworkSpec | None:
        """The specification of a network of the Π-NAS space; None for any other network.

        Raises:
            UserError: The arguments describe no network.
        """
        try:
            return spec_of(self.architecture, self.args)
        except ValueError as error:
            raise UserError(str(error)) from None

    @property
    def input_size(self) -> tuple[int, int, int]:
        """C, H, W of one image that the network is made for."""
        _, height, width = self.cfg.get("input_size") or (3, 224, 224)
        return (self.args.get("in_chans") or self.cfg.get("input_size", (3,))[0], height, width)

    def on_meta(self) -> Any:
        """The network on the meta device.

        Raises:
            UserError: It cannot be built; says why.
        """
        if self.kind == "name":
            return timm.create_model(self.timm_name, device="meta")
        return entry_points.on_meta(self.architecture, self.args)

    def source(self) -> Source:
        """Where its weights lie.

        Raises:
            NotPublished: There are none.
            NotSafetensors: They are of another format.
        """
        return _source_of(self.kind, self.folder, self.repo) or find_source(self.timm_name, self.cfg)

    def with_weights(self) -> Any:
        """The network with its weights, in eval mode. Files of a repo or folder are checked before anything reads them.

        timm fetches a repo by huggingface_hub, so a repo's files are fetched here, and timm opens them as a folder.

        Raises:
            UserError: A config.json with values that no image can be prepared by, or weights that are not finite.
            HubError: The Hub does not give a file.
            Exception: What timm raises for a network that it cannot load.
        """
        name = self.timm_name
        if self.config_file is not None:
            _, args, _ = parse_timm_config(
                read_bytes(self.config_file, "the config of a network", CONFIG_LIMIT), where=self.given
            )
            check_plain_arguments(args)
        if self.config_file is not None and self.repo is not None:
            commit = self.config_file.parent.name
            pinned = f"{self.repo.partition('@')[0]}@{commit}" if is_commit(commit) else self.repo
            name = f"{FOLDER_PREFIX}{hub.download(pinned).parent}"
        model: Any = timm.create_model(name, pretrained=True).eval()
        check_finite(model.state_dict(), where=self.given)
        return model

    def run_problem(self) -> str:
        """The message for a user who named a run where one network is expected."""
        networks = " or ".join(f"{name}/" for name in NETWORKS_OF_A_RUN)
        return f"expected a timm model folder, got the search run {self.folder}; give its {networks}"

    @cached_property
    def _network(self) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
        """Architecture, args and cfg."""
        if self.kind == "run":
            raise UserError(self.run_problem())
        if self.kind == "arch":
            return ENTRY_POINT.name, {"arch": self.given, **self.sizes}, ENTRY_POINT.default_cfg
        if self.config_file is not None:
            if self.folder is not None:
                args, cfg = read_config(self.folder)
            else:
                args, cfg = parse_config(
                    read_bytes(self.config_file, "the config of a network", CONFIG_LIMIT), where=self.given
                )
            return entry_points.name_in(cfg), args, cfg
        known: Any = timm.models.get_pretrained_cfg(self.timm_name)
        cfg = {} if known is None else known.to_dict()
        entry = registry.find(self.timm_name)
        if entry is not None:
            return entry.architecture, entry.model_args, cfg
        architecture, fixed = entry_points.generic_form(self.timm_name)
        return architecture, fixed, cfg


def resolve(word: str, sizes: Mapping[str, Any] | None = None) -> ResolvedNetwork:
    """Read a word that names a network or a run.

    No weights are read. Of a Hub repo, config.json is downloaded.

    Args:
        word: One of the forms that the module lists.
        sizes: Arguments of the network beside an architecture, such as depths; of no effect on the other forms.

    Raises:
        UserError: It has none of these forms, or there is nothing of that name; says what comes near.
        WeightsMissing: A folder without config.json.
        HubError: The Hub does not give config.json.
    """
    if word.startswith(HUB_PREFIXES):
        repo = word.partition(":")[2]
        return ResolvedNetwork(word, "hub", word, repo=repo, config_file=hub.download(repo, CONFIG_FILE))
    if word.startswith(FOLDER_PREFIX):
        return _folder(word, Path(os.path.expanduser(word.removeprefix(FOLDER_PREFIX))))
    if word in registry.PICTURED and registry.find(word) is None:
        raise registry.picture_error(word)
    if timm.is_model(word.partition(".")[0]):
        return ResolvedNetwork(word, "name", word)
    folder = Path(os.path.expanduser(word))  # of nobody's home it is left as it is
    if os.path.isdir(folder):  # False, too, for names that no folder can have
        return _folder(word, folder)
    if word.isascii() and word.isdecimal():
        return ResolvedNetwork(word, "arch", ENTRY_POINT.name, sizes=dict(sizes or {}))
    near = difflib.get_close_matches(word, timm.list_models(), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`pinas-zoo list` shows the names"
    raise UserError(
        "expected a timm name, an architecture of digits 0-3, a model folder or hf-hub:user/name, "
        f"got {shortened(word, 200)}, which is none of them; {hint}"
    )


def weights_file(word: str, cache_dir: str | Path | None = None) -> Path:
    """The file with the weights of a network that is named as for :func:`resolve`; downloaded when it lies on the Hub.

    A folder or repo needs no config.json. The file is not opened.

    Raises:
        UserError: Nothing of that name.
        WeightsError: There are no weights, or the Hub does not give them.
    """
    if word.startswith(HUB_PREFIXES):
        source = _source_of("hub", None, word.partition(":")[2])
    elif word.startswith(FOLDER_PREFIX):
        source = _source_of("folder", Path(os.path.expanduser(word.removeprefix(FOLDER_PREFIX))), None)
    else:
        source = None
    return (source or resolve(word).source()).file(cache_dir)


def _folder(word: str, folder: Path) -> ResolvedNetwork:
    if any((folder / name / CONFIG_FILE).is_file() for name in NETWORKS_OF_A_RUN):
        return ResolvedNetwork(word, "run", "", folder=folder)
    read = folder / CONFIG_FILE
    if not read.is_file():
        read_config(folder)  # raises, and says what is missing
    return ResolvedNetwork(word, "folder", f"{FOLDER_PREFIX}{folder}", folder=folder, config_file=read)


def _source_of(kind: str, folder: Path | None, repo: str | None) -> Source | None:
    if kind == "hub":
        return Source(repo=repo)
    return Source(path=folder) if kind == "folder" else None
