"""The one reader of tables of trained networks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinas_zoo.errors import UserError
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
        ("arch,accuracy\n0123\n", "line 2: expected a number as 'accuracy', got None"),
        ("arch,accuracy\n0123,nan\n", "line 2: expected a number as 'accuracy', got 'nan'"),
    ],
)
def test_a_truth_that_cannot_be_read_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_truth(write(tmp_path / "t.csv", text))
    with pytest.raises(UserError, match="cannot read"):
        read_truth(tmp_path / "absent.csv")
