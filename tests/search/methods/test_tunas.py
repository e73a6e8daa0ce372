"""TuNAS against enumeration: the policy gradient over all paths, the reward, the baseline and the warm-up."""

from __future__ import annotations

import itertools

import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import build_space
from tests.golden import seeded_input

TWO = dict(type="nasbench201", channels=4, cells=1, operations=("nor_conv_3x3", "skip_connect"))  # 64 paths
RESNEST = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


def make(space=TWO, **options):
    torch.manual_seed(0)
    return build_method("tunas", options, build_space(space), 10, 0, image_size=32).train()


def all_paths(method):
    return [Arch(c) for c in itertools.product(range(method.space.num_candidates), repeat=method.space.num_layers)]


@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_the_expected_gradient_over_all_paths_is_that_of_the_expected_reward(entropy):
    method = make(entropy=entropy)
    torch.nn.init.normal_(method.arch.logits)
    paths = all_paths(method)
    rewards = torch.randn(len(paths), generator=torch.Generator().manual_seed(0))
    chances = torch.stack([method.arch.log_probability(path) for path in paths]).exp()
    objective = -(chances * rewards).sum() - entropy * method.arch.entropy()
    (exact,) = torch.autograd.grad(objective, method.arch.logits)
    total = torch.zeros_like(exact)
    baseline = 0.7  # any constant: it changes no expectation
    for path, chance, reward in zip(paths, chances.tolist(), rewards, strict=True):
        loss = method.policy_loss(path, reward - baseline)
        total += chance * torch.autograd.grad(loss, method.arch.logits)[0]
    torch.testing.assert_close(total, exact, rtol=1e-4, atol=1e-5)


def test_the_reward_falls_as_far_above_the_target_as_below_it():
    method = make(beta=-0.5)
    costs = {path: method.space.cost(path, 32)[1] for path in all_paths(method)}
    assert method.target_flops_g == pytest.approx(sum(costs.values()) / len(costs))
    for path, cost in costs.items():
        expected = 0.6 - 0.5 * abs(cost / method.target_flops_g - 1)
        assert float(method.reward(torch.tensor(0.6), path)) == pytest.approx(expected)
    cheap, dear = Arch((1,) * 6), Arch((0,) * 6)  # as far from the mean
    assert float(method.reward(torch.tensor(0.0), cheap)) == pytest.approx(
        float(method.reward(torch.tensor(0.0), dear))
    )


def test_the_baseline_is_the_weighted_mean_of_all_rewards_so_far():
    method = make(baseline_momentum=0.8)
    rewards = [0.1, 0.9, 0.4, 0.4]
    found = [float(method.baseline(torch.tensor(r))) for r in rewards]
    for k, value in enumerate(found):
        weights = [0.8 ** (k - j) for j in range(k + 1)]
        assert value == pytest.approx(sum(w * r for w, r in zip(weights, rewards, strict=False)) / sum(weights))


def test_the_policy_finds_the_path_of_the_largest_reward():
    method = make()
    best = Arch((0, 1, 1, 0, 1, 0))
    optimizer = torch.optim.Adam([method.arch.logits], lr=0.05, betas=(0.0, 0.999))
    for step in range(400):
        (path,) = method.sample_paths(step)
        reward = torch.tensor(sum(a == b for a, b in zip(path, best, strict=True)) / 6)
        optimizer.zero_grad()
        method.policy_loss(path, reward - method.baseline(reward)).backward()
        optimizer.step()
    assert method.choose() == best


def test_warm_up_enables_all_candidates_less_and_less_often():
    operations, filters = make(), make(RESNEST)
    for method, layers in ((operations, 6), (filters, 4)):
        path = Arch((1,) * layers)
        counts = []
        for progress in (0.0, 0.125, 0.25):
            made = [method.warmed_up(path, step, progress) for step in range(200)]
            if method.masks:  # candidate 2 is the widest of the paper's space
                counts.append(sum(c == 2 for p in made for c in p) / (200 * layers))
            else:
                counts.append(sum(isinstance(p, torch.Tensor) for p in made) / 200)
                assert all(torch.all(p == 0.5) for p in made if isinstance(p, torch.Tensor))
        assert counts[0] == 1
        assert counts[1] == pytest.approx(0.5, abs=0.12)
        assert counts[2] == 0


def test_a_reward_leaves_weights_and_statistics_alone():
    method = make(RESNEST)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    batch = Batch(seeded_input((4, 1, 3, 32, 32), 0), torch.arange(4), 0.5)
    method.losses(batch, 3, method.phases[1])["loss"].backward()
    changed = {key for key, value in method.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"reward_sum", "reward_weight"} or changed == {"reward_weight"}
    assert {name for name, p in method.named_parameters() if p.grad is not None} == {"arch.logits"}


@pytest.mark.parametrize(
    "options", [dict(beta=0.1), dict(warmup=1.0), dict(arch_lr=0.0), dict(target_flops_g=0.0), dict(masks=True)]
)
def test_wrong_options(options):
    with pytest.raises(UserError, match="expected"):
        make(**options)
