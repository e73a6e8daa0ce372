"""What code wrote a file: versions of the libraries, the commit of a checkout, and a digest of this package's sources.

Nothing is executed for that, no git either: a folder's git configuration may name programs.
"""

from __future__ import annotations

import hashlib
import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pinas_zoo.version import __version__

PACKAGE = Path(__file__).resolve().parent
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "mmengine", "optuna", "mmdet", "mmsegmentation")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@cache
def made_with() -> dict[str, Any]:
    """``versions`` by package, ``commit`` (None without a checkout), and ``code``, a digest of this package's files.

    Two runs of the same ``code`` ran the same sources, so a checkout with changes differs from its commit there. Long
    runs ask at their start: files may change before their end.
    """
    return {"versions": versions(), "commit": commit_of(PACKAGE.parent), "code": digest_of(PACKAGE)}


def versions() -> dict[str, str]:
    """Versions of Python, of this package, and of the libraries that results depend on, as far as installed."""
    found = {"pinas_zoo": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit_of(checkout: Path) -> str | None:
    """The commit that is checked out in a folder; None if it is no checkout of git, or of a form that is not known."""
    try:
        git = checkout / ".git"
        if git.is_file():  # a further work tree: "gitdir: PATH"
            git = checkout / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if head.startswith("ref: "):
            shared = git / "commondir"  # of a further work tree
            places = [git, git / shared.read_text(encoding="utf-8").strip()] if shared.is_file() else [git]
            head = _commit_of_branch(places, head.removeprefix("ref: "))
    except (OSError, ValueError):
        return None
    return head if _COMMIT.fullmatch(head) else None


def _commit_of_branch(places: list[Path], branch: str) -> str:
    for place in places:
        if (place / branch).is_file():
            return (place / branch).read_text(encoding="utf-8").strip()
    lines = (places[-1] / "packed-refs").read_text(encoding="utf-8").splitlines()
    return next((line.partition(" ")[0] for line in lines if line.partition(" ")[2] == branch), "")


def digest_of(folder: Path) -> str:
    """The first 16 hexadecimal digits of a SHA-256 of the names and contents of a folder's Python files."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        content = path.read_bytes().replace(b"\r\n", b"\n")  # as git may write them on Windows
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]
