"""The networks compute what the authors' code and timm's compute, with the same weights under the same names."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import timm
import torch

import pinas_zoo  # noqa: F401  registers the family
from pinas_zoo.models.pinas import ARCHS
from tests.devices import DEVICES
from tests.golden import fill_, relative_error, seeded_input, shared_dir
from tests.tf32 import tf32

TOLERANCE = 1e-4  # relative to the largest magnitude of the reference tensor
STORED = ("alpha", "mixed")


@pytest.fixture(scope="module", params=STORED)
def stored(request: pytest.FixtureRequest) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(shared_dir() / "golden" / f"backbone_{request.param}.npz") as file:
        return dict(file)


def test_stored_alpha_is_the_registered_alpha() -> None:
    with np.load(shared_dir() / "golden" / "backbone_alpha.npz") as file:
        assert "".join(map(str, file["arch"])) == ARCHS["pinas_alpha"]


@pytest.mark.parametrize("device", DEVICES)
def test_logits(stored: dict[str, np.ndarray[Any, Any]], device: str) -> None:
    model = fill_(timm.create_model("pinas", arch=stored["arch"].tolist())).eval().to(device)
    images = seeded_input(stored["input_shape"].tolist(), int(stored["input_seed"])).to(device)
    with torch.inference_mode(), tf32(False):
        logits = model(images)
    assert relative_error(logits, torch.from_numpy(stored["logits"])) < TOLERANCE


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_stage_features(stored: dict[str, np.ndarray[Any, Any]], output_stride: int, device: str) -> None:
    model = timm.create_model(
        "pinas",
        arch=stored["arch"].tolist(),
        features_only=True,
        out_indices=(1, 2, 3, 4),
        output_stride=output_stride,
    )
    images = seeded_input(stored["input_shape"].tolist(), int(stored["input_seed"])).to(device)
    with torch.inference_mode(), tf32(False):
        features = fill_(model).eval().to(device)(images)
    for stage, feature in enumerate(features, start=1):
        reference = {
            part: torch.from_numpy(stored[f"os{output_stride}_layer{stage}_{part}"])
            for part in ("shape", "chan_mean", "first8")
        }
        assert list(feature.shape) == reference["shape"].tolist()
        assert relative_error(feature.mean((2, 3)), reference["chan_mean"]) < TOLERANCE
        assert relative_error(feature[0, :8], reference["first8"]) < TOLERANCE


@pytest.mark.parametrize("name", STORED)
def test_names_and_shapes_of_the_reference_checkpoint(name: str) -> None:
    reference = json.loads((shared_dir() / "golden" / f"official_keys_{name}.json").read_text())
    model = timm.create_model("pinas", arch=reference["arch"], device="meta")
    assert {key: list(tensor.shape) for key, tensor in model.state_dict().items()} == reference["keys"]


def test_all_ones_is_timms_resnest50d() -> None:
    theirs = fill_(timm.create_model("resnest50d")).eval()  # no weight, statistic or bias is left trivial
    ours = timm.create_model("pinas", arch="1" * 16).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = seeded_input((1, 3, 96, 96), seed=1).double()  # fp64: these weights amplify fp32's rounding a thousandfold
    with torch.inference_mode():
        (final, features), (their_final, their_features) = (
            m.double().forward_intermediates(images) for m in (ours, theirs)
        )
        logits, their_logits = (m.forward_head(f) for m, f in ((ours, final), (theirs, their_final)))
    for tensor, theirs_ in zip([*features, final, logits], [*their_features, their_final, their_logits], strict=True):
        assert relative_error(tensor, theirs_) < 1e-9
