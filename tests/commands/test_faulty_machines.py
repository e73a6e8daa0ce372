"""Commands on machines with a fault: it works, or ends with one line and exit code 2, and a rerun resumes.

Each command is a process of its own. Full disks, closed streams and encodings are in ``test_encodings_and_full_disks``,
a database that is away in ``tests/search/study/test_patient_storage``.
"""

from __future__ import annotations

import ctypes
import datetime
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("mmengine")
from tests.forked import ForkedCommand
from tests.networks import ROOT, tiny_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
TINY = """
name = "tiny"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
data = dict(type="digits", image_size=16, val_per_class=10, max_train=200)
learn = dict(options=dict(queue_size=32, dim=16), steps=3, batch_size=8, checkpoint_every=1, log_every=1)
linear = dict(steps=3, batch_size=16, lr=1.0, checkpoint_every=1, log_every=1)
explore = dict(evaluations=12, random_first=4, batch=2, recalibration_images=32, batch_size=64)
train = dict(enabled=False)
"""
EQUAL = ("learn/supernet.safetensors", "explore/ranking.csv", "winner/model.safetensors")
NOBODY = 65534
needs_root = pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that other users can read; those of ``tmp_path`` are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="pinas-zoo-faulty-"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    (folder / "tiny.py").write_text(TINY)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """A run on a sound machine, until the winner."""
    assert ended(words(place, "whole"), lambda: os.umask(0o022), place)[0] == 0
    return place / "whole"


def words(place: Path, run: str, *more: str) -> list[str]:
    return ["search", str(place / "tiny.py"), "--work-dir", str(place / run), *more]


def ended(command: list[str], fault: Callable[[], object], place: Path) -> tuple[int, str]:
    """Exit code and output of a command in a child with a fault; never a traceback."""

    def prepare() -> None:
        os.environ["PINAS_ZOO_HOME"] = str(place / "home")
        fault()

    code, text = ForkedCommand(command, prepare).end()
    assert "Traceback" not in text, text
    return code, text


def refused(command: list[str], fault: Callable[[], object], place: Path) -> str:
    code, text = ended(command, fault, place)
    assert code == 2, text
    return text.splitlines()[-1]


def without_privileges() -> None:
    """Take from root what lets it read and write everything; files of others are then closed to it as to anybody."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capset(header, none) == 0, os.strerror(ctypes.get_errno())


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@needs_root
@pytest.mark.parametrize("kind", ["of another user", "read-only"])
def test_folders_that_cannot_be_written(kind: str, place: Path, whole: Path) -> None:
    """Commands that write there print one line, and those that read work."""
    tiny_folder(place / "network")
    before, modes = content(place), {path: path.stat().st_mode for path in [place, *place.rglob("*")]}
    for path, mode in modes.items():
        os.chown(path, NOBODY if kind == "of another user" else 0, 0)
        path.chmod(mode & (0o777 if kind == "of another user" else 0o555))
    run, network = str(whole), str(place / "network")
    try:
        for command in (
            words(place, "whole"),
            words(place, "new"),
            ["similarity", run],
            ["register", "mine", "--folder", network],
            ["train", network, "--data", "digits", "--work-dir", str(place / "new")],
        ):
            line = refused(command, without_privileges, place)
            assert "permission" in line.lower() or "can be written" in line, line
        for command in (["info", network], ["eval", str(whole / "winner"), "--data", "digits"]):
            assert ended(command, without_privileges, place)[0] == 0
    finally:
        for path, mode in modes.items():
            os.chown(path, 0, 0)
            path.chmod(stat.S_IMODE(mode))
    assert content(place) == before


def test_no_place_for_temporary_files(place: Path) -> None:
    def unset() -> None:
        os.environ["TMPDIR"] = "/nowhere"
        tempfile.tempdir = None

    def nowhere() -> None:
        unset()
        tempfile._candidate_tempdir_list = lambda: ["/nowhere"]  # type: ignore[attr-defined]

    until = ("--set", "until='learn'", "--set", "data.workers=1")
    assert ended(words(place, "elsewhere", *until), unset, place)[0] == 0  # in another usual place
    assert "set TMPDIR to one that can be written" in refused(words(place, "nowhere", *until), nowhere, place)


def test_files_have_the_modes_that_the_umask_asks_for(place: Path, whole: Path) -> None:
    assert ended(words(place, "closed"), lambda: os.umask(0o077), place)[0] == 0
    for run, mask in ((place / "closed", 0o077), (whole, 0o022)):
        for path in run.rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) == (0o777 if path.is_dir() else 0o666) & ~mask, path


@pytest.mark.slow
def test_a_limit_of_file_sizes_in_each_stage(place: Path, whole: Path) -> None:
    import resource

    def at_most(size: int) -> Callable[[], object]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    for until, size in (("learn", 100_000), ("linear", 100_000), ("explore", 50_000), ("winner", 50_000)):
        command = words(place, "limited", "--set", f"until='{until}'")
        line = refused(command, at_most(size), place)
        assert "free" in line, line
        assert ended(command, Path, place)[0] == 0
    for name in EQUAL:
        assert (place / "limited" / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_a_clock_that_goes_backwards(place: Path) -> None:
    """Locks, leases and times of a run that began tomorrow, as it seems."""

    def at(days: float) -> Callable[[], object]:
        def shift() -> None:
            from optuna.storages._rdb import storage  # takes the time of each candidate from its datetime

            now, shifted = time.time, datetime.timedelta(days=days)

            class Shifted(datetime.datetime):
                @classmethod
                def now(cls, tz: datetime.tzinfo | None = None) -> Shifted:  # type: ignore[override]
                    return super().now(tz) + shifted

            time.time = lambda: now() + shifted.total_seconds()
            storage.datetime = Shifted  # type: ignore[attr-defined]

        return shift

    command = words(place, "clock")
    child = ForkedCommand([*command, "--set", "until='explore'"], at(1))
    child.wait_for(place / "clock" / "explore" / "study.db")
    time.sleep(0.3)
    os.kill(child.pid, 9)
    child.end()
    for path in (place / "clock").rglob("*"):
        os.utime(path, (time.time() + 86400,) * 2)
    started = time.monotonic()
    code, text = ended(command, at(-1), place)
    assert code == 0, text
    assert time.monotonic() - started < 60
    assert len((place / "clock" / "explore" / "ranking.csv").read_text().splitlines()) == 13
    for done in (place / "clock").glob("*/done.json"):
        assert json.loads(done.read_text())["seconds"] >= 0
    assert "-" not in text.split("done ")[-1].split("peak")[0]


@pytest.mark.slow
def test_a_folder_that_moves_between_stages(place: Path, whole: Path) -> None:
    for k, until in enumerate(("learn", "linear", "explore", "winner")):
        assert ended(words(place, f"moved{k}", "--set", f"until='{until}'"), Path, place)[0] == 0
        (place / f"moved{k}").rename(place / f"moved{k + 1}")
    for name in EQUAL:
        assert (place / "moved4" / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.slow
def test_without_assertions_and_without_a_language(place: Path, whole: Path) -> None:
    """``python -O`` with ``LANG=C`` writes what any other Python writes, and refuses what it refuses."""
    env = {**os.environ, "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env |= {"PYTHONPATH": str(ROOT), "PINAS_ZOO_HOME": str(place / "home"), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*command: str) -> subprocess.CompletedProcess[bytes]:
        python = [sys.executable, "-O", "-m", "pinas_zoo.cli", *command]
        return subprocess.run(python, env=env, capture_output=True, check=False, timeout=200)

    done = run(*words(place, "Läufe ∏"))
    assert done.returncode == 0, done.stderr
    for name in EQUAL:
        assert (place / "Läufe ∏" / name).read_bytes() == (whole / name).read_bytes(), name
    for command in (("info", "9999"), words(place, "wrong", "--set", "learn.steps=-1")):
        done = run(*command)
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1, done.stderr
