"""A loss or a weight that is no finite number is found where it is logged or saved."""

from __future__ import annotations

import torch
from torch import nn

from pinas_zoo.engine.finite_checks import first_of, non_finite_losses, non_finite_tensors, non_finite_weights


def test_losses_of_any_phase_but_no_other_value():
    values = {"loss": float("nan"), "arch.loss": float("inf"), "accuracy": float("nan"), "other_loss": 1.0}
    assert non_finite_losses(values) == ["loss nan", "arch.loss inf"]


def test_weights_are_finite_and_buffers_no_nan():
    module = nn.BatchNorm1d(3)
    module.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    assert non_finite_weights(module) == []
    with torch.no_grad():
        module.weight[1] = torch.inf
    module.running_var[0] = torch.nan
    assert non_finite_weights(module) == ["weight", "running_var"]
    assert non_finite_tensors(module.state_dict()) == ["weight", "running_var", "mask"]
    assert non_finite_weights(module.to("meta")) == []


def test_a_message_names_the_first():
    assert first_of(["a"]) == "a"
    assert first_of(["a", "b", "c"]) == "a and 2 more"
