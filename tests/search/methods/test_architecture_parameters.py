"""Architecture parameters against brute force over all paths of tiny spaces, and against finite differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.search.methods.architecture_parameters import (
    ArchitectureParameters,
    CandidateCosts,
    gumbel_softmax,
    mean_flops_g,
    one_hot_straight_through,
)
from pinas_zoo.search.spaces.base import build_space

pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
NB201 = dict(type="nasbench201", channels=4, cells=1, operations=("nor_conv_1x1", "nor_conv_3x3", "skip_connect"))
RESNEST = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


def parameters(space=NB201, std=1.0, **more):
    return ArchitectureParameters(build_space({**space, **more}), std, seed=3)


def all_paths(space):
    return [Arch(c) for c in itertools.product(range(space.num_candidates), repeat=space.num_layers)]


def test_probabilities_of_all_paths_sum_to_one_and_give_the_entropy():
    arch = parameters()
    logs = torch.stack([arch.log_probability(path) for path in all_paths(arch.space)])
    torch.testing.assert_close(logs.exp().sum(), torch.tensor(1.0))
    torch.testing.assert_close(-(logs.exp() * logs).sum(), arch.entropy())


def test_samples_have_their_probabilities():
    arch, rng, count = parameters(), np.random.default_rng(0), 4000
    seen = torch.zeros(arch.logits.shape)
    for _ in range(count):
        seen[torch.arange(6), list(arch.sample(rng))] += 1
    assert (seen / count - arch.probabilities().detach()).abs().max() < 0.03


def test_the_best_path_is_the_most_probable_one_that_may_be_scored():
    arch = parameters(subspace=("nor_conv_1x1", "skip_connect"))
    allowed = [path for path in all_paths(arch.space) if 1 not in path]
    assert arch.best() == max(allowed, key=lambda path: float(arch.log_probability(path)))
    assert parameters().best() == max(all_paths(arch.space), key=lambda path: float(parameters().log_probability(path)))


@pytest.mark.parametrize("space", [NB201, RESNEST])
def test_the_expected_cost_is_the_mean_over_all_paths(space):
    arch = parameters(space)
    costs = CandidateCosts(arch.space, 32)
    mean = sum(
        math.exp(float(arch.log_probability(path))) * arch.space.cost(path, 32)[1] for path in all_paths(arch.space)
    )
    assert float(costs.expected(arch.probabilities())) == pytest.approx(mean, rel=1e-5)
    assert "table_g" not in costs.state_dict()


def test_gradients_of_gumbel_softmax_are_those_of_finite_differences():
    torch.manual_seed(0)
    logits, noise, weights = (torch.randn(2, 3, dtype=torch.double) for _ in range(3))

    def value(of):
        soft = torch.softmax((of - of.logsumexp(1, keepdim=True) + noise) / 0.7, 1)  # in fp64
        return float((soft * weights).sum())

    tracked = logits.float().requires_grad_()
    (gumbel_softmax(tracked, noise.float(), 0.7) * weights.float()).sum().backward()
    for k in np.ndindex(2, 3):
        step = torch.zeros_like(logits)
        step[k] = 1e-5
        assert float(tracked.grad[k]) == pytest.approx((value(logits + step) - value(logits - step)) / 2e-5, abs=1e-5)


def test_gates_repeat_for_a_step_and_sharpen_with_the_temperature():
    arch = parameters()
    assert torch.equal(arch.gates(1.0, 0, 7), arch.gates(1.0, 0, 7))
    assert not torch.equal(arch.gates(1.0, 0, 7), arch.gates(1.0, 0, 8))
    assert not torch.equal(arch.gates(1.0, 0, 7), arch.gates(1.0, 0, 7, phase=1))
    torch.testing.assert_close(arch.gates(5.0, 0, 7).sum(1), torch.ones(6))
    assert arch.gates(1e-4, 0, 7).max(1).values.min() > 0.99
    counts = sum(torch.nn.functional.one_hot(arch.gates(1.0, 0, k).argmax(1), 3) for k in range(3000))
    assert (counts / 3000 - arch.probabilities()).abs().max() < 0.04  # the argmax is a sample


def test_straight_through_gates_are_one_hot_with_the_soft_gradient():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    (soft_gradient,) = torch.autograd.grad((logits.softmax(1) * weights).sum(), logits)
    hard = one_hot_straight_through(logits.softmax(1))
    torch.testing.assert_close(hard.detach().sort(1).values, torch.tensor([0.0, 0.0, 1.0]).expand(4, 3))
    (hard * weights).sum().backward()
    torch.testing.assert_close(logits.grad, soft_gradient)


def test_equal_logits_are_flat_and_preferences_are_not():
    assert parameters(std=0.0).is_flat()
    assert not parameters(std=3.0).is_flat()
    flat, decided = parameters(std=0.0), parameters(std=3.0)
    for _ in range(99):
        flat.count_flat()
    assert flat.warning() is None
    flat.count_flat()
    assert "prefer no candidate" in flat.warning()
    decided.flat_updates.fill_(200)
    decided.count_flat()
    assert decided.warning() is None


def test_the_mean_cost_is_that_of_equal_probabilities():
    space = build_space(RESNEST)
    expected = sum(space.cost(path, 32)[1] for path in all_paths(space)) / space.size
    assert mean_flops_g(space, 32) == pytest.approx(expected)
