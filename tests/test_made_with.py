"""Artefacts say what code wrote them: commits as git says, and a digest that changes with the sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pinas_zoo.made_with import PACKAGE, commit_of, digest_of, made_with, versions

ROOT = PACKAGE.parent
GIT = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]


def git(folder: Path, *words: str) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return subprocess.run(
        [*GIT, *words], cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is absent")
def test_the_commit_is_what_git_says(tmp_path):
    main, further = tmp_path / "main", tmp_path / "further"
    main.mkdir()
    git(main, "init", "--quiet")
    assert commit_of(main) is None  # none yet
    git(main, "commit", "--quiet", "--allow-empty", "-m", "one")
    one = git(main, "rev-parse", "HEAD")
    assert commit_of(main) == one
    git(main, "worktree", "add", "--quiet", "-b", "a/branch", str(further))
    git(further, "commit", "--quiet", "--allow-empty", "-m", "two")
    two = git(further, "rev-parse", "HEAD")
    assert two != one
    assert commit_of(further) == two
    git(main, "pack-refs", "--all")
    assert (commit_of(main), commit_of(further)) == (one, two)
    git(further, "checkout", "--quiet", "--detach", one)
    assert commit_of(further) == one


@pytest.mark.parametrize("head", ["", "ref: refs/heads/none", "ref: ../../../etc/hostname", "\xff", "a" * 39])
def test_no_checkout_or_a_damaged_one_has_no_commit(head, tmp_path):
    assert commit_of(tmp_path) is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(head.encode("latin-1"))
    assert commit_of(tmp_path) is None


def test_the_digest_follows_the_sources_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.py").write_bytes(b"x = 1\n")
    first = digest_of(tmp_path)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a" / "b.py").write_bytes(b"x = 1\r\n")
    assert digest_of(tmp_path) == first
    (tmp_path / "a" / "b.py").write_bytes(b"x = 2\n")
    assert digest_of(tmp_path) != first


def test_what_is_said_of_this_code():
    made = made_with()
    assert made["code"] == digest_of(PACKAGE)
    assert {"pinas_zoo", "python", "torch", "timm"} <= set(made["versions"]) == set(versions())
    if (ROOT / ".git").exists():
        assert made["commit"] == git(ROOT, "rev-parse", "HEAD")
