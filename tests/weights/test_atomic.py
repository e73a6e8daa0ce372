"""What a killed writer of a file left is removed by the next writer of it, and nothing else."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from pinas_zoo.weights.atomic import replacing, write_json, write_text


def killed_writer(path: Path) -> None:
    """A process that is killed while it writes a file."""
    pid = os.fork()
    if pid == 0:
        with replacing(path):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.skipif(os.name != "posix", reason="processes cannot be asked for")
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path):
    for name in ("curve.csv", "other.csv"):
        killed_writer(tmp_path / name)
    left = {path.name for path in tmp_path.iterdir()}
    assert sorted(name.split(".csv")[0] for name in left) == [".curve", ".other"]
    old = tmp_path / ".curve.csv.0123456789ab.tmp"  # of a version whose names say no process
    old.touch()
    with replacing(tmp_path / "curve.csv") as living:
        write_text(tmp_path / "curve.csv", "text")  # another writer of the same file
        assert living.exists()
        assert old.exists()
    os.utime(old, (0, 0))
    write_text(tmp_path / "curve.csv", "text")
    assert {path.name for path in tmp_path.iterdir()} == {"curve.csv", *(n for n in left if n.startswith(".other"))}


def test_a_path_that_is_no_text_here_is_the_same_path_when_it_is_read_again(tmp_path):
    """As ``Läufe`` under LANG=C, which Python decodes to lone surrogates."""
    place = b"L\xc3\xa4ufe".decode("ascii", "surrogateescape")
    write_json(tmp_path / "x.json", {"folder": place})
    found = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["folder"]
    assert found == place
    assert os.fsencode(found) == "Läufe".encode()
