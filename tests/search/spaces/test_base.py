"""The space: paths, and stand-alone networks cut out of the supernet that compute what the path computes."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.rng import step_rng
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

TINY = dict(depths=(1, 2, 1, 1), widths=(16, 16, 32, 32), stem_width=8)


@pytest.mark.parametrize("shared", [True, False])
def test_a_path_alone_computes_what_it_does_in_the_supernet(shared):
    torch.manual_seed(0)
    space = ResNeSt50Space(**TINY, shared_downsample=shared, zero_init_last=False)
    supernet = space.supernet().eval()
    images = torch.randn(2, 3, 64, 64)
    for step in range(4):
        (path,) = space.sample(step_rng(0, step, 0))
        network = timm.create_model("pinas", num_classes=0, **space.model_args(path)).eval()
        network.load_state_dict(space.export(supernet, path))
        torch.testing.assert_close(network(images), supernet(images, path), rtol=1e-5, atol=1e-5)


def test_downsample_is_one_module_or_one_per_candidate():
    shared, separate = ResNeSt50Space(**TINY).supernet(), ResNeSt50Space(**TINY, shared_downsample=False).supernet()
    assert len({id(c.downsample) for c in shared.layer1[0]}) == 1
    assert len({id(c.downsample) for c in separate.layer1[0]}) == 4


def test_paths_agree_at_first_and_only_then():
    images = torch.randn(2, 3, 64, 64)
    for zero, agree in ((True, True), (False, False)):
        supernet = ResNeSt50Space(**TINY, zero_init_last=zero).supernet().eval()
        first, second = supernet(images, Arch((0, 1, 2, 3, 0))), supernet(images, Arch((1, 2, 3, 0, 1)))
        assert torch.equal(first, second) is agree


def test_exported_tensors_are_copies():
    space = ResNeSt50Space(**TINY)
    supernet, path = space.supernet(), Arch((0, 0, 0, 0, 0))
    state = space.export(supernet, path)
    state["conv1.0.weight"].zero_()
    assert supernet.conv1[0].weight.abs().sum() > 0


def test_sampling_is_uniform_and_without_replacement():
    space = ResNeSt50Space(**TINY)
    counts = np.zeros((space.num_layers, space.num_candidates))
    rng = step_rng(0, 0, 0)
    for _ in range(2000):
        first, second = space.sample(rng, 2)
        assert all(a != b for a, b in zip(first, second, strict=True))
        counts[np.arange(space.num_layers), list(first)] += 1
    assert np.abs(counts / 2000 - 0.25).max() < 0.04
    with pytest.raises(ValueError, match="at most 4 paths"):
        space.sample(rng, 5)


def test_cost_equals_the_network_without_classifier():
    space, path = ResNeSt50Space(**TINY), Arch((3, 1, 2, 0, 3))
    params_m, _ = space.cost(path, 64)
    network = timm.create_model("pinas", num_classes=0, device="meta", **space.model_args(path))
    assert params_m == pytest.approx(sum(p.numel() for p in network.parameters()) / 1e6)


def test_step_rng_is_a_function_of_its_arguments():
    draws = {step_rng(seed, step, stream).integers(2**62) for seed in (0, 1) for step in (0, 1) for stream in (0, 1)}
    assert len(draws) == 8
    assert step_rng(1, 2, 3).integers(2**62) == step_rng(1, 2, 3).integers(2**62)


def test_the_papers_space_knows_the_architectures_of_table_1_and_a_smaller_one_the_path_of_resnest():
    known = {name: str(arch) for name, arch in ResNeSt50Space().references().items()}
    assert known == {
        "resnest50d": "1" * 16,
        "pinas_alpha": "3013231203213032",
        "pinas_gamma": "3333113330011021",
    }
    assert {name: str(arch) for name, arch in ResNeSt50Space(**TINY).references().items()} == {"resnest": "11111"}
    alone = timm.create_model("pinas", arch="1" * 16).state_dict()
    peer = timm.create_model("resnest50d").state_dict()
    assert {name: tensor.shape for name, tensor in alone.items()} == {n: t.shape for n, t in peer.items()}
