"""A small Hub on loopback: the part of its HTTP protocol that huggingface_hub uses to read and write model repos.

Real sockets, standard library only. It keeps commits in memory, stores large files as the Hub does (LFS, at a place
apart from the repo, to which downloads are redirected), and makes mistakes on demand::

    with HubServer() as hub:
        hub.add("user/net", {"config.json": b"{}", "model.safetensors": data})
        hub.faults.append(Fault("GET", "model.safetensors", status=500))

As a process of its own: ``python tests/hub_server.py`` prints its address and serves until its input closes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_of_the_owner"
READ_TOKEN = "hf_of_a_reader"
LFS_SUFFIXES = (".safetensors", ".bin", ".pth")


@dataclass
class Fault:
    """Something that goes wrong with requests of a method whose path contains ``part``."""

    method: str
    part: str
    status: int | None = None  # answer with this
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # close the connection after so many bytes of the body
    body: bytes | None = None  # send these bytes instead, with the headers of the true file
    silent: bool = False  # accept the request and never answer
    drip: float | None = None  # seconds between two bytes of the answer, its head included
    times: int = 10**9  # how often, then no more
    seen: int = 0


@dataclass
class Repo:
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # commit -> path -> content
    refs: dict[str, str] = field(default_factory=dict)  # branch or tag -> commit


class HubServer:
    """The server; ``url`` is what HF_ENDPOINT must say."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.store: dict[str, bytes] = {}  # large files by sha256
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.ranges: list[str | None] = []  # that were asked for in the store
        self.no_range = False
        self.weak_etags = False  # as a mirror that does not pass the Hub's hashes on
        self.lock = threading.Lock()
        self.released = threading.Event()
        handler = type("Bound", (Handler,), {"hub": self})
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        # Two origins: huggingface_hub reads a large file's hash off the redirect only where that leaves the Hub's own.
        self.url, self.store_url = (f"http://127.0.0.1:{server.server_address[1]}" for server in self.servers)

    def __enter__(self) -> HubServer:
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def reset(self) -> None:
        self.repos.clear()
        self.store.clear()
        self.faults.clear()
        self.requests.clear()
        self.ranges.clear()
        self.no_range = False

    def add(self, name: str, files: Mapping[str, bytes], branch: str = "main", **kinds: bool) -> str:
        """Commit files to a repo, which is made if need be; the commit's id."""
        with self.lock:
            repo = self.repos.setdefault(name, Repo(**kinds))
            tree = {**repo.commits.get(repo.refs.get(branch, ""), {}), **files}
            parts = [f"{k} {hashlib.sha256(v).hexdigest()}" for k, v in sorted(tree.items())]
            commit = hashlib.sha1("\n".join([name, str(len(repo.commits)), *parts]).encode()).hexdigest()
            repo.commits[commit] = tree
            repo.refs[branch] = commit
            for path, content in files.items():
                if path.endswith(LFS_SUFFIXES):
                    self.store[sha256(content)] = content
            return commit

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        repo = self.repos[name]
        return repo.commits[repo.refs[branch]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def git_digest(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # the client went away
            super().handle()

    def do_GET(self) -> None:
        self.dispatch()

    do_HEAD = do_POST = do_PUT = do_GET

    def dispatch(self) -> None:
        hub = self.hub
        hub.requests.append(f"{self.command} {self.path}")
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self.read_chunks()
        self.fault = None
        for fault in hub.faults:
            if fault.method == self.command and fault.part in unquote(self.path) and fault.seen < fault.times:
                fault.seen += 1
                self.fault = fault
                break
        if self.fault is not None and self.fault.drip is not None:
            self.wfile = Dripping(self.wfile, self.fault.drip, hub.released)  # type: ignore[assignment]
        if self.fault is not None and self.fault.silent:
            hub.released.wait(60)
            self.close_connection = True
            return
        if self.fault is not None and self.fault.status is not None:
            self.answer(self.fault.status, {"error": f"fault {self.fault.status}"}, self.fault.headers)
            return
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        for methods, pattern, handler in ROUTES:
            match = re.fullmatch(pattern, unquote(url.path))
            if match and self.command in methods:
                getattr(self, handler)(*match.groups())
                return
        self.answer(404, {"error": "Not Found"})

    # who may ----------------------------------------------------------------------------------------------------------

    @property
    def token(self) -> str | None:
        value = self.headers.get("Authorization") or ""
        return value.removeprefix("Bearer ") or None

    def readable(self, name: str) -> Repo | None:
        """The repo, or None after an answer that says why not."""
        repo = self.hub.repos.get(name)
        if self.token is not None and self.token not in (TOKEN, READ_TOKEN):
            self.answer(401, {"error": "Invalid credentials in Authorization header"},
                        {"X-Error-Message": "Invalid credentials in Authorization header"})  # fmt: skip
        elif repo is None or (repo.private and self.token is None):
            status = 404 if self.token else 401  # the Hub does not tell strangers whether a repo exists
            self.answer(status, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        elif repo.gated and self.token != TOKEN:
            self.answer(403, {"error": f"Access to model {name} is restricted"}, {"X-Error-Code": "GatedRepo"})
        else:
            return repo
        return None

    def writable(self) -> bool:
        if self.token == TOKEN:
            return True
        if self.token == READ_TOKEN:
            self.answer(403, {"error": "you must use a write token"})
        else:
            self.answer(401, {"error": "Invalid username or password."})
        return False

    def commit_of(self, repo: Repo, revision: str) -> str | None:
        commit = repo.refs.get(revision, revision)
        if commit in repo.commits:
            return commit
        self.answer(404, {"error": f"Invalid rev id: {revision}"}, {"X-Error-Code": "RevisionNotFound"})
        return None

    # reading ----------------------------------------------------------------------------------------------------------

    def read_file(self, name: str, revision: str, path: str) -> None:
        repo = self.readable(name)
        commit = repo and self.commit_of(repo, revision)
        if not repo or not commit:
            return
        content = repo.commits[commit].get(path)
        headers = {"X-Repo-Commit": commit}
        if content is None:
            self.answer(404, {"error": "Entry not found"}, {**headers, "X-Error-Code": "EntryNotFound"})
        elif path.endswith(LFS_SUFFIXES):
            digest = sha256(content)
            if self.hub.weak_etags:
                self.send_file(content, {**headers, "ETag": 'W/"1"'})
                return
            headers.update({
                "X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content)),
                "Location": f"{self.hub.store_url}/store/{digest}/{path}",
            })  # fmt: skip
            self.send(302, b"", headers)
        else:
            self.send_file(content, {**headers, "ETag": f'"{git_digest(content)}"'})

    def read_store(self, digest: str, _path: str) -> None:
        self.hub.ranges.append(self.headers.get("Range"))
        content = self.hub.store.get(digest)
        if content is None:
            self.answer(404, {"error": "no such object"})
        else:
            self.send_file(content, {"ETag": f'"{digest[:32]}"'})

    def read_info(self, name: str, revision: str) -> None:
        repo = self.readable(name)
        commit = repo and self.commit_of(repo, revision or "main")
        if not repo or not commit:
            return
        siblings = []
        for path, content in repo.commits[commit].items():
            entry: dict[str, Any] = {"rfilename": path}
            if "blobs" in self.query:
                entry.update(size=len(content), blobId=git_digest(content))
                if path.endswith(LFS_SUFFIXES):
                    entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        self.answer(200, {"id": name, "modelId": name, "sha": commit, "private": repo.private, "gated": repo.gated,
                          "tags": [], "downloads": 0, "likes": 0, "siblings": siblings})  # fmt: skip

    def read_whoami(self) -> None:
        if self.token in (TOKEN, READ_TOKEN):
            self.answer(200, {"type": "user", "name": "user", "auth": {"accessToken": {"role": "write"}}})
        else:
            self.answer(401, {"error": "Invalid username or password."})

    # writing ----------------------------------------------------------------------------------------------------------

    def post_create(self) -> None:
        if not self.writable():
            return
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'user'}/{asked['name']}"
        if name in self.hub.repos:
            self.answer(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
            return
        self.hub.repos[name] = Repo(private=asked.get("visibility") == "private" or bool(asked.get("private")))
        self.hub.add(name, {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        self.answer(200, {"url": f"{self.hub.url}/{name}", "name": name, "id": name})

    def post_yaml(self) -> None:
        content = json.loads(self.body)["content"]
        broken = not content.startswith("---\n")
        answer = {"errors": [{"message": "no metadata"}] if broken else [], "warnings": []}
        self.answer(400 if broken else 200, answer)

    def post_branch(self, name: str, branch: str) -> None:
        if not self.writable():
            return
        repo = self.hub.repos[name]
        if branch in repo.refs:
            self.answer(409, {"error": f"Reference already exists: {branch}"})
            return
        repo.refs[branch] = repo.refs["main"]
        self.answer(200, {})

    def post_preupload(self, name: str, revision: str) -> None:
        if not self.writable():
            return
        repo = self.readable(name)
        commit = repo and self.commit_of(repo, revision)
        if repo and commit:
            asked = json.loads(self.body)["files"]
            held = repo.commits[commit]
            answers = []
            for f in asked:
                large = f["path"].endswith(LFS_SUFFIXES)
                answers.append({"path": f["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False})
                if f["path"] in held:
                    answers[-1]["oid"] = (sha256 if large else git_digest)(held[f["path"]])
            self.answer(200, {"files": answers})

    def post_batch(self, name: str) -> None:
        if not self.writable():
            return
        objects = []
        for item in json.loads(self.body)["objects"]:
            entry: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.store:
                entry["actions"] = {
                    "upload": {"href": f"{self.hub.store_url}/upload/{item['oid']}"},
                    "verify": {"href": f"{self.hub.url}/{name}.git/info/lfs/verify"},
                }
            objects.append(entry)
        self.answer(200, {"transfer": "basic", "objects": objects})

    def put_object(self, digest: str) -> None:
        if sha256(self.body) != digest:
            self.answer(400, {"error": "the content does not have this sha256"})
            return
        self.hub.store[digest] = self.body
        self.answer(200, {})

    def post_verify(self, _name: str) -> None:
        asked = json.loads(self.body)
        held = self.hub.store.get(asked["oid"])
        self.answer(200 if held is not None and len(held) == asked["size"] else 404, {})

    def post_commit(self, name: str, branch: str) -> None:
        if not self.writable():
            return
        files: dict[str, bytes] = {}
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                if value["oid"] not in self.hub.store:
                    self.answer(400, {"error": f"LFS pointer without object {value['oid']}"})
                    return
                files[value["path"]] = self.hub.store[value["oid"]]
        commit = self.hub.add(name, files, branch)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    # answers ----------------------------------------------------------------------------------------------------------

    def read_chunks(self) -> bytes:
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def answer(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def send_file(self, content: bytes, headers: Mapping[str, str]) -> None:
        """The content or, as RFC 9110 has it, the part from the asked byte on."""
        if self.fault is not None and self.fault.body is not None:
            content = self.fault.body
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and not self.hub.no_range:
            start = int(asked.group(1))
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.send(206, content[start:], {**headers, "Content-Range": span, "Accept-Ranges": "bytes"})
        else:
            self.send(200, content, {**headers, "Accept-Ranges": "bytes"})

    def send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        if self.fault is not None and self.fault.status is None:
            headers = {**headers, **self.fault.headers}
            body = body if self.fault.body is None else self.fault.body
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.fault is not None and self.fault.cut_after is not None:
            self.wfile.write(body[: self.fault.cut_after])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(body)


class Dripping:
    """A connection to which bytes are written one by one, with pauses."""

    def __init__(self, stream: Any, pause: float, stop: threading.Event):
        self.stream, self.pause, self.stop = stream, pause, stop

    def write(self, data: bytes) -> None:
        for k in range(len(data)):
            self.stream.write(data[k : k + 1])
            self.stream.flush()
            if self.stop.wait(self.pause):
                raise ConnectionAbortedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


REPO = r"([^/]+/[^/]+)"
READ, POST, PUT = ("GET", "HEAD"), ("POST",), ("PUT",)
ROUTES = (
    (READ, rf"/{REPO}/resolve/([^/]+)/(.+)", "read_file"),
    (READ, r"/store/([0-9a-f]{64})/(.+)", "read_store"),
    (READ, r"/api/whoami-v2", "read_whoami"),
    (READ, rf"/api/models/{REPO}/revision/(.+)", "read_info"),
    (READ, rf"/api/models/{REPO}()", "read_info"),
    (POST, r"/api/repos/create", "post_create"),
    (POST, r"/api/validate-yaml", "post_yaml"),
    (POST, rf"/api/models/{REPO}/branch/(.+)", "post_branch"),
    (POST, rf"/api/models/{REPO}/preupload/(.+)", "post_preupload"),
    (POST, rf"/api/models/{REPO}/commit/(.+)", "post_commit"),
    (POST, rf"/{REPO}\.git/info/lfs/objects/batch", "post_batch"),
    (POST, rf"/{REPO}\.git/info/lfs/verify", "post_verify"),
    (PUT, r"/upload/([0-9a-f]{64})", "put_object"),
)


if __name__ == "__main__":
    with HubServer() as server:
        print(server.url, flush=True)
        sys.stdin.read()
