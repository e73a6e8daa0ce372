"""The one reader of tables of trained networks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.search.ranking import truth_csv
from pinas_zoo.search.ranking.truth_csv import read_truth


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_columns_may_have_any_name(tmp_path):
    path = write(tmp_path / "t.csv", "id,net,top1\n0, 0123 ,71.5\n1,3210,70\n")
    assert read_truth(path, "net", "top1") == ({"0123": 71.5, "3210": 70.0}, "top1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a column 'arch' or 'arch_str', got an empty file"),
        ("net,accuracy\n0123,1\n", "expected a column 'arch' or 'arch_str', got net, accuracy; use --arch-column"),
        ("arch,top1\n0123,1\n", "expected a column 'accuracy' or .* got arch, top1; use --accuracy-column"),
        ("arch,accuracy\n0123,high\n", "line 2: expected a number as 'accuracy', got 'high'"),
        ("arch,accuracy\n0123\n", "line 2: expected 2 cells as in the header, got 1; complete the row"),
        ("arch,accuracy\n0123,1,2\n", "line 2: expected 2 cells as in the header, got 3"),
        ("accuracy,arch\n1,0123\n1\n", "line 3: expected 2 cells as in the header, got 1"),
        ("arch,accuracy\n0123,\n", "line 2: expected a number as 'accuracy', got ''"),
        ("arch,accuracy\n0123,1e308\n", "line 2: expected a number as 'accuracy', got '1e308'"),
        ("arch,accuracy\n0123,-inf\n", "line 2: expected a number as 'accuracy', got '-inf'"),
        ("arch,accuracy\n0123,1\n\n0123,2\n", "line 4: expected one accuracy of '0123', got 1 and 2; keep one row"),
        ("arch,accuracy,accuracy\n0123,1,2\n", "expected one column 'accuracy', got several"),
        ("arch,accuracy\n" + "0" * 200_000 + ",1\n", "line 2: expected a row of a CSV table, got field larger"),
        ("arch,accuracy\n0123,nan\n", "line 2: expected a number as 'accuracy', got 'nan'"),
    ],
)
def test_a_truth_that_cannot_be_read_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_truth(write(tmp_path / "t.csv", text))
    with pytest.raises(UserError, match="found no file there"):
        read_truth(tmp_path / "absent.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_separators_and_a_byte_order_mark(tmp_path, separator, mark):
    text = f"{mark}arch{separator}accuracy\r\n0123{separator}71.5\r\n"
    (tmp_path / "t.csv").write_bytes(text.encode())
    assert read_truth(tmp_path / "t.csv") == ({"0123": 71.5}, "accuracy")


def test_rows_that_repeat_another_are_said(tmp_path, capsys):
    path = write(tmp_path / "t.csv", "arch,accuracy\n0123,1\n3210,2\n0123,1.0\n")
    assert read_truth(path) == ({"0123": 1.0, "3210": 2.0}, "accuracy")
    assert "1 of 3 rows repeat another row" in capsys.readouterr().err


def test_files_that_are_none_or_huge(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"found no file|a folder"):
        read_truth(tmp_path)
    (tmp_path / "huge.csv").touch()
    os.truncate(tmp_path / "huge.csv", 3 * 2**30)
    with pytest.raises(UserError, match=r"of at most 64 MiB, got 3,072 MiB"):
        read_truth(tmp_path / "huge.csv")
    (tmp_path / "utf16.csv").write_text("arch,accuracy\n0,1\n", encoding="utf-16")
    with pytest.raises(UserError, match="as UTF-8"):
        read_truth(tmp_path / "utf16.csv")
    monkeypatch.setattr(truth_csv, "MOST_ROWS", 2)
    with pytest.raises(UserError, match="at most 2 rows"):
        read_truth(write(tmp_path / "t.csv", "arch,accuracy\n0,1\n1,1\n2,1\n"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_pipes_and_devices_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a named pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(UserError, match=kind):
            read_truth(path)
