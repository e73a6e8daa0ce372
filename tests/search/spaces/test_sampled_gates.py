"""Gates of sampled candidates compute what gates of all candidates do with zeros elsewhere, and run nothing else."""

from __future__ import annotations

import pytest
import torch

from pinas_zoo.search.spaces.base import SampledGates, build_space
from tests.golden import seeded_input

SPACES = {
    "resnest50": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1),
}


@pytest.mark.parametrize("space", SPACES)
def test_they_are_gates_with_zeros_elsewhere(space):
    torch.manual_seed(0)
    searched = build_space(SPACES[space])
    supernet, x = searched.supernet().eval(), seeded_input((2, 3, 32, 32), 0)
    layers, count = searched.num_layers, searched.num_candidates
    candidates = tuple((k % count, (k + 2) % count) for k in range(layers))
    gates = torch.rand(layers, 2, requires_grad=True)
    dense = torch.zeros(layers, count).scatter(1, torch.tensor(candidates), gates)
    sampled, whole = supernet(x, SampledGates(candidates, gates)), supernet(x, dense)
    torch.testing.assert_close(sampled, whole, rtol=1e-4, atol=1e-5)
    grads = [torch.autograd.grad(out.square().sum(), gates, retain_graph=True)[0] for out in (sampled, whole)]
    torch.testing.assert_close(*grads, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("space", SPACES)
def test_other_candidates_do_not_run(space):
    searched = build_space(SPACES[space])
    supernet = searched.supernet().train()
    path = searched.parse("2" * searched.num_layers)
    ran: set[str] = set()
    for name, module in supernet.named_modules():
        module.register_forward_hook(lambda m, i, o, name=name: ran.add(name))
    gates = SampledGates(tuple((choice,) for choice in path), torch.ones(searched.num_layers, 1))
    supernet(seeded_input((2, 3, 32, 32), 0), gates)
    own = {name for name, _ in supernet.path_modules(path)}
    blocks = {name for other in range(searched.num_candidates) for name, _ in supernet.path_modules(
        searched.parse(str(other) * searched.num_layers))}  # fmt: skip
    assert ran & blocks == own
