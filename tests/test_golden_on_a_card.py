"""The authors' numbers on a card, in fp32 without TF32; tests/models and tests/search/methods have them on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

import pinas_zoo  # noqa: F401  registers the family
from tests.golden import fill_, relative_error, seeded_input, shared_dir
from tests.golden_runs import STORED, arrays
from tests.golden_step import golden_step
from tests.tf32 import tf32

TOLERANCE = 1e-3  # the authors' fp32 and the card's each round by about 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("name", STORED)
def test_logits(name):
    stored = arrays(f"backbone_{name}.npz")
    model = fill_(timm.create_model("pinas", arch=stored["arch"].tolist())).eval().to("cuda")
    images = seeded_input(stored["input_shape"].tolist(), int(stored["input_seed"])).to("cuda")
    with torch.inference_mode(), tf32(False):
        logits = model(images).cpu()
    assert relative_error(logits, torch.from_numpy(stored["logits"])) < TOLERANCE


@pytest.mark.gpu
def test_a_step_of_learning():
    with tf32(False):
        step = golden_step(shared_dir() / "golden", "cuda")
    assert step.loss_error() < 1e-4
    assert set(step.gradient_norms()) == set(step.facts["grad_norm"])
    assert np.median(step.gradient_errors()) < 1e-2
