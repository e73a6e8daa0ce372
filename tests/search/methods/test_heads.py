"""Heads and classifiers start as those of the released code, and what they draw changes no other weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.methods.heads import initialise_head, new_classifier
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.stages.linear import LinearEvaluation

SPACE = dict(type="resnest50", depths=(1, 1, 1, 1), widths=(64, 64, 64, 64), stem_width=8)


def make(method: str, **options: object):
    torch.manual_seed(0)
    return build_method(method, options, build_space(SPACE), 50, 0)


def test_the_head_of_the_paper_has_the_released_codes_deviation():
    """2048-2048-128: fan_in gives both layers sqrt(2 / 2048) = 0.03125; fan_out would give the second 0.125."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 128))
    assert [float(layer.weight.detach().std()) for layer in head[::2]] == pytest.approx([0.0128, 0.0128], abs=2e-4)
    initialise_head(head, "torch")
    assert float(head[0].bias.detach().abs().max()) > 0.01
    initialise_head(head, "kaiming")
    for layer in head[::2]:
        assert float(layer.weight.detach().std()) == pytest.approx(0.03125, rel=0.01)
        assert float(layer.weight.detach().abs().max()) > 3.5 * 0.03125  # normal, not uniform
        assert not layer.bias.any()


@pytest.mark.parametrize("norm", [False, True])
def test_pinas_starts_so_by_default_in_student_and_teacher(norm):
    method = make("pinas", queue_size=64, head_norm=norm)
    first = method.student.mlp[0]
    assert first.in_features == 256
    assert float(first.weight.detach().std()) == pytest.approx((2 / 256) ** 0.5, rel=0.02)
    assert not any(layer.bias.any() for layer in (first, method.student.mlp[-1]))
    assert all(map(torch.equal, method.student.mlp.parameters(), method.teacher.mlp.parameters()))


def test_only_the_head_depends_on_its_initialisation():
    """A run of the released code's head and one of torch's have the same supernet and queue."""
    one, other = (make("pinas", queue_size=64, head_init=init).state_dict() for init in ("kaiming", "torch"))
    differing = {name for name in one if not torch.equal(one[name], other[name])}
    assert differing == {
        f"{net}.mlp.{k}.{what}" for net in ("student", "teacher") for k in (0, 2) for what in ("weight", "bias")
    }
    again = make("pinas", queue_size=64).state_dict()
    assert all(torch.equal(again[name], one[name]) for name in one)
    with pytest.raises(UserError, match="expected head_init 'kaiming' or 'torch', got 'xavier'"):
        make("pinas", head_init="xavier")


@pytest.mark.parametrize("method", ["spos", "fairnas", "linear"])
def test_classifiers_start_small_and_without_bias(method):
    if method == "linear":
        space = build_space(SPACE)
        classifier = LinearEvaluation(space, space.supernet(), 50, 0).fc
    else:
        classifier = make(method).classifier
    assert float(classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.03)
    assert not classifier.bias.any()


def test_a_classifier_follows_from_the_seed():
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(new_classifier(16, 4).weight)
    assert torch.equal(*made)
