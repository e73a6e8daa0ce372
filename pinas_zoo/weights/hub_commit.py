"""A commit of a few files to a Hub repo, by the Hub's HTTP API, each request with a timeout and few retries.

    create repo ─► create branch ─► preupload: which files are large ─► LFS batch, PUT, verify ─► commit

Large files go to the storage of git LFS by its `basic` transfer, https://github.com/git-lfs/git-lfs/blob/main/docs/api,
small ones stand in the commit itself, https://huggingface.co/docs/hub/api. A commit is one step: no file is there
without the others.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from pinas_zoo.errors import HubError
from pinas_zoo.weights.hub_client import CHUNK, endpoint, retrying, send
from pinas_zoo.weights.hub_http import ANSWER_SECONDS, SLOWEST

LFS_HEADERS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
COMMIT_SECONDS = 60.0  # within which the Hub makes a commit
SAMPLE = 512  # first bytes of a file, by which the Hub tells text from other content


@dataclass(frozen=True)
class Upload:
    """One file of a push."""

    path: str  # in the repo
    source: Path | bytes
    size: int  # bytes
    sha256: str

    def content(self) -> bytes:
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()

    def sample(self) -> bytes:
        if isinstance(self.source, bytes):
            return self.source[:SAMPLE]
        with self.source.open("rb") as file:
            return file.read(SAMPLE)

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces, from the start."""
        if isinstance(self.source, bytes):
            yield self.source
            return
        with self.source.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


def git_digest(data: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def ensure_repo(repo: str, private: bool, token: str) -> None:
    """Make a model repo, when there is none that the token opens."""
    try:
        _call("GET", f"/api/models/{repo}", token)
    except RepositoryNotFoundError:
        owner, _, name = repo.partition("/")
        asked = {"name": name, "organization": owner, "visibility": "private" if private else "public"}
        _unless_there("/api/repos/create", token, asked)


def ensure_branch(repo: str, branch: str, token: str) -> None:
    """Make a branch at the head of ``main``, when there is none of the name."""
    if branch != "main":
        _unless_there(f"/api/models/{repo}/branch/{quote(branch, safe='')}", token, {})


def commit_files(repo: str, branch: str, files: Sequence[Upload], message: str, token: str) -> str:
    """Add or replace files in one commit; its id. Files that the branch has already are left out.

    Raises:
        HubError: The Hub refused a large file.
        Exception: What huggingface_hub raises for an answer that is an error, or its HTTP library for none.
    """
    revision = quote(branch, safe="")
    asked = [{"path": f.path, "size": f.size, "sample": base64.b64encode(f.sample()).decode()} for f in files]
    answer = _call("POST", f"/api/models/{repo}/preupload/{revision}", token, json={"files": asked})
    told = {entry["path"]: entry for entry in answer["files"]}
    lines: list[dict[str, Any]] = [{"key": "header", "value": {"summary": message, "description": ""}}]
    for file in files:
        large = told[file.path]["uploadMode"] == "lfs"
        if told[file.path].get("oid") == (file.sha256 if large else git_digest(file.content())):
            continue
        if large:
            _store(repo, branch, file, token)
            value = {"path": file.path, "algo": "sha256", "oid": file.sha256, "size": file.size}
            lines.append({"key": "lfsFile", "value": value})
        else:
            value = {"path": file.path, "content": base64.b64encode(file.content()).decode(), "encoding": "base64"}
            lines.append({"key": "file", "value": value})
    if len(lines) == 1:
        return str(_call("GET", f"/api/models/{repo}/revision/{revision}", token)["sha"])
    url = f"{endpoint()}/api/models/{repo}/commit/{revision}"
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    # not tried again: a commit whose answer was lost would be made twice
    response = send(
        "POST",
        url,
        token=token,
        content=body,
        headers={"Content-Type": "application/x-ndjson"},
        seconds=COMMIT_SECONDS,
    )
    return str(response.json()["commitOid"])


def _store(repo: str, branch: str, file: Upload, token: str) -> None:
    """Put a large file into the Hub's storage, when it is not there."""
    thing = {"oid": file.sha256, "size": file.size}
    asked = {
        "operation": "upload",
        "transfers": ["basic"],
        "objects": [thing],
        "hash_algo": "sha256",
        "ref": {"name": branch},
    }
    (told,) = _call("POST", f"/{repo}.git/info/lfs/objects/batch", token, json=asked, headers=LFS_HEADERS)["objects"]
    if "error" in told:
        raise HubError(f"the storage refused {file.path}: {told['error'].get('message', told['error'])}")
    actions = told.get("actions") or {}
    if "upload" not in actions:
        return
    headers = {**actions["upload"].get("header", {}), "Content-Length": str(file.size)}
    url = actions["upload"]["href"]
    seconds = ANSWER_SECONDS + file.size / SLOWEST
    # its url is signed
    retrying(lambda: send("PUT", url, token=False, content=file.chunks(), headers=headers, seconds=seconds))
    if "verify" in actions:
        retrying(lambda: send("POST", actions["verify"]["href"], token=token, json=thing))


def _unless_there(path: str, token: str, asked: dict[str, Any]) -> None:
    try:
        _call("POST", path, token, json=asked)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:  # it exists
            raise


def _call(method: str, path: str, token: str, **request: Any) -> Any:
    """The JSON that the Hub answers."""
    return retrying(lambda: send(method, endpoint() + path, token=token, **request)).json()
