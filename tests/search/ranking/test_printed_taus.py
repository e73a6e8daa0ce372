"""A printed tau stands beside ours only for the same supernet, architectures and data."""

from __future__ import annotations

from itertools import product

import pytest

from pinas_zoo.search.ranking.printed_taus import papers_taus
from pinas_zoo.search.spaces.base import build_space

FIVE = {"type": "nasbench201"}
THREE = {"type": "nasbench201", "operations": ("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")}
COLUMN = "cifar10_test_acc"


def archs(digits: str, layers: int = 6) -> list[str]:
    return ["".join(arch) for arch in product(digits, repeat=layers)]


def found(space, names, column=COLUMN, score="classifier"):
    return papers_taus(build_space(space), names, column, score)


def test_all_15_625_have_figure_6():
    papers = found(FIVE, archs("01234"))
    assert {tau.method: tau.tau for tau in papers.taus} == {"pinas": "0.65", "spos": "0.60"}
    assert papers.text.startswith("Π-NAS 0.65, SPOS 0.60 (Figure 6, the same 15,625, ")
    assert papers.to_dict()["figure"] == 6


def test_the_729_of_a_supernet_of_five_operations_have_figure_3():
    papers = found({**FIVE, "subspace": THREE["operations"]}, archs("234"), score="consistency")
    assert {tau.method: tau.tau for tau in papers.taus} == {"pinas": "0.70", "spos": "0.57"}
    assert "Figure 3, the same 729, by accuracy of the linear classifier; this run by consistency" in papers.text


def test_operations_in_another_order_are_the_same_protocol():
    reordered = ("avg_pool_3x3", "nor_conv_3x3", "nor_conv_1x1", "skip_connect", "none")
    assert [tau.figure for tau in found({**FIVE, "operations": reordered}, archs("012")).taus] == [3, 3]
    assert found({**FIVE, "operations": reordered}, archs("234")).taus == ()


@pytest.mark.parametrize(
    ("space", "names", "column", "says"),
    [
        (THREE, archs("012"), COLUMN, "none: its supernets have all five operations, this one has 3"),
        (FIVE, archs("123"), COLUMN, "none for these 729 architectures"),  # with skip connections
        (FIVE, archs("234")[1:], COLUMN, "none for these 728 architectures: it ranks 729 and 15,625"),
        (FIVE, archs("01234")[::2], COLUMN, "none for these 7,813"),
        (FIVE, archs("0234"), COLUMN, "Figure 8 has those of these 4,096 in its picture alone"),
        (FIVE, archs("234"), "cifar100_test_acc", "none: its accuracies are of CIFAR-10"),
        ({"type": "resnest50"}, ["1" * 16, "2" * 16], "accuracy", "Table 3's 0.79 is over 13"),
    ],
)  # fmt: skip
def test_any_other_protocol_has_no_printed_number(space, names, column, says):
    papers = found(space, names, column)
    assert papers.taus == ()
    assert says in papers.text


def test_a_space_without_an_experiment_in_the_paper_has_no_line():
    assert found({"type": "resnest50", "depths": (1, 1, 1, 1)}, archs("0123", 4)) is None
