"""What differs between systems is in one module; Windows is simulated by taking away what it lacks."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pinas_zoo import operating_system
from pinas_zoo.operating_system import (
    kind_of,
    open_new,
    open_regular,
    process_ended,
    process_exists,
    process_start,
    replace,
)
from pinas_zoo.weights.atomic import replacing, write_text

ROOT = Path(operating_system.__file__).parent


def test_no_other_module_imports_what_windows_lacks():
    for path in ROOT.rglob("*.py"):
        lines = [line.split("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
        names = {words[1] for words in lines if len(words) > 1 and words[0] in ("import", "from")}
        assert path.name == "operating_system.py" or not names & {"resource", "fcntl", "msvcrt", "pwd", "grp"}, path


def test_renames_and_questions_about_processes_are_in_one_module():
    """``os.replace`` fails on Windows while somebody has the target open; ``os.kill`` there ends what it asks about."""
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        asked = text.replace("os.kill(os.getpid()", "")  # a signal to the process itself
        assert path.name == "operating_system.py" or not re.search(r"os\.(replace|kill|killpg)\(", asked), path
        assert not re.search(r"signal\.(SIGHUP|SIGKILL|SIGALRM|SIGPIPE)", text), path  # getattr instead


def test_it_works_without_resource_and_fcntl(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "resource", None)  # an import raises ImportError
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for name in ("O_NOFOLLOW", "O_NONBLOCK"):
        monkeypatch.delattr(os, name, raising=False)
    try:
        windows = importlib.reload(operating_system)
        assert windows.peak_memory_mib() == 0
        os.close(windows.open_new(tmp_path / "new"))
        file = windows.open_regular(tmp_path / "new", os.O_RDWR)
        with windows.locked(file):
            os.write(file, b"x")
        os.close(file)
    finally:
        monkeypatch.undo()
        importlib.reload(operating_system)
    assert operating_system.peak_memory_mib() > 1


def test_a_new_file_takes_no_place_of_another(tmp_path):
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    for name in ("target", "link", "dangling"):
        with pytest.raises(FileExistsError):
            open_new(tmp_path / name)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(OSError, match="symbolic link"):
        open_regular(tmp_path / "link", follow=False)
    os.close(open_regular(tmp_path / "link"))


def test_a_write_replaces_a_link_and_leaves_its_target(tmp_path):
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "kept"
    names = []
    for _ in range(2):
        with replacing(tmp_path / "file") as temporary:
            assert temporary.read_bytes() == b""  # it was created, and nothing lay there before
            names.append(temporary.name)
    assert len(set(names)) == 2
    with replacing(tmp_path / "other", empty=False) as temporary:
        temporary.symlink_to("target")
    assert (tmp_path / "other").is_symlink()
    assert not list(tmp_path.glob(".*"))


def test_a_process_that_the_system_hides_has_not_ended(monkeypatch):
    """As one of another user where /proc has ``hidepid``."""
    start = process_start(os.getpid())
    monkeypatch.setattr(operating_system, "_status", lambda pid: [])
    assert not process_ended(os.getpid(), start)


def test_a_file_that_windows_holds_open_is_tried_again(tmp_path, monkeypatch):
    tries = []
    move = os.replace

    def held(source, target):
        tries.append(1)
        if len(tries) < 3:
            raise PermissionError
        move(source, target)

    monkeypatch.setattr(operating_system, "_WINDOWS_WAIT", 10.0)
    monkeypatch.setattr(operating_system.os, "replace", held)
    (tmp_path / "a").write_text("a")
    with pytest.raises(PermissionError):
        replace(tmp_path / "a", tmp_path / "b")
    tries.clear()
    monkeypatch.setattr(operating_system, "os", type("Windows", (), {"name": "nt", "replace": staticmethod(held)}))
    replace(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "a"


def test_processes(tmp_path):
    assert process_exists(os.getpid())
    assert process_start(os.getpid()) == process_start(os.getpid())
    assert not process_ended(os.getpid(), process_start(os.getpid()))
    assert not process_ended(os.getpid(), "")  # as where the system does not say
    assert process_ended(os.getpid(), "1")
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not process_exists(child.pid)  # a zombie
    child.wait()
    assert not process_exists(child.pid)
    assert not process_exists(10**30)
    assert kind_of(tmp_path) == "a folder"
    assert kind_of(tmp_path / "x") == "nothing"
