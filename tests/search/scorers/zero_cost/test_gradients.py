"""GradNorm, SNIP and Fisher by finite differences of the loss."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pinas_zoo.errors import UserError
from pinas_zoo.search.scorers.zero_cost import fisher, grad_norm, snip
from tests.search.scorers.zero_cost.tiny_networks import Tiny, batch

STEP = 1e-5


def difference(model: nn.Module, name: str, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Gradient of the mean cross-entropy with respect to a parameter, by central differences in double precision."""
    model = copy.deepcopy(model).double().train()
    weight = model.get_parameter(name)
    gradient = torch.zeros_like(weight)
    with torch.no_grad():
        for k in range(weight.numel()):
            losses = []
            for sign in (1, -1):
                weight.view(-1)[k] += sign * STEP
                losses.append(F.cross_entropy(model(images.double()), labels))
                weight.view(-1)[k] -= sign * STEP
            gradient.view(-1)[k] = (losses[0] - losses[1]) / (2 * STEP)
    return gradient


@pytest.fixture
def found() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Weights of the layers and their gradients."""
    model, (images, labels) = Tiny(), batch()
    names = ("conv.weight", "fc.weight")
    return {n: (model.get_parameter(n).detach().double(), difference(model, n, images, labels)) for n in names}


def test_grad_norm_sums_the_layers_norms(found):
    expected = sum(gradient.square().sum().sqrt() for _, gradient in found.values())
    assert grad_norm(Tiny(), *batch()) == pytest.approx(float(expected), rel=1e-4)


def test_snip_sums_weight_times_gradient(found):
    expected = sum((weight * gradient).abs().sum() for weight, gradient in found.values())
    assert snip(Tiny(), *batch()) == pytest.approx(float(expected), rel=1e-4)


def test_snip_is_the_change_of_the_loss_per_unit_of_a_mask():
    model, (images, labels) = Tiny().train(), batch()
    masks = torch.ones_like(model.fc.weight, requires_grad=True)
    features = model.forward_features(images).mean((2, 3))
    loss = F.cross_entropy(F.linear(features, model.fc.weight * masks, model.fc.bias), labels)
    (by_mask,) = torch.autograd.grad(loss, masks)
    weight, gradient = model.fc.weight.detach(), difference(model, "fc.weight", images, labels)
    assert torch.allclose(by_mask.double(), weight.double() * gradient, atol=1e-6)


@pytest.mark.parametrize("per_weight", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_fisher_is_the_square_of_what_scaling_a_channel_of_an_image_changes(per_weight, norm):
    model, (images, labels) = Tiny(norm=norm), batch()
    double = copy.deepcopy(model).double().train()
    expected = 0.0
    for layer, channels, weights in (("conv", 3, 18), ("fc", 4, 3)):
        for image in range(len(images)):
            for channel in range(channels):
                losses = []
                for step in (STEP, -STEP):

                    def scale(module, inputs, output, image=image, channel=channel, step=step):
                        factor = torch.ones_like(output)
                        factor[image, channel] += step
                        return output * factor

                    hook = double.get_submodule(layer).register_forward_hook(scale)
                    losses.append(F.cross_entropy(double(images.double()), labels).item())
                    hook.remove()
                change = (losses[0] - losses[1]) / (2 * STEP)
                expected += (weights if per_weight else 1) * change**2 / (2 * len(images))
    assert fisher(model, images, labels, per_weight) == pytest.approx(expected, rel=1e-4)


def test_tokens_of_a_linear_layer_count_as_positions():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Linear(3, 4)

        def forward(self, x):
            return self.layer(x).mean(1)

    tokens, labels = torch.randn(2, 5, 3, generator=torch.manual_seed(1)), torch.tensor([0, 3])
    model = Tokens()
    output = model.layer(tokens).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(output.mean(1), labels), output)
    expected = 0.25 * ((output * gradient).sum(1) ** 2).sum()  # 1/(2N), N = 2
    assert fisher(model, tokens, labels, per_weight=False) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("score", [grad_norm, snip, fisher])
def test_the_network_is_left_as_it_was(score):
    model = Tiny().train()
    model.fc.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    score(model, *batch())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in model.parameters()] == [True, True, True, False, False]
    assert all(p.grad is None for p in model.parameters())


def test_a_label_beyond_the_outputs_is_one_line():
    images, _ = batch()
    with pytest.raises(UserError, match=r"at least 6 classes, got outputs of shape .*num_classes=6"):
        snip(Tiny(), images, torch.tensor([0, 1, 5, 2]))
