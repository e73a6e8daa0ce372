"""Model folders to and from the Hub: ``pull`` a repo into a folder, ``push`` a folder with a model card.

Only config.json, model.safetensors and README.md are sent or fetched, and nothing of them is executed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfFileMetadata, get_hf_file_metadata, get_token, hf_hub_url

from pinas_zoo.errors import HubError, HubForbidden, HubNotFound, HubOffline, WeightsError, WrongHash
from pinas_zoo.version import __version__
from pinas_zoo.weights import entry_points, hub_http
from pinas_zoo.weights.atomic import to_json, write_json
from pinas_zoo.weights.hub import RepoFile, checked, list_files, only_pickles, sha256_of
from pinas_zoo.weights.hub_cache import is_commit
from pinas_zoo.weights.hub_client import LIBRARY, endpoint, explain, fetch, is_offline, split_repo
from pinas_zoo.weights.hub_commit import Upload, commit_files, ensure_branch, ensure_repo, git_digest
from pinas_zoo.weights.model_folder import CONFIG_LIMIT, make_config, parse_config, read_config, read_facts
from pinas_zoo.weights.new_folder import CARD_FILE, CONFIG_FILE, FACTS_FILE, WEIGHTS_FILE, new_folder
from pinas_zoo.weights.size_limits import WEIGHTS_LIMIT
from pinas_zoo.weights.tensors import check_network_file
from pinas_zoo.zoo.model_card import make_card


@dataclass(frozen=True)
class Plan:
    """What a push would send."""

    repo: str
    branch: str
    files: tuple[Upload, ...]

    @property
    def card(self) -> str:
        """The text of README.md."""
        source = next(f.source for f in self.files if f.path == CARD_FILE)
        assert isinstance(source, bytes)
        return source.decode()


def pull(ref: str, folder: str | Path) -> Path:
    """Download a repo's network into a model folder, which is complete or absent afterwards.

    Takes config.json, model.safetensors and README.md at one commit and nothing else, checks their hashes and that the
    weights are those of the network in config.json. Where they come from is kept in provenance.json.

    Args:
        ref: ``owner/name`` or ``owner/name@revision`` (branch, tag or commit).
        folder: Where; an older model folder is replaced.

    Raises:
        HubError, NotSafetensors, BrokenWeights, WrongHash, WrongShapes: As :func:`pinas_zoo.weights.hub.download`;
            nothing is left behind.
        UserError: The repo holds no network that this package can build, or the folder holds something else.
    """
    repo, revision = split_repo(ref)
    what = f"Hub repo {ref}"
    if is_offline():
        raise HubOffline(f"{what} cannot be pulled while HF_HUB_OFFLINE forbids the network; unset it")
    files, commit = list_files(repo, revision, what)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if name not in files:
            raise only_pickles(files, what) or HubNotFound(
                f"expected {name} in {what}, found {', '.join(sorted(files)) or 'no files'}; name a repo that was "
                "pushed with `pinas-zoo push`"
            )
    wanted = [name for name in (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE) if name in files]
    for name in wanted:
        _check_announced(files[name], WEIGHTS_LIMIT if name == WEIGHTS_FILE else CONFIG_LIMIT, f"{name} of {what}")
    with new_folder(Path(folder)) as temporary:
        for name in wanted:
            part = f"{name} of {what}"
            limit = WEIGHTS_LIMIT if name == WEIGHTS_FILE else CONFIG_LIMIT
            try:
                url = hf_hub_url(repo, name, revision=commit, endpoint=endpoint())
                fetch(url, temporary / name, limit=files[name].size or limit)
            except Exception as error:
                raise explain(error, part) from None
            checked(temporary / name, files[name].digest, part)
            if name == CONFIG_FILE:  # before the weights, which are large
                args, cfg = parse_config((temporary / name).read_bytes(), where=part)
                network = entry_points.on_meta(entry_points.name_in(cfg), args)
        check_network_file(temporary / WEIGHTS_FILE, network, where=f"{WEIGHTS_FILE} of {what}")
        hashes = {name: sha256_of(temporary / name) for name in wanted}
        facts = {"hub": {"endpoint": endpoint(), "repo": repo, "revision": commit, "sha256": hashes}}
        write_json(temporary / FACTS_FILE, facts)
    return Path(folder)


def _check_announced(file: RepoFile, limit: int, what: str) -> None:
    """Check what the Hub says of a file before anything is written.

    Raises:
        WrongHash: No hash, so that nothing would tell whether the file is whole.
        HubError: A file that is longer than any of its kind.
    """
    if not file.digest:
        raise WrongHash(f"expected a hash for {what}, {endpoint()} announces none; use another mirror")
    if file.size is not None and file.size > limit:
        raise HubError(f"{what}: expected at most {limit} bytes, {endpoint()} announces {file.size}; name another repo")


def plan_push(folder: str | Path, ref: str, facts: Mapping[str, Any] | None = None) -> Plan:
    """Check a model folder and work out what a push of it would send; nothing is sent.

    config.json is rewritten without local paths, in the form that loads wherever ``pinas_zoo`` is imported.

    Args:
        folder: A model folder.
        ref: ``owner/name`` or ``owner/name@branch``.
        facts: For the card, before those of provenance.json.

    Raises:
        UserError: Not a model folder, or facts that a card cannot hold.
        WeightsError: Its weights are broken, or another network's.
    """
    repo, branch = split_repo(ref)
    folder = Path(folder)
    args, cfg = read_config(folder)
    weights = folder / WEIGHTS_FILE
    network = entry_points.on_meta(entry_points.name_in(cfg), args)
    check_network_file(weights, network, where=str(weights))
    config = make_config(args, cfg, network)
    content = {CONFIG_FILE: to_json(config).encode()}
    digests = {CONFIG_FILE: hashlib.sha256(content[CONFIG_FILE]).hexdigest(), WEIGHTS_FILE: sha256_of(weights)}
    described = {**config["pretrained_cfg"], "architecture": config["architecture"]}
    card = make_card(repo, args, described, {**read_facts(folder), **(facts or {})}, digests)
    content[CARD_FILE] = card.encode()
    files = [Upload(name, data, len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()]
    files.insert(1, Upload(WEIGHTS_FILE, weights, weights.stat().st_size, digests[WEIGHTS_FILE]))
    return Plan(repo, branch, tuple(files))


def _announced(url: str, token: str) -> HfFileMetadata:
    return get_hf_file_metadata(url, token=token, endpoint=endpoint(), **LIBRARY)


def push(plan: Plan, private: bool = False, message: str | None = None) -> str:
    """Send a plan as one commit; the repo is made if it is not there. What arrived is compared with what was sent.

    Args:
        plan: From :func:`plan_push`.
        private: Of a repo that is made.
        message: Of the commit.

    Returns:
        The commit (40 hex digits), to be pinned as ``owner/name@commit``.

    Raises:
        HubError: Offline, not logged in, no permission, busy. A commit is one step, so no file is there without the
            others; a repo that was just made may stay behind, empty.
        WrongHash: The Hub holds other bytes than were sent, or the folder changed after it was planned.
    """
    what = f"Hub repo {plan.repo}"
    if is_offline():
        raise HubOffline(f"nothing can be pushed to {what} while HF_HUB_OFFLINE forbids the network; unset it")
    token = get_token()
    if token is None:
        raise HubForbidden(f"expected to be logged in to push to {what}; run `hf auth login`, or set HF_TOKEN")
    for file in plan.files:
        if isinstance(file.source, Path) and sha256_of(file.source) != file.sha256:
            raise WrongHash(f"{file.source} changed after the push was planned; plan it again")
    message = message or f"Pi-NAS network, by pinas_zoo {__version__}"
    try:
        ensure_repo(plan.repo, private, token)
        ensure_branch(plan.repo, plan.branch, token)
        commit = commit_files(plan.repo, plan.branch, plan.files, message, token)
        if not is_commit(commit):
            raise HubError(f"the answer names no commit but {commit[:80]!r}")
        for file in plan.files:
            url = hf_hub_url(plan.repo, file.path, revision=commit, endpoint=endpoint())
            announced = hub_http.within(hub_http.ANSWER_SECONDS, partial(_announced, url, token))
            small = announced.etag is not None and len(announced.etag) == 40  # kept in git, not as a large file
            if announced.etag != (git_digest(file.content()) if small else file.sha256):
                raise WrongHash(f"expected sha256 {file.sha256} of {file.path} in {what}, got {announced.etag!r}")
    except WeightsError:
        raise
    except Exception as error:
        raise explain(error, what, writing=True) from None
    return commit
