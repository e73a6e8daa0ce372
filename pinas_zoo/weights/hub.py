"""Files from the Hub: downloads, their hashes, and what a repo holds; each failure says what to do.

What is fetched is compared with the hash that the Hub announces (and with the package's own, where it pins one) before
anything reads it. Nothing of it is executed.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub import HfFileMetadata, constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import EntryNotFoundError

from pinas_zoo.errors import HubBusy, HubError, HubOffline, NotSafetensors, WrongHash
from pinas_zoo.operating_system import replace
from pinas_zoo.weights import hub_http
from pinas_zoo.weights.hub_cache import CachedFile, is_commit, is_digest, remember_branch, repo_folder
from pinas_zoo.weights.hub_client import (
    FILE_LIMIT,
    LIBRARY,
    endpoint,
    explain,
    fetch,
    head_timeout,
    is_offline,
    retrying,
    send,
    split_repo,
)
from pinas_zoo.weights.new_folder import PICKLES, WEIGHTS_FILE
from pinas_zoo.weights.size_limits import WEIGHTS_LIMIT


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
        return _checked_in_cache(held, sha256, what)
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
            return _checked_in_cache(held, sha256, what)  # as huggingface_hub does: the last one seen
        if isinstance(error, EntryNotFoundError) and filename == WEIGHTS_FILE:
            files, _ = list_files(repo, revision, what)
            problem = only_pickles(files, f"Hub repo {ref}") or problem
        raise problem from None
    etag = announced.etag or ""
    if sha256 is not None and re.fullmatch(r"[0-9a-f]{64}", etag) and etag != sha256:
        raise WrongHash(f"expected sha256 {sha256} for {what}, the Hub announces {etag}; nothing was downloaded")
    commit = announced.commit_hash
    if not is_commit(commit):
        raise HubError(f"{what}: {endpoint()} names no commit, so it is no Hub; check HF_ENDPOINT")
    expected = sha256 or etag
    if not is_digest(expected):  # before its text becomes the name of a file or of a lock
        raise WrongHash(f"expected a hash for {what}, {endpoint()} announces none ({etag[:80]!r}); use another mirror")
    size, limit = announced.size, WEIGHTS_LIMIT if filename.endswith(".safetensors") else FILE_LIMIT
    if size is not None and not 0 <= size <= limit:
        raise HubError(f"{what}: expected at most {limit} bytes, {endpoint()} announces {size}; name another repo")
    file = CachedFile(repo_folder(cache, repo), str(commit), filename, etag if is_digest(etag) else expected)
    try:
        if file.snapshot.exists():
            path = checked(file.snapshot, expected, what)
        elif file.blob.exists():
            path = checked(file.link(), expected, what)
        else:
            source = hf_hub_url(repo, filename, revision=file.commit, endpoint=endpoint())
            with file.lock():  # of several processes one downloads, and the others find the file
                if not file.blob.exists():
                    _fetch_blob(file, source, size, limit, expected, what)
            path = file.link()
    except Exception as error:
        raise explain(error, what) from None
    remember_branch(file.folder, revision, file.commit)
    return path


def _fetch_blob(file: CachedFile, url: str, size: int | None, limit: int, expected: str, what: str) -> None:
    """Download a blob, or resume the download that a killed process left."""
    resumed = file.partial.exists()
    fetch(url, file.partial, size, limit)
    try:
        checked(file.partial, expected, what)
    except WrongHash:
        if not resumed:
            raise
        fetch(url, file.partial, size, limit)  # the part that was left was damaged, and has been deleted
        checked(file.partial, expected, what)
    replace(file.partial, file.blob)


def _ask(url: str) -> HfFileMetadata:
    """What the Hub announces of a file: its hash, size and commit."""
    seconds = max(hub_http.ANSWER_SECONDS, 2 * head_timeout())
    return hub_http.within(
        seconds, lambda: get_hf_file_metadata(url, endpoint=endpoint(), timeout=head_timeout(), **LIBRARY)
    )


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _git_digest_of(path: Path) -> str:
    """What git calls a file of this content, which is read in pieces."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def checked(path: Path, expected: str, what: str) -> Path:
    """The path, when its bytes have the expected hash (sha256, or git's for small files); else it is deleted."""
    if re.fullmatch(r"[0-9a-f]{64}", expected):
        got = sha256_of(path)
    elif re.fullmatch(r"[0-9a-f]{40}", expected):
        got = _git_digest_of(path)
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


def _checked_in_cache(path: Path, sha256: str | None, what: str) -> Path:
    """Like :func:`checked`; a file of the cache was checked when it came, and is named by its hash where links work."""
    name = path.resolve().name
    if sha256 is None and not is_digest(name):
        return path
    return checked(path, sha256 or name, what)


@dataclass(frozen=True)
class RepoFile:
    """What the Hub says of a file of a repo.

    Attributes:
        digest: sha256 of a large file, git's hash of another; empty when the Hub gives none.
        size: Bytes; None when the Hub does not say.
    """

    digest: str
    size: int | None


def list_files(repo: str, revision: str, what: str) -> tuple[dict[str, RepoFile], str]:
    """The files of a repo by name, and the commit they are of.

    Raises:
        HubError: Offline, no such repo or revision, no permission, or busy; or the answer is no Hub's.
    """
    url = f"{endpoint()}/api/models/{repo}/revision/{quote(revision, safe='')}"
    try:
        info = retrying(lambda: send("GET", url, params={"blobs": "True"})).json()
        commit = info["sha"]
        if not is_commit(commit):
            raise ValueError(f"expected a commit of 40 hex digits, got {commit!r}")
        files = {str(entry["rfilename"]): _repo_file(entry) for entry in info["siblings"]}
    except Exception as error:
        raise explain(error, what) from None
    return files, commit


def _repo_file(entry: Mapping[str, Any]) -> RepoFile:
    large = entry.get("lfs")
    digest, size = (large.get("sha256"), large.get("size")) if large else (entry.get("blobId"), entry.get("size"))
    if size is not None and (not isinstance(size, int) or size < 0):
        raise ValueError(f"expected a size in bytes, got {size!r}")
    return RepoFile(str(digest) if is_digest(digest) else "", size)


def only_pickles(files: Iterable[str], what: str) -> NotSafetensors | None:
    pickles = [f for f in sorted(files) if f.endswith(PICKLES)]
    if not pickles or WEIGHTS_FILE in files:
        return None
    return NotSafetensors(
        f"expected {WEIGHTS_FILE} in {what}, found only {', '.join(pickles)}: pickles can carry code and are not "
        "fetched or opened; ask its owner for safetensors"
    )
