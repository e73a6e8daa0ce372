"""WPL: the Fisher information by its definition, the pull by its formula, and what a path's steps remember."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.engine.diagnostics import PATIENCE
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import build_space
from tests.golden import seeded_input

SPACE = build_space(dict(type="nasbench201", channels=4, cells=1, operations=("nor_conv_1x1", "nor_conv_3x3")))
BATCH = Batch(seeded_input((6, 1, 3, 16, 16), 0), torch.arange(6), progress=0.5)
PATH = SPACE.parse("010110")


def make(**options):
    torch.manual_seed(0)
    return build_method("wpl", options, SPACE, 10, 0).train()


def test_by_images_it_is_the_mean_squared_gradient_of_each_image():
    method = make(fisher_groups=6)
    found = method.information(BATCH, PATH)
    logits = method.fc(method.supernet(BATCH.views[:, 0], PATH))
    squares = [torch.zeros_like(p) for p in method.shared()]
    for n in range(6):
        loss = -torch.log_softmax(logits, 1)[n, BATCH.labels[n]]
        grads = torch.autograd.grad(loss, method.shared(), retain_graph=True, allow_unused=True)
        for square, grad in zip(squares, grads, strict=True):
            square += 0 if grad is None else grad**2 / 6
    assert any(part is None for part in found)
    for part, square in zip(found, squares, strict=True):
        torch.testing.assert_close(torch.zeros_like(square) if part is None else part, square, rtol=1e-3, atol=1e-8)


def test_by_images_that_of_the_classifier_is_in_closed_form():
    """The gradient of image n in row c is (p_nc - y_nc) x_n."""
    method = make(fisher_groups=6)
    weight, bias = method.information(BATCH, PATH)[-2:]
    x = method.supernet(BATCH.views[:, 0], PATH).detach()
    error = method.fc(x).softmax(1) - F.one_hot(BATCH.labels, 10)
    torch.testing.assert_close(weight, torch.einsum("nc,nk->ck", error**2, x**2) / 6, rtol=1e-3, atol=1e-8)
    torch.testing.assert_close(bias, (error**2).mean(0), rtol=1e-3, atol=1e-8)


def test_of_one_group_it_is_the_square_of_the_batchs_gradient():
    method = make()
    loss = F.cross_entropy(method.fc(method.supernet(BATCH.views[:, 0], PATH)), BATCH.labels)
    grads = torch.autograd.grad(loss, method.shared(), allow_unused=True)
    for part, grad in zip(method.information(BATCH, PATH), grads, strict=True):
        assert (part is None) == (grad is None)
        if part is not None:
            torch.testing.assert_close(part, grad**2, rtol=1e-3, atol=1e-9)


def test_groups_that_do_not_divide_the_images_are_an_error():
    with pytest.raises(UserError, match=r"fisher_groups to divide 6 images on 1 processes, got 4"):
        make(fisher_groups=4).information(BATCH, PATH)


def pulled():
    """A method with Fisher information and anchors unlike its weights."""
    method = make(strength=3.0, steps_per_path=2, start=0.0)
    generator = torch.Generator().manual_seed(1)
    method.fisher.copy_(torch.rand(method.fisher.shape, generator=generator))
    method.anchor.copy_(torch.randn(method.anchor.shape, generator=generator))
    return method


def test_the_pull_is_that_of_the_formula_on_the_paths_weights_alone():
    method = pulled()
    (path,) = method.sample_paths(1)
    loss = method.losses(BATCH, 1, method.phases[0])["plasticity_loss"]
    loss.backward()
    total = 0.0
    parts = zip(method.shared(), method.split(method.fisher), method.split(method.anchor), strict=True)
    for p, fisher, anchor in parts:
        if id(p) in method.used_by(path):
            torch.testing.assert_close(p.grad, 3.0 * fisher * (p.detach() - anchor))
            total += float((fisher * (p.detach() - anchor) ** 2).sum())
        else:
            assert p.grad is None
    assert loss.item() == pytest.approx(1.5 * total, rel=1e-5)


def test_the_first_step_of_a_path_takes_over_what_the_path_before_needs():
    method = make(steps_per_path=3, paths_remembered=2, fisher_norm=1e9, start=0.0)
    before, weights = [], method.shared()
    for step in range(9):
        (path,) = method.sample_paths(step)
        assert method.sample_paths(step - step % 3) == [path]
        if step in (3, 6):  # at the start of paths 1 and 2
            information = method.information(BATCH, method.sample_paths(step - 1)[0])
            before.append(torch.cat([torch.zeros(p.numel()) if f is None else f.flatten()
                                     for f, p in zip(information, weights, strict=True)]))  # fmt: skip
        values = method.losses(BATCH, step, method.phases[0])
        if step % 3 == 0:
            assert values["plasticity_loss"] == 0
        if step >= 3:
            torch.testing.assert_close(method.fisher, sum(before), rtol=1e-3, atol=1e-7)
        if step in (3, 6):
            assert torch.equal(method.anchor, torch.cat([p.detach().flatten() for p in weights]))
        with torch.no_grad():
            for p in weights:
                p.add_(0.01)
    method.losses(BATCH, 9, method.phases[0])  # two paths are remembered, then it starts again
    single = [f for f in method.information(BATCH, method.sample_paths(8)[0]) if f is not None]
    assert float(method.fisher.sum()) == pytest.approx(sum(float(f.sum()) for f in single), rel=1e-3)


def test_its_norm_is_limited():
    method = make(fisher_norm=1e-3)
    method.consolidate(BATCH, 0)
    assert float(method.fisher.norm()) == pytest.approx(1e-3, rel=1e-4)


def test_the_loss_waits_for_its_start():
    method = pulled()
    method.start = 0.6
    assert method.losses(BATCH, 1, method.phases[0])["plasticity_loss"] == 0


def test_a_pull_that_exceeds_the_cross_entropy_is_reported_with_a_remedy():
    method = pulled()
    method.fisher.fill_(1.0)
    values = method.losses(BATCH, 1, method.phases[0])
    method.fisher *= 10 * values["loss"].detach() / values["plasticity_loss"].detach()
    method.stiff_steps.zero_()
    for step in range(1, 2 * PATIENCE, 2):
        assert "lower learn.options.strength" not in (method.warning() or "")
        method.stiff_steps.copy_(torch.tensor(step // 2))
    method.losses(BATCH, 1, method.phases[0])
    assert "lower learn.options.strength" in (method.warning() or "")


def test_weights_that_overshot_are_reported_once_they_have_come_back():
    method = pulled()
    method.fisher.fill_(1e6)
    method.losses(BATCH, 1, method.phases[0])
    method.fisher.zero_()
    method.losses(BATCH, 1, method.phases[0])
    assert "weights have overshot; make learn.lr x learn.options.strength" in (method.warning() or "")


def test_training_moves_what_an_earlier_path_needs_less_than_without_the_pull():
    moved = {}
    for strength in (0.0, 20.0):
        method = make(strength=strength, steps_per_path=20, start=0.0, fisher_groups=6, fisher_norm=1e9)
        optimizer = torch.optim.SGD(method.parameters(), lr=0.05)
        for step in range(40):  # two paths; the first is the same with and without
            values = method.losses(BATCH, step, method.phases[0])
            optimizer.zero_grad()
            (values["loss"] + values["plasticity_loss"]).backward()
            optimizer.step()
        with torch.no_grad():
            moved[strength] = float(method.plasticity(method.sample_paths(39)[0]))
    assert 0 < moved[20.0] < 0.8 * moved[0.0]
