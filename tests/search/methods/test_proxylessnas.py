"""ProxylessNAS: gate gradients by eq. 4 and by their mean over all pairs, costs, and the others' probabilities."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.engine.trainable import Batch
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import SampledGates, build_space
from tests.golden import seeded_input

SPACE = build_space(dict(type="nasbench201", channels=4, cells=1))
BATCH = Batch(seeded_input((4, 1, 3, 8, 8), 0), torch.arange(4))


def make(**options):
    torch.manual_seed(0)
    method = build_method("proxylessnas", options, SPACE, 10, 0, 16)
    with torch.no_grad():
        method.arch.logits.copy_(torch.randn(6, 5, generator=torch.Generator().manual_seed(2)))
    return method.train()


def pair_probability(p: torch.Tensor, i: int, j: int) -> float:
    """Of drawing {i, j} one after the other without replacement."""
    return float(p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]))


def test_the_gradient_is_that_of_equation_4():
    method = make(cost_weight=0.0)
    values = method.arch_losses(BATCH, 0)
    pairs = method.sampled
    (found,) = torch.autograd.grad(values["loss"], method.arch.logits)
    gates = pairs.is_open.clone().requires_grad_()
    logits = method.fc(method.supernet(BATCH.views[:, 0], SampledGates(pairs.candidates, gates)))
    (by_gates,) = torch.autograd.grad(F.cross_entropy(logits, BATCH.labels), gates)
    expected = torch.zeros(6, 5)
    for layer, pair in enumerate(pairs.candidates):
        q = method.arch.logits.detach()[layer, list(pair)].softmax(0)
        for a, i in enumerate(pair):
            expected[layer, i] = sum(by_gates[layer, b] * q[b] * (float(a == b) - q[a]) for b in range(2))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    assert expected.abs().max() > 1e-5


def test_the_loss_is_that_of_the_open_path():
    method = make()
    values = method.arch_losses(BATCH, 0)
    opened = [
        pair[int(row.argmax())] for pair, row in zip(method.sampled.candidates, method.sampled.is_open, strict=True)
    ]
    path = SPACE.parse("".join(map(str, opened)))
    torch.testing.assert_close(values["loss"], method.path_losses(BATCH, [path])["loss"], rtol=1e-4, atol=1e-5)


def test_pairs_and_the_open_one_have_their_exact_probabilities():
    method, steps = make(), 3000
    p = method.arch.probabilities().detach()
    pairs, opened = torch.zeros(6, 5, 5), torch.zeros(6, 5, 5)
    for step in range(steps):
        sampled = method.sample_pairs(step)
        for layer, (i, j) in enumerate(sampled.candidates):
            k = (i, j)[int(sampled.is_open[layer].argmax())]
            pairs[layer, min(i, j), max(i, j)] += 1
            opened[layer, min(i, j), max(i, j)] += k == min(i, j)
    for layer in range(6):
        for i in range(5):
            for j in range(i + 1, 5):
                wanted, count = pair_probability(p[layer], i, j), float(pairs[layer, i, j])
                assert count / steps == pytest.approx(wanted, abs=0.035)
                if count > 300:
                    q = float(p[layer, i] / (p[layer, i] + p[layer, j]))
                    assert float(opened[layer, i, j]) / count == pytest.approx(q, abs=0.1)


def test_the_mean_gradient_is_the_expectation_over_all_pairs():
    """For a loss that is linear in the gates, sum of l_k g_k, a pair's gradient is exact: q_i q_j (l_i - l_j)."""
    method, steps = make(), 3000
    p = method.arch.probabilities().detach()
    losses = torch.randn(6, 5, generator=torch.Generator().manual_seed(5))
    expected = torch.zeros(6, 5)
    for layer in range(6):
        for i, j in permutations(range(5), 2):
            q = p[layer, i] / (p[layer, i] + p[layer, j])
            slope = q * (1 - q) * (losses[layer, i] - losses[layer, j])
            expected[layer, i] += pair_probability(p[layer], i, j) * slope
    total = torch.zeros(6, 5)
    for step in range(steps):
        pairs = method.sample_pairs(step)
        chances = torch.softmax(method.arch.logits.gather(1, pairs.index), 1)
        gates = pairs.is_open + chances - chances.detach()
        loss = (gates * losses.gather(1, pairs.index)).sum()
        total += torch.autograd.grad(loss, method.arch.logits)[0]
    torch.testing.assert_close(total / steps, expected, rtol=0, atol=0.025)


def test_the_cost_is_expected_over_the_pair_with_gradients_by_finite_differences():
    method = make(cost_weight=2.0, target_g=0.001)
    values = method.arch_losses(BATCH, 0)
    pairs = method.sampled.candidates
    (found,) = torch.autograd.grad(values["cost_loss"], method.arch.logits)

    def cost(logits):
        """Mean cost over the 2^6 paths of the pairs, by enumeration."""
        total = 0.0
        for number in range(2**6):
            picks = [pair[number >> k & 1] for k, pair in enumerate(pairs)]
            chance = 1.0
            for k, pair in enumerate(pairs):
                chance *= float(logits[k, list(pair)].softmax(0)[number >> k & 1])
            total += chance * SPACE.cost(SPACE.parse("".join(map(str, picks))), 16)[1]
        return 2.0 * total / 0.001

    logits = method.arch.logits.detach().double()
    assert values["cost_loss"].item() == pytest.approx(cost(logits), rel=1e-4)
    for layer in (0, 3):
        for candidate in range(5):
            shift = torch.zeros_like(logits)
            shift[layer, candidate] = 1e-3
            slope = (cost(logits + shift) - cost(logits - shift)) / 2e-3
            assert float(found[layer, candidate]) == pytest.approx(slope, rel=1e-2, abs=1e-5)


def test_an_update_moves_the_two_against_each_other_and_keeps_the_others():
    method = make(arch_lr=0.3)
    phase = method.phases[1]
    optimizer = torch.optim.Adam([method.arch.logits], **{k: v for k, v in phase.optim.items() if k != "type"})
    for step in range(5):
        before = method.arch.probabilities().detach()
        values = method.arch_losses(BATCH, step)
        optimizer.zero_grad()
        (values["loss"] + values["cost_loss"]).backward()
        optimizer.step()
        method.after_update(step, phase)
        after = method.arch.probabilities().detach()
        for layer, pair in enumerate(method.sampled.candidates):
            others = [c for c in range(5) if c not in pair]
            torch.testing.assert_close(after[layer, others], before[layer, others], rtol=1e-4, atol=1e-6)
            i, j = (after - before)[layer, list(pair)].tolist()
            assert i == pytest.approx(-j, abs=1e-5)
        assert (after - before).abs().max() > 1e-3


def test_without_a_target_the_mean_over_all_paths_counts_as_one():
    method = make()
    table = [SPACE.cost(SPACE.parse(f"{c}" * 6), 16)[1] for c in range(5)]
    assert float(method.reference_g()) == pytest.approx(sum(table) / 5, rel=1e-4)
