"""Half precision becomes fp32; fp64 stays."""

from __future__ import annotations

import pytest
import torch

from pinas_zoo.engine.diagnostics import spread
from pinas_zoo.engine.distributed import mean
from pinas_zoo.engine.precision import at_least_fp32


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_precision(given, expected):
    assert at_least_fp32(torch.ones(2, 3, dtype=given)).dtype == expected
    assert spread(torch.ones(2, 3, dtype=given)).dtype == expected


def test_a_mean_over_ranks_keeps_fp64():
    assert mean(torch.tensor(1 + 1e-12, dtype=torch.float64)) == 1 + 1e-12
