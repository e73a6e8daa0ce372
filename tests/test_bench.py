"""The table that `make bench` leaves: what is written is read back, what is malformed is refused, the plot has all."""

from __future__ import annotations

import datetime
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.weights.atomic import write_text

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("bench_table")


def rows(table: ModuleType, ratio: float = 1.25) -> list:
    return [
        table.Row("views", "4 views", "images/s", 122.5, 98.0, "torchvision", ratio, 200.0, "crops", 0.6125, "2 cores"),
        table.Row("absent", "a step", "ms", None, None, "not installed: mmseg", None, None, "", None, "2 cores"),
    ]


def test_a_dated_file_is_read_back_as_it_was_written(table: ModuleType, tmp_path: Path):
    path = tmp_path / "2026-01-31.md"
    write_text(path, f"# Title\n\nSome | text.\n\n{table.markdown(rows(table))}\n")
    assert table.read(path) == rows(table)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("| 1.25 |", "| fast |", "line 3, got 'fast'"),
        ("| 1.25 |", "| nan |", "line 3, got 'nan'"),
        ("| 1.25 |", "|", "expected 11 cells .* line 3, got 10"),
        ("| absent |", "| views |", "line 4, got 'views' again"),
        ("| unit |", "| units |", "expected a table of the columns row, what is measured"),
    ],
)
def test_a_malformed_file_is_refused(table: ModuleType, tmp_path: Path, old: str, new: str, said: str):
    path = tmp_path / "2026-01-31.md"
    path.write_text(table.markdown(rows(table)).replace(old, new, 1))
    with pytest.raises(UserError, match=said) as error:
        table.history(tmp_path)
    assert str(path) in str(error.value)
    assert "run `make bench`" in str(error.value)


def test_the_plot_has_the_rows_of_all_days(table: ModuleType, tmp_path: Path):
    for day, ratio in (("2026-02-28", 1.5), ("2026-01-31", 1.25)):
        write_text(tmp_path / f"{day}.md", table.markdown(rows(table, ratio)))
    (tmp_path / "samplers.md").write_text("another table\n")
    found = table.history(tmp_path)
    assert list(found) == [datetime.date(2026, 1, 31), datetime.date(2026, 2, 28)]
    assert [some[0].ratio for some in found.values()] == [1.25, 1.5]
    table.draw(found, tmp_path / "bench.svg")
    text = (tmp_path / "bench.svg").read_text()
    assert all(f"<!-- {said} -->" in text for said in ("views", "absent", "peer", "bare limit"))
    assert not list(tmp_path.glob(".*"))


def test_some_rows_alone_do_not_replace_a_whole_file(table: ModuleType, tmp_path: Path):
    path = tmp_path / "2026-01-31.md"
    table.check_part(path, ["views"])
    path.write_text(table.markdown(rows(table)))
    table.check_part(path, ["absent", "views"])
    with pytest.raises(UserError, match="with absent; give another --out"):
        table.check_part(path, ["views"])


def test_a_name_that_is_no_day_is_refused(table: ModuleType, tmp_path: Path):
    (tmp_path / "2026-02-30.md").write_text(table.markdown(rows(table)))
    with pytest.raises(UserError, match=r"expected a date as the name of .*2026-02-30"):
        table.history(tmp_path)


def test_every_dated_file_of_the_repository_is_sound(table: ModuleType):
    found = table.history(BENCHMARKS / "results")
    assert found
    assert all(found.values())
