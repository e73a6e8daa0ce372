"""The learn stage: its summary, and a method that is loaded to score paths."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pinas_zoo.engine.trainable import Trainable, prepare
from pinas_zoo.search.stages.learn import first_and_last_loss

NAN = math.nan


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ({"step": [1, 2], "loss": [3.0, 2.0]}, (3.0, 2.0)),
        ({"step": [1, 2, 3], "loss": [3.0, 2.0, NAN], "late.loss": [NAN, NAN, 9.0]}, (3.0, 2.0)),
        ({"step": [1, 2, 3], "late.loss": [NAN, 2.0, 1.0]}, (2.0, 1.0)),
    ],
)
def test_losses_of_a_phase_that_starts_late_or_stops_early(curve, expected):
    assert first_and_last_loss(curve) == expected


def test_each_preparation_creates_the_same_and_draws_nothing_from_the_run():
    class Taught(Trainable):
        def prepare(self) -> None:
            self.teacher = [nn.Linear(3, 2)]

    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    first, second, other = Taught(), Taught(), Taught()
    prepare(first, 0)
    assert torch.equal(torch.rand(1), expected)
    prepare(second, 0)
    prepare(other, 1)
    assert torch.equal(first.teacher[0].weight, second.teacher[0].weight)
    assert not torch.equal(first.teacher[0].weight, other.teacher[0].weight)
