"""Networks to start from: timm's ResNeSt-50 has the tensors of the space's ``1…1``, and computes the same."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

import pinas_zoo  # noqa: F401  registers the family
from pinas_zoo.errors import UserError, WrongShapes
from pinas_zoo.train.network import Start, build, load_body
from tests.networks import TINY, tiny


def test_resnest50_of_timm_loads_into_ones():
    torch.manual_seed(0)
    resnest: Any = timm.create_model("resnest50d", num_classes=7).eval()
    ones: Any = timm.create_model("pinas", arch="1" * 16, num_classes=7).eval()
    assert load_body(ones, resnest.state_dict(), "1" * 16, reset_head=False)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ones(x), resnest(x))


def test_a_classifier_of_other_classes_is_left_out():
    given, model = tiny("3013", num_classes=10, seed=1), tiny("3013", num_classes=3)
    before = model.fc.weight.clone()
    assert not load_body(model, given.state_dict(), "given", reset_head=False)
    assert torch.equal(model.fc.weight, before)
    assert torch.equal(model.conv1[0].weight, given.conv1[0].weight)
    same = tiny("3013", num_classes=10)
    assert not load_body(same, given.state_dict(), "given", reset_head=True)
    assert not torch.equal(same.fc.weight, given.fc.weight)


def test_weights_of_another_network_are_refused():
    with pytest.raises(
        WrongShapes, match=r"expected weights of the network 0000, got those of another: \d+ of another"
    ):
        load_body(tiny("0000"), tiny("3013").state_dict(), "0000", reset_head=False)


def test_arguments_that_describe_no_network_are_one_line():
    start = Start("3013", "pinas", "pinas", {"arch": "3013"})
    with pytest.raises(UserError, match="expected arguments of the network pinas"):
        build(start, ("a", "b"), {"depths": (1, 1)})
    model, words = build(start, ("a", "b"), TINY)
    assert (model.num_classes, words) == (2, "new weights")
