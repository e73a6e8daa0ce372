"""The Hub's cache on disk, in the layout that huggingface_hub documents, so that both find each other's files.

models--OWNER--NAME/
    blobs/HASH                      the bytes; HASH is git's for small files and sha256 for large ones
    blobs/HASH.incomplete           the part that is downloaded
    snapshots/COMMIT/FILE           a link to the blob
    refs/BRANCH                     the commit that the branch had when it was last asked for
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub.utils import WeakFileLock

from pinas_zoo.errors import HubError, UserError
from pinas_zoo.weights.atomic import replacing, write_text


@dataclass(frozen=True)
class CachedFile:
    """Where a file of a repo lies in the cache, whether it is there or not.

    Attributes:
        folder: Of the repo.
        commit: 40 hex digits.
        filename: In the repo.
        digest: Of its content, as the Hub announces it.

    Raises:
        UserError: A file name that leads out of the repo.
        HubError: A commit or digest of another form, which would not be the name of a file.
    """

    folder: Path
    commit: str
    filename: str
    digest: str

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in self.filename:
            raise UserError(f"expected the name of a file in a Hub repo, got {self.filename!r}; leave out '..' and '/'")
        if not is_commit(self.commit) or not is_digest(self.digest):
            raise HubError(f"expected a commit and a hash in hexadecimal, got {self.commit!r} and {self.digest!r}")

    @property
    def blob(self) -> Path:
        return self.folder / "blobs" / self.digest

    @property
    def partial(self) -> Path:
        """The part of the blob that is downloaded."""
        return self.blob.with_name(f"{self.digest}.incomplete")

    def lock(self) -> contextlib.AbstractContextManager[Any]:
        """Lock of the blob, the same as huggingface_hub's, under which one process downloads it."""
        path = self.folder.parent / ".locks" / self.folder.name / f"{self.digest}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.blob.parent.mkdir(parents=True, exist_ok=True)
        return WeakFileLock(path)

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshots" / self.commit / self.filename

    def link(self) -> Path:
        """Make the snapshot's link to the blob, or a copy where the file system has no links; the snapshot's path."""
        with replacing(self.snapshot, empty=False) as temporary:
            try:
                temporary.symlink_to(os.path.relpath(self.blob, self.snapshot.parent))
            except OSError:  # Windows without developer mode, some network drives
                shutil.copyfile(self.blob, temporary)
        return self.snapshot


def is_commit(text: object) -> bool:
    """Whether a server's text is a commit: 40 hex digits, which are safe as a file's name."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{40}", text) is not None


def is_digest(text: object) -> bool:
    """Whether a server's text is a hash of a file: git's of 40 hex digits, or a sha256 of 64."""
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def repo_folder(cache: Path, repo: str) -> Path:
    """The folder of a model repo ``owner/name``."""
    return cache / f"models--{repo.replace('/', '--')}"


def remember_branch(folder: Path, branch: str, commit: str) -> None:
    """Note the commit of a branch for the next use without a network; a cache that is read-only stays as it is."""
    if branch != commit:
        with contextlib.suppress(OSError):
            write_text(folder / "refs" / branch, commit)
