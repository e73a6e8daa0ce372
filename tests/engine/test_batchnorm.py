"""Batch statistics and recalibration: exact against the authors' numbers, and without trace."""

from __future__ import annotations

import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import batch_statistics, recalibrated
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from tests.golden_runs import Values, errors, recalibration, recalibration_reference

TINY = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


@pytest.fixture(scope="module")
def exact() -> Values:
    return recalibration(torch.float64)


def test_recalibration_equals_the_reference(exact):
    """In fp64; measured against the authors' fp32: 5.4e-5 of statistics, 1.3e-4 of the features after 16 blocks."""
    found = errors(exact, recalibration_reference())
    assert found.pop("pooled_features") < 2.5e-4
    assert len(found) == 7
    assert {k: e for k, e in found.items() if not e < 1e-4} == {}


def test_recalibration_in_fp32_is_that_in_fp64_but_for_rounding(exact):
    assert max(errors(recalibration(torch.float32), exact).values()) < 1e-3


@pytest.fixture
def supernet():
    torch.manual_seed(0)
    return ResNeSt50Space(**TINY).supernet()


def test_recalibration_leaves_no_trace(supernet):
    supernet.eval()
    before = {k: v.clone() for k, v in supernet.state_dict().items()}
    path, images = Arch((0, 1, 2, 3)), torch.randn(8, 3, 32, 32)
    modules = [module for _, module in supernet.path_modules(path)]
    plain = supernet(images, path)
    with recalibrated(modules, (supernet(images, path) for _ in range(2))):
        assert not torch.allclose(supernet(images, path), plain)
    assert all(torch.equal(v, before[k]) for k, v in supernet.state_dict().items())
    assert not any(m.training for m in supernet.modules())
    assert torch.equal(supernet(images, path), plain)


def test_recalibrated_statistics_stay_fp32_under_autocast(supernet):
    path, images = Arch((0, 1, 2, 3)), torch.randn(8, 3, 32, 32)
    modules = [module for _, module in supernet.path_modules(path)]

    def run():
        with torch.autocast("cpu", torch.bfloat16):
            yield supernet(images, path)

    with recalibrated(modules, run()):
        assert supernet.bn1.running_var.dtype == torch.float32


def test_batch_statistics_equal_training_mode_and_write_nothing(supernet):
    path, images = Arch((3, 2, 1, 0)), torch.randn(8, 3, 32, 32)
    supernet.eval()
    before = {k: v.clone() for k, v in supernet.state_dict().items()}
    with batch_statistics(supernet):
        features = supernet(images, path)
    assert all(torch.equal(v, before[k]) for k, v in supernet.state_dict().items())
    supernet.train()
    torch.testing.assert_close(features, supernet(images, path))
