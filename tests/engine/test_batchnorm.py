"""Batch statistics and recalibration: exact against the authors' numbers, and without trace."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.engine.batchnorm import batch_statistics, recalibrated
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space
from tests.golden import golden_tensor, seeded_input, shared_dir
from tests.search.methods.test_pinas import candidate_0

TINY = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


def test_recalibration_equals_the_reference():
    arrays = np.load(shared_dir() / "golden" / "bn_recalibration_alpha.npz")
    # in fp64: two fp32 computations of the pooled features differ by 1.3e-4, each by 1e-4 from fp64, through rounding
    supernet, path = ResNeSt50Space().supernet().eval().double(), Arch(tuple(arrays["path"]))
    with torch.no_grad():
        for name, tensor in supernet.state_dict().items():
            tensor.copy_(golden_tensor(candidate_0(name), tensor.shape))
    shape = tuple(arrays["batch_shape"])
    batches = (supernet(seeded_input(shape, int(seed)).double(), path) for seed in arrays["batch_seeds"])
    with recalibrated([module for _, module in supernet.path_modules(path)], batches), torch.no_grad():
        buffers = dict(supernet.named_buffers(remove_duplicate=False))
        for name in arrays.files:
            if "running" in name:
                np.testing.assert_allclose(buffers[name].numpy(), arrays[name], rtol=1e-4, atol=1e-4, err_msg=name)
        images = seeded_input(tuple(arrays["eval_shape"]), int(arrays["eval_seed"]))
        features = supernet(images.double(), path)
    expected = arrays["pooled_features"]
    assert np.linalg.norm(features.numpy() - expected) < 1e-4 * np.linalg.norm(expected)


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
