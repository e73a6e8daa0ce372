"""Tables of trained NAS-Bench-201 networks."""

from __future__ import annotations

import pytest

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.nasbench201 import arch_string
from pinas_zoo.search.ranking.benchmark_table import read_table
from pinas_zoo.search.spaces.nasbench201 import NASBench201Space
from tests.golden import shared_dir


def test_the_published_table():
    table = read_table(shared_dir() / "data" / "nb201_cifar10.csv")
    assert len(table) == 15625
    computing = NASBench201Space(operations=("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"))
    assert sum(computing.holds(arch) for arch in table) == 729
    row = table[Arch.parse("421211")]  # the table's first
    assert (row.params, row.flops) == (129306, 15647370)
    assert row.accuracies["cifar10_test_acc"] == 85.863333
    assert row.accuracies["cifar10_test_acc_12ep"] == 69.55


class Api:
    """Answers as nats_bench's object does (get_more_info, get_cost_info, meta_archs); counts are in millions."""

    meta_archs = (arch_string("333333"), arch_string("101234"))

    def get_more_info(self, index, dataset, iepoch=None, hp="12", is_random=True):
        if dataset != "cifar10":
            raise KeyError(dataset)
        assert is_random is False
        return {"train-loss": 0.1, "train-accuracy": 99.0, "test-accuracy": 90.0 + index + (hp == "200"), "comment": ""}

    def get_cost_info(self, index, dataset, hp="12"):
        return {"flops": 15.64737, "params": 0.129306, "latency": 0.01}


def test_an_api_object():
    table = read_table(Api())
    assert [str(arch) for arch in table] == ["333333", "101234"]
    assert table[Arch.parse("101234")].accuracies == {"train-accuracy": 99.0, "test-accuracy": 92.0}
    assert table[Arch.parse("333333")].params == 129306
    assert table[Arch.parse("333333")].flops == 15647370
    assert read_table(Api(), epochs=12)[Arch.parse("333333")].accuracies["test-accuracy"] == 90.0
    with pytest.raises(UserError, match="does not answer for network 0, dataset 'imagenet'"):
        read_table(Api(), "imagenet")


def test_empty_cells_are_unknown_and_arch_str_comes_before_arch(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("arch,arch_str,valid_acc,test_acc,flops\nfirst,000000,,90.5,1e6\nsecond,000001,80,,\n")
    table = read_table(path)
    assert [dict(row.accuracies) for row in table.values()] == [{"test_acc": 90.5}, {"valid_acc": 80.0}]
    assert [(str(arch), row.params, row.flops) for arch, row in table.items()] == [
        ("000000", None, 1_000_000),
        ("000001", None, None),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "arch,params\n000000,1\n", "expected a column arch_str"),
        ("t.csv", "arch_str,test_acc\n|none~0|,1\n", "line 2: expected three nodes"),
        ("t.csv", "arch_str,test_acc\n000000,much\n", "line 2: expected a number as 'test_acc', got 'much'"),
        ("t.csv", "arch_str,test_acc,flops\n000000,1,many\n", "line 2: expected a number as 'flops', got 'many'"),
        ("NAS-Bench-201.pth", "x", "is a pickle"),
        (None, "", "expected a CSV table"),
    ],
)
def test_what_is_no_table_is_named(name, content, message, tmp_path):
    path = tmp_path / (name or "missing.csv")
    if name:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_table(path)
    with pytest.raises(UserError, match="got int"):
        read_table(3)
