"""The networks compute what the authors' code and timm's compute, with the same weights under the same names."""

from __future__ import annotations

import json

import pytest
import timm
import torch

from pinas_zoo.models.pinas import ARCHS
from tests.golden import fill_, seeded_input, shared_dir
from tests.golden_runs import STORED, Values, arrays, backbone, backbone_reference, errors, relative_error

# Of fp64 from the authors' fp32, relative to the largest magnitude of a tensor. Measured: 1.3e-4 (logits), 1.6e-4 and
# 6.4e-6. That is their rounding: our own fp32 is 1.0e-4, 1.3e-4 and 2.1e-5 from our fp64 on one thread, because these
# weights amplify fp32's rounding of 6e-8 a thousandfold, and more in the stages after the first
TOLERANCE = {"logits": 2.5e-4, "chan_mean": 2.5e-4, "first8": 1e-5}
FP32 = 1e-3  # of fp32 from fp64, on any processor and number of threads


@pytest.fixture(scope="module", params=STORED)
def stored(request: pytest.FixtureRequest) -> tuple[str, Values]:
    return request.param, backbone(request.param, torch.float64)


def test_stored_alpha_is_the_registered_alpha() -> None:
    assert "".join(map(str, arrays("backbone_alpha.npz")["arch"])) == ARCHS["pinas_alpha"]


def test_logits_and_features_are_the_authors(stored: tuple[str, Values]) -> None:
    """At output strides 32, 16 and 8, in fp64."""
    name, exact = stored
    found = errors(exact, backbone_reference(name))
    assert len(found) == 1 + 3 * 4 * 2
    for part, tolerance in TOLERANCE.items():
        assert {k: e for k, e in found.items() if k.endswith(part) and not e < tolerance} == {}


def test_fp32_is_fp64_but_for_rounding(stored: tuple[str, Values]) -> None:
    name, exact = stored
    assert max(errors(backbone(name, torch.float32), exact).values()) < FP32


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
