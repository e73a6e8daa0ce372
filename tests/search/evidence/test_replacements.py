"""Figure 7: which replacements there are, and whose change of accuracy counts."""

from __future__ import annotations

import pytest

from pinas_zoo.errors import UserError
from pinas_zoo.search.evidence.replacements import (
    Replacement,
    actual_changes,
    estimates_file,
    read_estimates,
    replacements,
    write_estimates,
)


def test_each_edge_that_is_no_skip_connection_is_replaced_once():
    assert replacements(["011111", "111111"]) == [Replacement("011111", 0, "111111")]
    found = replacements(["234210"])
    assert [one.after for one in found] == ["134210", "214210", "231210", "234110", "234211"]
    assert [one.operation for one in found] == ["nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "none"]


def test_actual_changes_are_of_replacements_whose_estimate_hardly_changes():
    estimated = {"011111": 0.5, "111111": 0.509, "211111": 0.52, "311111": 0.4991}
    actual = {"011111": 60.0, "111111": 63.5, "211111": 80.0, "311111": 90.0, "411111": 10.0}
    changes = actual_changes(estimated, actual, ["011111", "211111", "311111", "411111"], unchanged=0.01)
    assert changes == {"none": [3.5], "nor_conv_1x1": [], "nor_conv_3x3": [26.5], "avg_pool_3x3": []}
    assert actual_changes(estimated, actual, ["011111"], unchanged=0.009)["none"] == []  # the limit is exclusive


def test_estimates_are_kept_beside_the_result_file(tmp_path):
    path = tmp_path / "spos_learn.lr=0.1_15625_2x1_0_of_60.csv"
    assert read_estimates(path) == {}
    write_estimates(path, {"011111": 0.25, "111111": 1.0})
    assert read_estimates(path) == {"011111": 0.25, "111111": 1.0}
    estimates_file(path).write_text("arch,accuracy\n011111,many\n")
    with pytest.raises(UserError, match=r"estimates\.csv, line 2: expected a number as 'accuracy', got 'many'; delete"):
        read_estimates(path)
    with estimates_file(path).open("wb") as file:
        file.truncate(64 * 2**20)
    with pytest.raises(UserError, match="of at most 16 MiB"):
        read_estimates(path)
