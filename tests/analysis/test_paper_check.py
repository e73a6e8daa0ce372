"""How much the check against Table 1 says: how many architectures have the figures of a row."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import timm

from pinas_zoo.analysis.cost import count_module, count_operations
from pinas_zoo.analysis.paper_check import printed_row, rounded_twice

LAYERS, CHOICES = 16, 4


@pytest.mark.parametrize(
    ("count", "unit", "digits", "printed"),
    [
        (27_046_278, 10**6, 1, "27.1"),
        (27_039_016, 10**6, 1, "27.0"),
        (27_046_278, 10**6, 2, "27.05"),
        (27_046_278, 10**6, 3, "27.046"),
        (27_045_000, 10**6, 1, "27.1"),  # 27.045 is 27.05, halves up
        (27_044_999, 10**6, 1, "27.0"),
        (5_415_731_968, 10**9, 2, "5.42"),
    ],
)
def test_rounding_twice(count, unit, digits, printed):
    assert rounded_twice(count, unit, digits) == printed


def counts(arch: str) -> np.ndarray:
    model = timm.create_model("pinas", arch=arch, device="meta")
    return np.array([count_module(model, (3, 224, 224)).params, count_operations(model, (3, 224, 224))])


@pytest.mark.slow
def test_number_of_architectures_that_have_the_figures_of_a_row():
    """Counts add up over layers, so all 4^16 are counted from one network a layer and candidate."""
    least = counts("0" * LAYERS)
    more = np.zeros((LAYERS, CHOICES, 2), np.int64)
    for layer, choice in product(range(LAYERS), range(1, CHOICES)):
        more[layer, choice] = counts("0" * layer + str(choice) + "0" * (LAYERS - 1 - layer)) - least
    sums, number = least[None], np.ones(1, np.int64)  # distinct (parameters, FLOPs), and how many have them
    for layer in more[:13]:
        sums = (sums[:, None] + layer).reshape(-1, 2)
        _, first, place = np.unique(sums[:, 0] << 33 | sums[:, 1], return_index=True, return_inverse=True)
        number = np.bincount(place, np.repeat(number, CHOICES)).astype(np.int64)
        sums = sums[first]
    found = dict.fromkeys(("pinas_alpha", "pinas_beta", "pinas_gamma", "pinas_delta", "pinas_epsilon"), 0)
    for last in product(range(CHOICES), repeat=LAYERS - 13):
        params, flops = (sums + sum(more[13 + k, choice] for k, choice in enumerate(last))).T
        tenths, hundredths = ((params + 5_000) // 10**4 + 5) // 10, (flops + 5 * 10**6) // 10**7
        for name in found:
            row = printed_row(name)
            same = (tenths == round(float(row.params_m) * 10)) & (hundredths == round(float(row.flops_g) * 100))
            found[name] += int(number[same].sum())
    assert found == {
        "pinas_alpha": 42_912_956,
        "pinas_beta": 58_962_128,
        "pinas_gamma": 7_268_147,
        "pinas_delta": 7_051_430,
        "pinas_epsilon": 52_458_358,
    }
