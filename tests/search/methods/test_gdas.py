"""GDAS: samples of the distribution, straight-through gradients by finite differences, one candidate run."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.engine.trainable import Batch
from pinas_zoo.rng import Stream, step_rng
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import SampledGates, build_space
from tests.golden import seeded_input

SPACE = build_space(dict(type="nasbench201", channels=4, cells=1))


def make(**options):
    torch.manual_seed(0)
    method = build_method("gdas", options, SPACE, 10, 0)
    with torch.no_grad():
        method.arch.logits.copy_(torch.randn(6, 5, generator=torch.Generator().manual_seed(2)))
    return method.train()


def test_the_temperature_falls_linearly_between_the_papers_values():
    method = make()
    assert [method.temperature(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([10.0, 5.05, 0.1])


@pytest.mark.parametrize("progress", [0.0, 0.9])
def test_both_phases_sample_the_distribution(progress):
    method = make()
    counts = torch.zeros(2, 6, 5)
    layers, steps = torch.arange(6), 3000
    for step in range(steps):
        counts[0][layers, torch.tensor(list(method.sample_paths(step)[0]))] += 1
        counts[1][layers, torch.tensor([row[0] for row in method.gates(step, progress).candidates])] += 1
    assert (counts / steps - method.arch.probabilities()).abs().max() < 0.035


def test_gradients_of_the_logits_are_those_of_the_soft_relaxation():
    """Finite differences, with the samples fixed: a gate moves as the softmax of its candidate does."""
    method = make().eval().double()
    x, labels = seeded_input((4, 3, 8, 8), 0).double(), torch.arange(4)
    progress, step = 0.7, 3
    temperature = method.temperature(progress)
    noise = torch.from_numpy(step_rng(0, step, Stream.GATES, 1).gumbel(size=(6, 5)))
    logits = method.arch.logits.detach()

    def soft(of):
        return torch.softmax((of.log_softmax(1) + noise) / temperature, 1)

    chosen = (logits + noise).argmax(1, keepdim=True)

    @torch.no_grad()
    def loss(of):
        gates = 1 + soft(of).gather(1, chosen) - soft(logits).gather(1, chosen)
        path = SampledGates(tuple((int(k),) for k in chosen), gates)
        return float(F.cross_entropy(method.fc(method.supernet(x, path)), labels))

    gates = method.gates(step, progress)
    assert gates.candidates == tuple((int(k),) for k in chosen)
    assert torch.equal(gates.gates, torch.ones(6, 1))
    values = method.arch_losses(Batch(x.unsqueeze(1), labels, progress), step)
    (found,) = torch.autograd.grad(values["loss"], method.arch.logits)
    assert found.abs().max() > 1e-5
    for layer in range(6):
        for candidate in range(5):
            shift = torch.zeros(6, 5, dtype=torch.double)
            shift[layer, candidate] = 1e-3
            slope = (loss(logits + shift) - loss(logits - shift)) / 2e-3
            assert float(found[layer, candidate]) == pytest.approx(slope, rel=2e-2, abs=2e-6)


def test_the_choice_is_the_most_probable_path_of_the_subspace():
    method = make()
    assert tuple(method.choose()) == tuple(method.arch.logits.argmax(1).tolist())
    space = build_space(dict(type="nasbench201", channels=4, cells=1, subspace=("nor_conv_1x1", "avg_pool_3x3")))
    within = build_method("gdas", {}, space, 10, 0)
    assert set(within.choose()) <= {2, 4}
