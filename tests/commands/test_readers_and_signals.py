"""Streams that are closed, readers that go away and signals: the work goes on, or says that it stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pinas_zoo import cli
from pinas_zoo.output_streams import LastingStream, discard
from pinas_zoo.search.run_folder import STAGES, is_done
from tests.forked import ForkedCommand

TINY = """
name = "streams"
space = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4)
data = dict(type="digits", image_size=16, val_per_class=10, max_train=200)
learn = dict(options=dict(queue_size=32, dim=16), steps=3, batch_size=16, checkpoint_every=1, log_every=1)
linear = dict(steps=2, batch_size=16, lr=1.0)
explore = dict(evaluations=4, recalibration_images=32, batch_size=64)
train = dict(epochs=1, batch_size=64)
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")


@pytest.fixture
def words(tmp_path, zoo_home) -> list[str]:
    (tmp_path / "tiny.py").write_text(TINY)
    return ["search", str(tmp_path / "tiny.py"), "--work-dir", str(tmp_path / "run")]


def test_a_search_goes_on_when_nobody_reads_it_any_more(words, tmp_path):
    """As with ``search … 2>&1 | head -1``."""
    command = ForkedCommand(words)
    assert os.read(command.reader, 1)
    os.close(command.reader)
    assert command.exit_code() == 0
    assert all(is_done(tmp_path / "run", stage) for stage in STAGES)


def test_a_search_without_streams(words, tmp_path):
    def close() -> None:
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            os.close(number)
            setattr(sys, name, None)

    command = ForkedCommand([*words, "--set", "until='learn'"], close)
    assert command.end() == (0, "")
    assert is_done(tmp_path / "run", "learn")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_the_checkpoint_and_nothing_else(words, tmp_path, number):
    command = ForkedCommand([*words, "--set", "learn.steps=10000"])
    command.wait_for(tmp_path / "run" / "learn" / "checkpoint.pth")
    os.kill(command.pid, number)
    code, text = command.end()
    assert code == 128 + number
    assert "rerun the same command to resume" in text.splitlines()[-1]
    assert "Traceback" not in text
    assert (tmp_path / "run" / "learn" / "checkpoint.pth").is_file()
    assert not list((tmp_path / "run").rglob(".*"))


def test_an_interrupt_that_a_library_turns_into_another_error(monkeypatch, capsys):
    """As Python 3.11 does where a class is being made, such as within the import of matplotlib."""

    class Interrupts:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt

    def run(args: object) -> None:
        try:
            type("Made", (), {"member": Interrupts()})
        except KeyboardInterrupt as error:  # Python 3.12 leaves it as it is
            raise RuntimeError("Error calling __set_name__") from error

    monkeypatch.setattr("pinas_zoo.commands.paper.run", run)
    assert cli.main(["paper"]) == 130
    assert capsys.readouterr().err == "pinas-zoo paper: stopped\n"


def test_an_interrupt_of_which_a_library_leaves_no_trace(monkeypatch, capsys):
    """As safetensors does when Ctrl-C comes while it reads a tensor: a ValueError about the storage."""

    def run(args: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ValueError("could not determine the shape of object type 'torch.storage.UntypedStorage'")

    monkeypatch.setattr("pinas_zoo.commands.paper.run", run)
    assert cli.main(["paper"]) == 130
    assert capsys.readouterr().err == "pinas-zoo paper: stopped\n"


def test_an_interrupt_that_a_destructor_drops_comes_again(monkeypatch, capsys):
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def run(args: object) -> None:
        Interrupted()
        time.sleep(30)

    before = sys.unraisablehook
    monkeypatch.setattr("pinas_zoo.commands.paper.run", run)
    assert cli.main(["paper"]) == 130
    assert capsys.readouterr().err == "pinas-zoo paper: stopped\n"
    assert sys.unraisablehook is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_after_the_work_is_done_ends_the_process_without_a_traceback(number):
    code = (
        f"import atexit, os, signal, sys, pinas_zoo_launcher; atexit.register(os.kill, os.getpid(), {int(number)})\n"
        f"signal.signal({int(number)}, signal.SIG_DFL)  # nohup ignores one of them\n"
        "sys.argv = ['pinas-zoo', 'paper', '--table', '1']\n"
        "sys.exit(pinas_zoo_launcher.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-number, "")
    assert "ResNeSt-50" in done.stdout


def test_an_interrupt_before_the_command_is_known(monkeypatch, capsys):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "build_parser", interrupt)
    assert cli.main(["paper"]) == 130
    assert capsys.readouterr().err == "pinas-zoo: stopped\n"


def test_hangups_that_are_ignored_stay_so(words, tmp_path):
    command = ForkedCommand([*words, "--set", "until='learn'"], lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    command.wait_for(tmp_path / "run" / "config.json")
    os.kill(command.pid, signal.SIGHUP)
    assert command.end()[0] == 0


def test_a_full_disk_is_no_reader_that_has_gone():
    with Path("/dev/full").open("w") as full:
        stream = LastingStream(full)
        stream.write("x" * 100)
        with pytest.raises(OSError, match="No space left"):
            stream.flush()
        discard(full)  # its buffer is flushed to nowhere
