"""To and from the Hub: one file for a network, a model folder for a user; each failure an error that names its cure.

What is fetched is held against the hash that the Hub announces (and against the package's own, where it pins one)
before anything reads it. Only config.json, model.safetensors and README.md cross this border; nothing is executed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import (
    HfApi,
    HfFileMetadata,
    constants,
    get_hf_file_metadata,
    get_token,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.errors import EntryNotFoundError

from pinas_zoo.errors import (
    HubBusy,
    HubError,
    HubForbidden,
    HubNotFound,
    HubOffline,
    NotSafetensors,
    WeightsError,
    WrongHash,
)
from pinas_zoo.version import __version__
from pinas_zoo.weights.atomic import replacing, to_json, write_json
from pinas_zoo.weights.entry_points import architecture_of
from pinas_zoo.weights.hub_cache import CachedFile, remember_branch, repo_folder
from pinas_zoo.weights.hub_client import (
    LIBRARY,
    TIMEOUTS,
    endpoint,
    explain,
    fetch,
    head_timeout,
    is_offline,
    retrying,
    split_repo,
)
from pinas_zoo.weights.hub_commit import Upload, commit_files, ensure_branch, ensure_repo, git_digest
from pinas_zoo.weights.model_folder import (
    CARD_FILE,
    CONFIG_FILE,
    FACTS_FILE,
    PICKLES,
    WEIGHTS_FILE,
    make_config,
    parse_config,
    read_config,
    read_facts,
)
from pinas_zoo.weights.new_folder import new_folder
from pinas_zoo.weights.tensors import check_tensors, tensor_shapes
from pinas_zoo.zoo.model_card import make_card


@dataclass(frozen=True)
class Plan:
    """What a push would send."""

    repo: str
    branch: str
    files: tuple[Upload, ...]

    @property
    def card(self) -> str:
        source = next(f.source for f in self.files if f.path == CARD_FILE)
        assert isinstance(source, bytes)
        return source.decode()


def download(
    ref: str,
    filename: str = WEIGHTS_FILE,
    cache_dir: str | Path | None = None,
    sha256: str | None = None,
) -> Path:
    """A file of a Hub repo, in the Hub's cache; its hash is checked each time.

    Args:
        ref: ``owner/name`` or ``owner/name@revision``. A pinned commit that is in the cache needs no network.
        filename: In the repo.
        cache_dir: Instead of the Hub's own cache.
        sha256: Expected, where the caller knows it; the Hub's own is always checked.

    Raises:
        HubError: Offline, no such thing, no permission, busy, or the line was cut; each says what to do.
        NotSafetensors: The repo holds weights in another format only.
        WrongHash: What came is not what was announced or pinned; it is not kept.
    """
    repo, revision = split_repo(ref)
    cache = Path(cache_dir or os.environ.get("HF_HUB_CACHE") or constants.HF_HUB_CACHE)
    what = f"{filename} of Hub repo {ref}"
    cached = try_to_load_from_cache(repo, filename, cache_dir=cache, revision=revision)
    held = Path(cached) if isinstance(cached, str) else None
    if held is not None and (re.fullmatch(r"[0-9a-f]{40}", revision) or is_offline()):
        return _checked_cached(held, sha256, what)
    if is_offline():
        raise HubOffline(
            f"{what} is not in the cache {cache}, and HF_HUB_OFFLINE forbids the network; unset it once, or copy the "
            "cache from a machine that has it"
        )
    url = hf_hub_url(repo, filename, revision=revision, endpoint=endpoint())
    try:
        announced = _ask(url) if held is not None else retrying(lambda: _ask(url))
    except Exception as error:
        problem = explain(error, what)
        if held is not None and isinstance(problem, HubOffline | HubBusy):
            return _checked_cached(held, sha256, what)  # as huggingface_hub does: the last one seen
        if isinstance(error, EntryNotFoundError) and filename == WEIGHTS_FILE:
            files, _ = _list_files(repo, revision, what)
            problem = _only_pickles(files, f"Hub repo {ref}") or problem
        raise problem from None
    etag = announced.etag or ""
    if sha256 is not None and re.fullmatch(r"[0-9a-f]{64}", etag) and etag != sha256:
        raise WrongHash(f"expected sha256 {sha256} for {what}, the Hub announces {etag}; nothing was downloaded")
    commit = announced.commit_hash or ""
    if re.fullmatch(r"[0-9a-f]{40}", commit) is None:
        raise HubError(f"{what}: {endpoint()} names no commit, so it is no Hub; check HF_ENDPOINT")
    expected = sha256 or etag
    digest = etag if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", etag) else expected
    file = CachedFile(repo_folder(cache, repo), commit, filename, digest)
    if file.snapshot.exists():
        path = _checked(file.snapshot, expected, what)
    elif file.blob.exists():
        path = _checked(file.link(), expected, what)
    else:
        try:
            with replacing(file.blob) as temporary:
                fetch(hf_hub_url(repo, filename, revision=commit, endpoint=endpoint()), temporary, announced.size)
                _checked(temporary, expected, what)
            path = file.link()
        except Exception as error:
            raise explain(error, what) from None
    remember_branch(file.folder, revision, commit)
    return path


def _ask(url: str) -> HfFileMetadata:
    """What the Hub announces of a file: its hash, size and commit."""
    return get_hf_file_metadata(url, endpoint=endpoint(), timeout=head_timeout(), **LIBRARY)


def pull(ref: str, folder: str | Path) -> Path:
    """Download a repo's network into a model folder, whole or not at all.

    Takes config.json, model.safetensors and README.md at one commit and nothing else, checks their hashes and that the
    weights are those of the network in config.json. Where they come from is kept in provenance.json.

    Args:
        ref: ``owner/name`` or ``owner/name@revision`` (branch, tag or commit).
        folder: Where; an older model folder is replaced.

    Raises:
        HubError, NotSafetensors, BrokenWeights, WrongHash, WrongShapes: As :func:`download`; nothing is left behind.
        UserError: The repo is not of this family, or the folder holds something else.
    """
    repo, revision = split_repo(ref)
    what = f"Hub repo {ref}"
    if is_offline():
        raise HubOffline(f"{what} cannot be pulled while HF_HUB_OFFLINE forbids the network; unset it")
    files, commit = _list_files(repo, revision, what)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if name not in files:
            raise _only_pickles(files, what) or HubNotFound(
                f"expected {name} in {what}, found {', '.join(sorted(files)) or 'no files'}; name a repo that was "
                "pushed with `pinas-zoo push`"
            )
    wanted = [name for name in (CONFIG_FILE, WEIGHTS_FILE, CARD_FILE) if name in files]
    with new_folder(Path(folder)) as temporary:
        for name in wanted:
            part = f"{name} of {what}"
            try:
                fetch(hf_hub_url(repo, name, revision=commit, endpoint=endpoint()), temporary / name)
            except Exception as error:
                raise explain(error, part) from None
            _checked(temporary / name, files[name], part)
            if name == CONFIG_FILE:  # before the weights, which are large
                args, cfg = parse_config((temporary / name).read_bytes(), where=part)
        shapes = tensor_shapes(temporary / WEIGHTS_FILE)
        check_tensors(shapes, args, where=f"{WEIGHTS_FILE} of {what}", architecture=architecture_of(cfg))
        hashes = {name: sha256_of(temporary / name) for name in wanted}
        facts = {"hub": {"endpoint": endpoint(), "repo": repo, "revision": commit, "sha256": hashes}}
        write_json(temporary / FACTS_FILE, facts)
    return Path(folder)


def plan_push(folder: str | Path, ref: str, facts: Mapping[str, Any] | None = None) -> Plan:
    """Check a model folder and work out what a push of it would send; nothing is sent.

    config.json is written anew, in the form that loads wherever ``pinas_zoo`` is imported, without local paths.

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
    check_tensors(tensor_shapes(weights), args, where=str(weights), architecture=architecture_of(cfg))
    config = make_config(args, cfg)
    content = {CONFIG_FILE: to_json(config).encode()}
    digests = {CONFIG_FILE: hashlib.sha256(content[CONFIG_FILE]).hexdigest(), WEIGHTS_FILE: sha256_of(weights)}
    described = {**config["pretrained_cfg"], "architecture": config["architecture"]}
    card = make_card(repo, args, described, {**read_facts(folder), **(facts or {})}, digests)
    content[CARD_FILE] = card.encode()
    files = [Upload(name, data, len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items()]
    files.insert(1, Upload(WEIGHTS_FILE, weights, weights.stat().st_size, digests[WEIGHTS_FILE]))
    return Plan(repo, branch, tuple(files))


def push(plan: Plan, private: bool = False, message: str | None = None) -> str:
    """Send a plan as one commit; the repo is made if it is not there. What arrived is held against what was sent.

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
        for file in plan.files:
            url = hf_hub_url(plan.repo, file.path, revision=commit, endpoint=endpoint())
            announced = get_hf_file_metadata(url, token=token, endpoint=endpoint(), **LIBRARY)
            small = announced.etag is not None and len(announced.etag) == 40  # kept in git, not as a large file
            if announced.etag != (git_digest(file.content()) if small else file.sha256):
                raise WrongHash(f"expected sha256 {file.sha256} of {file.path} in {what}, got {announced.etag}")
    except WeightsError:
        raise
    except Exception as error:
        raise explain(error, what, writing=True) from None
    return commit


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _checked(path: Path, expected: str, what: str) -> Path:
    """The path, when its bytes have the expected hash (sha256, or git's for small files); else it is deleted."""
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        got = sha256_of(path)
    elif re.fullmatch(r"[0-9a-f]{40}", expected):
        got = git_digest(path.read_bytes())
    else:
        raise WrongHash(f"expected a hash for {what}, {endpoint()} announces none ({expected!r}); use another mirror")
    if got != expected:
        blob = path.resolve()
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)  # or the next load, by whatever program, would find it in the cache
        raise WrongHash(
            f"expected {what} with hash {expected}, got {got}; the file was deleted: try again, and if it comes again, "
            "do not trust the source"
        )
    return path


def _checked_cached(path: Path, sha256: str | None, what: str) -> Path:
    """As :func:`_checked`; a file of the cache was checked when it came, and is named by its hash where links work."""
    name = path.resolve().name
    if sha256 is None and not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        return path
    return _checked(path, sha256 or name, what)


def _list_files(repo: str, revision: str, what: str) -> tuple[dict[str, str], str]:
    """Hash per file (sha256 of large ones, git's of the others) and the commit that they are of."""
    try:
        api = HfApi(endpoint=endpoint(), **LIBRARY)
        info = retrying(
            lambda: api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUTS["connect"])
        )
    except Exception as error:
        raise explain(error, what) from None
    hashes = {f.rfilename: (f.lfs.sha256 if f.lfs is not None else f.blob_id) or "" for f in info.siblings or []}
    return hashes, str(info.sha)


def _only_pickles(files: Iterable[str], what: str) -> NotSafetensors | None:
    pickles = [f for f in sorted(files) if f.endswith(PICKLES)]
    if not pickles or WEIGHTS_FILE in files:
        return None
    return NotSafetensors(
        f"expected {WEIGHTS_FILE} in {what}, found only {', '.join(pickles)}: pickles can carry code and are not "
        "fetched or opened; ask its owner for safetensors"
    )
