"""What commands print: tables, progress, errors and JSON, on a terminal and in a pipe."""

from __future__ import annotations

import io
import json
import sys

import pytest

from pinas_zoo import terminal

ROWS = [("a", "1"), ("long name", "1,234")]


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def tty(monkeypatch):
    """A function that makes both streams one terminal of 60 columns.

    A test calls it, because pytest sets the streams between fixtures and test.
    """

    def open_terminal() -> FakeTerminal:
        screen = FakeTerminal()
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, screen)
        return screen

    for key, value in {"TERM": "xterm", "COLUMNS": "60", "LINES": "20"}.items():
        monkeypatch.setenv(key, value)
    for key in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(key, raising=False)
    return open_terminal


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


# tables


def test_a_plain_table_is_aligned_without_trailing_spaces(capsys):
    terminal.table(("name", "count"), ROWS, right=("count",))
    assert capsys.readouterr().out == "name       count\na              1\nlong name  1,234\n"
    terminal.table(("name", "count"), ROWS)
    assert capsys.readouterr().out == "name       count\na          1\nlong name  1,234\n"
    terminal.table(("name", "count"), [])
    assert capsys.readouterr().out == "name  count\n"


def test_a_plain_table_does_not_need_rich(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    terminal.table(("name", "count"), ROWS)
    terminal.error("list", "expected a name")
    with terminal.progress(3) as meter:
        meter.update()
    assert "long name" in capsys.readouterr().out


def test_a_drawn_table_shows_every_character_of_a_cell(tty):
    screen = tty()
    name = "[bold]x[/bold] :smile: [/]"
    terminal.table(("name", "count"), [(name, "1"), ("y" * 150, "123,456,789")], right=("count",))
    shown = screen.getvalue()
    assert "\x1b[1m" in shown  # headings are bold
    assert name in shown
    assert shown.count("y") == 150
    assert "123,456,789" in shown


def test_dumb_terminals_get_plain_text(tty, monkeypatch):
    screen = tty()
    monkeypatch.setenv("TERM", "dumb")
    terminal.table(("name", "count"), ROWS)
    terminal.error("list", "x")
    assert "\x1b" not in screen.getvalue()


# text of users


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Π-NAS naïve 漢字 😀", "plain Π-NAS naïve 漢字 😀"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x9b31m \x7f", "\\x9b31m \\x7f"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("bytes \udcff", "bytes \\udcff"),
    ],
)
def test_control_characters_are_shown_escaped(text, shown, capsys):
    assert terminal.escape(text) == shown
    terminal.table(("name",), [(text,)])
    terminal.error("list", text)
    terminal.warning(text)
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1:] == [shown]
    assert captured.err.splitlines() == [f"pinas-zoo list: {shown}", f"warning: {shown}"]


def test_control_characters_do_not_reach_a_terminal(tty):
    screen = tty()
    evil = "\x1b]0;title\x07\x1b[2J"
    terminal.table(("name",), [(evil,)])
    terminal.error("list", evil)
    with terminal.progress(3, label=evil) as meter:
        meter.update(loss=evil)
    assert "]0;title" in screen.getvalue()
    assert "\x1b]0" not in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()


def test_errors_are_styled_on_a_terminal_and_stay_whole(tty, monkeypatch):
    screen = tty()
    path = "/a/" + "very/" * 30 + "long [red]path[/red]"
    terminal.error("list", path)
    assert path in screen.getvalue()  # not broken into lines
    assert "\x1b[1;31m" in screen.getvalue()
    screen.truncate(0)
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.error("list", path)
    assert path in screen.getvalue()
    assert "31m" not in screen.getvalue()


# JSON


def test_json_is_alone_on_stdout(capsys):
    with terminal.json_alone():
        print("noise of a library")
        terminal.print_json({"value": float("nan"), "list": (1, float("inf")), "text": "\x1b\udcff"})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"value": None, "list": [1, None], "text": "\x1b\udcff"}
    assert captured.out.isascii()
    assert "\x1b" not in captured.out
    assert captured.err == "noise of a library\n"
    with terminal.json_alone(False):
        print("text")
    assert capsys.readouterr().out == "text\n"


def test_stdout_comes_back_after_an_error(capsys):
    with pytest.raises(ValueError, match="x"), terminal.json_alone():
        raise ValueError("x")
    print("here")
    assert capsys.readouterr().out == "here\n"


# progress


def test_plain_progress_is_a_line_in_ten_seconds_and_one_at_the_end(capsys):
    clock = Clock()
    meter = terminal.PlainProgress(1000, 200, "learn", "step", clock)
    for _ in range(96):
        clock.seconds += 0.125
        meter.update(loss=1.23456)
    meter.close()
    meter.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "learn: 280/1000 steps, 8 steps/s, 1:30 left, loss 1.235",
        "learn: 296/1000 steps, 8 steps/s, 1:28 left, loss 1.235",
    ]


def test_progress_that_is_complete_or_empty_says_so_once(capsys):
    clock = Clock()
    meter = terminal.PlainProgress(2, unit="arch", clock=clock)
    clock.seconds += 8
    meter.update(2)
    meter.close()
    assert capsys.readouterr().err == "2/2 archs, 4 s/arch\n"
    terminal.PlainProgress(5, 5, "explore", "arch", clock).close()
    assert capsys.readouterr().err == ""


def test_the_rate_is_that_of_the_last_half_minute():
    clock = Clock()
    meter = terminal.Progress(10_000, clock=clock)
    assert meter.rate is None
    for _ in range(100):
        clock.seconds += 10
        meter.update(1)
    for _ in range(400):
        clock.seconds += 0.1
        meter.update(1)
    assert meter.rate == pytest.approx(10, rel=0.01)
    assert meter.seconds_left == pytest.approx(950, rel=0.01)


def test_values_change_without_progress(capsys):
    with terminal.progress(3, label="explore", unit="arch") as meter:
        meter.update(0, best=0.5)
        meter.update(0, best=0.75, note="x")
    assert capsys.readouterr().err == "explore: 0/3 archs, - archs/s, best 0.75, note x\n"


def test_disabled_progress_counts_and_says_nothing(capsys):
    with terminal.progress(3, enabled=False) as meter:
        meter.update(2, loss=1.0)
    assert meter.done == 2
    assert capsys.readouterr() == ("", "")


def test_a_drawn_bar_shows_rate_time_left_and_values(tty, monkeypatch):
    screen = tty()
    monkeypatch.setenv("COLUMNS", "110")
    clock, before = Clock(), sys.stdout
    with terminal.DrawnProgress(100, 50, "learn", "step", clock) as meter:
        for _ in range(20):
            clock.seconds += 0.25
            meter.update(loss=0.5)
        print("a line above the bar")
        terminal.warning("another line")
    shown = screen.getvalue()
    assert "\x1b[2K\x1b[1;33mwarning:\x1b[0m another line\n" in shown  # on a line that was cleared of the bar
    for text in ("learn", "70/100 steps", "4 steps/s", "0:08 left", "loss 0.5", "a line above the bar\n"):
        assert text in shown, text
    assert sys.stdout is before
    assert shown.endswith("\x1b[?25h")  # the cursor is back


def test_a_bar_leaves_stdout_alone_that_goes_to_a_file(tty, monkeypatch):
    tty()
    file = io.StringIO()
    monkeypatch.setattr(sys, "stdout", file)
    with terminal.progress(2) as meter:
        assert isinstance(meter, terminal.DrawnProgress)
        print("result")
        meter.update()
    assert file.getvalue() == "result\n"


def test_a_bar_is_closed_by_an_error(tty):
    screen = tty()
    with pytest.raises(KeyboardInterrupt), terminal.progress(2):
        raise KeyboardInterrupt
    assert screen.getvalue().endswith("\x1b[?25h")
