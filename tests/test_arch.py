"""What is read as an architecture, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError


@pytest.mark.parametrize(
    "given", ["0123", [0, 1, 2, 3], ["0", "1", "2", "3"], np.arange(4.0), torch.arange(4), (i for i in range(4))]
)
def test_forms_of_one_architecture(given):
    assert Arch.parse(given) == Arch((0, 1, 2, 3))


@pytest.mark.parametrize("given", [[0.5, 1, 2, 3], [None], ["a"], [float("nan")], [float("inf")], [[0]]])
def test_sequences_of_anything_else_are_one_line(given):
    with pytest.raises(UserError, match="expected whole numbers in an architecture, got "):
        Arch.parse(given)
