"""FBNetV2: the gradient of its logits against finite differences, and its schedules against the papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch

from pinas_zoo.engine.trainable import Batch
from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import build_space
from tests.golden import seeded_input

SPACES = {
    "resnest50": dict(
        type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8, zero_init_last=False
    ),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1),
}


def make(space="nasbench201", **options):
    torch.manual_seed(0)
    return build_method("fbnetv2", options, build_space(SPACES[space]), 10, 0, image_size=32).train()


@pytest.mark.parametrize("space", SPACES)
def test_the_gradient_of_the_logits_is_that_of_finite_differences(space):
    method = make(space).double()
    torch.nn.init.normal_(method.arch.logits, std=0.5)
    torch.nn.init.normal_(method.fc.weight, std=0.5)  # so that the loss depends on the gates
    batch = Batch(seeded_input((8, 1, 3, 32, 32), 0).double(), torch.arange(8), 0.1)
    phase = method.phases[1]

    def loss():
        return method.losses(batch, 5, phase)["loss"]

    loss().backward()
    gradient, found, by = method.arch.logits.grad.clone(), torch.zeros_like(method.arch.logits), 1e-6
    for k in range(gradient.numel()):
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                method.arch.logits.view(-1)[k] += sign * by
                sides.append(float(loss()))
                method.arch.logits.view(-1)[k] -= sign * by
        found.view(-1).data[k] = (sides[0] - sides[1]) / (2 * by)
    torch.testing.assert_close(found.detach(), gradient, rtol=1e-3, atol=1e-6)


def test_the_temperature_falls_as_in_fbnet():
    method = make()
    for epoch in (0, 1, 45, 90):
        assert method.temperature_at(epoch / 90) == pytest.approx(5 * math.exp(-0.045 * epoch), rel=2e-3)


def test_the_cost_term_multiplies_the_cross_entropy_of_the_logits_alone():
    method = make(alpha=0.3, beta=0.5)
    batch = Batch(seeded_input((4, 1, 3, 32, 32), 0), torch.arange(4), 0.0)
    for place, phase in enumerate(method.phases):
        gates = method.arch.gates(5.0, 0, 0, place)
        logits = method.fc(method.supernet(batch.views[:, 0], gates))
        expected = torch.nn.functional.cross_entropy(logits, batch.labels)
        if place:
            cost = sum(
                float(g) * (method.space.cost_table(32)[1][k][c].macs / 1e6)
                for k, row in enumerate(gates) for c, g in enumerate(row.detach())
            ) + method.space.cost_table(32)[0].macs / 1e6  # fmt: skip
            expected = expected * 0.3 * math.log(1 + cost) ** 0.5
        torch.testing.assert_close(method.losses(batch, 0, phase)["loss"], expected, rtol=1e-4, atol=1e-6)


def test_logits_learn_which_candidates_help():
    """Gates that are rewarded for one candidate of each layer end there, through noise and falling temperature."""
    method = make()
    wanted = torch.tensor([4, 3, 2, 1, 0, 3])
    optimizer = torch.optim.Adam([method.arch.logits], lr=0.05)
    for step in range(200):
        gates = method.arch.gates(method.temperature_at(step / 200), 0, step)
        optimizer.zero_grad()
        (-gates[torch.arange(6), wanted].sum()).backward()
        optimizer.step()
    assert list(method.choose()) == wanted.tolist()


def test_shared_channels_are_copied_after_an_update_of_the_weights():
    method = make("resnest50")
    torch.nn.init.normal_(method.supernet.get_submodule("layer1.0.2.conv1").weight)
    method.after_update(0, method.phases[0])
    wide, narrow = (method.supernet.get_submodule(f"layer1.0.{c}.conv1").weight for c in (2, 0))
    assert torch.equal(wide[: len(narrow)], narrow)


@pytest.mark.parametrize("options", [dict(alpha=0.0), dict(warmup=1.0), dict(final_temperature=0.0), dict(masks=True)])
def test_wrong_options(options):
    with pytest.raises(UserError, match="expected"):
        make(**options)
