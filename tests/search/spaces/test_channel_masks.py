"""Candidates that share channels compute what the supernet's separate candidates do once the weights are copied."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.spaces.channel_masks import copy_shared, masked_features, use_masks, widest_path
from tests.golden import seeded_input

TINY = dict(type="resnest50", depths=(1, 2, 1, 1), widths=(16, 16, 16, 16), stem_width=8, zero_init_last=False)


def random_supernet(**more):
    torch.manual_seed(0)
    space = build_space({**TINY, **more})
    supernet = space.supernet()
    for module in supernet.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight, 1.0, 0.2)
            torch.nn.init.normal_(module.bias, std=0.2)
            torch.nn.init.normal_(module.running_mean, std=0.1)
    return space, supernet


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_copied_candidates_compute_the_masked_path(training, shared):
    space, supernet = random_supernet(shared_downsample=shared)
    supernet.train(training)
    copy_shared(supernet)
    x = seeded_input((4, 3, 64, 64), 0)
    for seed in range(3):
        (path,) = space.sample(np.random.default_rng(seed))
        gates = torch.nn.functional.one_hot(torch.tensor(list(path)), 4).float()
        masked = masked_features(supernet, x, path)
        torch.testing.assert_close(masked, supernet(x, path), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(masked_features(supernet, x, gates), masked, rtol=1e-4, atol=1e-5)


def test_only_the_widest_candidate_and_the_split_attentions_of_others_get_gradients():
    space, supernet = random_supernet()
    masked_features(supernet, seeded_input((2, 3, 64, 64), 0), Arch((0,) * space.num_layers)).sum().backward()
    moved = {name for name, p in supernet.named_parameters() if p.grad is not None}
    wide = widest_path(supernet)
    assert set(wide) == {2}  # 1s2x42d: 20 channels of 16 planes
    for name in moved:
        if name.startswith("layer") and ".downsample." not in name:
            candidate, part = name.split(".")[2:4]
            assert (candidate, part) in {("0", "conv2"), *(("2", p) for p in ("conv1", "bn1", "conv3", "bn3"))}, name
    assert {name.split(".")[3] for name in moved if name.startswith("layer1.0.2")} == {"conv1", "bn1", "conv3", "bn3"}


def test_masks_need_candidates_that_differ_in_channels():
    operations = build_space(dict(type="nasbench201", channels=4, cells=1)).supernet()
    assert use_masks(random_supernet()[1], None)
    assert not use_masks(random_supernet()[1], False)
    assert not use_masks(operations, None)
    with pytest.raises(ValueError, match="masks=False"):
        use_masks(operations, True)
