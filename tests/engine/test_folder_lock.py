"""One search at a time writes to a run folder; a dead holder's lock is taken over."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pinas_zoo.engine import folder_lock
from pinas_zoo.engine.folder_lock import LOCK, FolderLock, Holder, hold_folder, refuse_if_held
from pinas_zoo.errors import UserError


def hold(folder: Path) -> None:
    """What the other process does."""
    with hold_folder(folder):
        (folder / "held").touch()
        time.sleep(60)


def elsewhere(beat: int = 0) -> str:
    return Holder(pid=1, place="other/pid:[1]", started="", token="x", beat=beat).model_dump_json()


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder."""
    process = multiprocessing.get_context("fork").Process(target=hold, args=(tmp_path,))
    process.start()
    while not (tmp_path / "held").exists():
        assert process.is_alive()
        time.sleep(0.01)
    yield process
    process.kill()
    process.join()


def test_a_second_search_is_told_who_holds_the_folder_until_that_one_is_killed(holder, tmp_path):
    for ask in (refuse_if_held, lambda folder: FolderLock(folder).take()):
        with pytest.raises(UserError, match=rf"which process {holder.pid} on .* uses; let it finish, or choose"):
            ask(tmp_path)
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie, as nobody waits for it
    refuse_if_held(tmp_path)
    with hold_folder(tmp_path):
        assert f'"pid":{os.getpid()}' in (tmp_path / LOCK).read_text()
    assert not (tmp_path / LOCK).exists()


def test_two_threads_of_one_process_are_told_apart(tmp_path):
    with hold_folder(tmp_path / "run"):
        with pytest.raises(UserError, match="that no other process uses"), hold_folder(tmp_path / "run"):
            pass
        assert (tmp_path / "run" / LOCK).is_file()  # the second has not removed it
    with hold_folder(tmp_path / "run"):
        pass


def test_a_holder_on_another_machine_is_alive_while_its_heartbeat_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock, "POLL", 0.05)
    monkeypatch.setattr(folder_lock, "DEAD_AFTER", 5.0)
    (tmp_path / LOCK).write_text(elsewhere())
    beats = threading.Timer(0.3, lambda: (tmp_path / LOCK).write_text(elsewhere(1)))
    beats.start()
    with pytest.raises(UserError, match="process 1 on other uses"):
        FolderLock(tmp_path).take()
    beats.join()


@pytest.mark.parametrize("content", [elsewhere(), "", '{"pid": 1', "[]", "\0" * 9000])
def test_a_silent_or_torn_lock_is_taken_over(tmp_path, monkeypatch, content):
    monkeypatch.setattr(folder_lock, "POLL", 0.05)
    monkeypatch.setattr(folder_lock, "DEAD_AFTER", 0.2)
    (tmp_path / LOCK).write_text(content)
    with hold_folder(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


def test_a_process_of_the_same_id_that_began_later_is_no_holder(tmp_path):
    lock = FolderLock(tmp_path)
    (tmp_path / LOCK).write_text(lock.own.model_copy(update={"token": "x", "started": "1"}).model_dump_json())
    lock.take()
    lock.release()


def test_a_system_that_does_not_say_when_a_process_began(tmp_path, monkeypatch):
    """A killed holder's id may be another process's by now: here it is this one's."""
    monkeypatch.setattr(folder_lock, "process_start", lambda pid: "")
    monkeypatch.setattr(folder_lock, "POLL", 0.05)
    monkeypatch.setattr(folder_lock, "DEAD_AFTER", 0.2)
    (tmp_path / LOCK).write_text(FolderLock(tmp_path).own.model_copy(update={"token": "x"}).model_dump_json())
    refuse_if_held(tmp_path)
    with hold_folder(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background job"])
def test_a_holder_that_slept_stops_once_another_has_taken_over(before, tmp_path, monkeypatch):
    """A shell starts background jobs of a script with SIGINT ignored."""
    monkeypatch.setattr(folder_lock, "HEARTBEAT", 0.05)
    own = signal.signal(signal.SIGINT, before)

    def sleep() -> None:
        with hold_folder(tmp_path):
            FolderLock(tmp_path)._on_file(take)  # locked, since heartbeats are written at the same time
            time.sleep(10)

    def take(file: int) -> None:
        os.ftruncate(file, 0)
        os.pwrite(file, elsewhere().encode(), 0)

    try:
        with pytest.raises(UserError, match="process 1 on other took it over"):
            sleep()
        assert signal.getsignal(signal.SIGINT) == before
    finally:
        signal.signal(signal.SIGINT, own)
    assert (tmp_path / LOCK).read_text() == elsewhere()  # not removed


def test_a_background_job_that_holds_its_folder_still_ignores_interrupts(tmp_path):
    own = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with hold_folder(tmp_path):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, own)
    assert not (tmp_path / LOCK).exists()


def test_many_at_once_have_one_holder(tmp_path):
    """Threads stand for processes: a token tells holders apart, and the file's lock belongs to its descriptor."""
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(20):
            try:
                with hold_folder(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except UserError:
                pass

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most
    assert max(most) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_a_lock_that_is_no_file(tmp_path, kind):
    lock, target = tmp_path / "run" / LOCK, tmp_path / "target"
    lock.parent.mkdir()
    target.write_text("kept")
    os.mkfifo(lock) if kind == "pipe" else lock.symlink_to(target)
    with pytest.raises(OSError, match=r"named pipe|symbolic link"), hold_folder(lock.parent):
        pass
    assert Path(target).read_text() == "kept"
