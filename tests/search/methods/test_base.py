"""The methods' own promises: what a step trains, Table 7's switches, collapse seen, and that each of them learns."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits

from pinas_zoo.engine import diagnostics
from pinas_zoo.errors import UserError
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import build_space
from tests.golden import seeded_input

SPACES = {
    "resnest50": dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8),
    "nasbench201": dict(type="nasbench201", channels=4, cells=1),
}
CONVS = ["nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


def make(method, space="nasbench201", **options):
    torch.manual_seed(0)
    where = build_space(SPACES[space]) if isinstance(space, str) else space
    return build_method(method, options, where, 10, 0).train()


def candidate_grads(method):
    """Per candidate convolution of the space: how far its gradient is from zero, None where there is none."""
    return {n: p.grad for n, p in method.supernet.named_parameters()}


@pytest.mark.parametrize("space", SPACES)
def test_fairnas_trains_every_candidate_of_every_layer_exactly_once_a_step(space):
    """Each path of a step alone gives its candidates their whole gradient: the sum over paths adds nothing to them."""
    method = make("fairnas", space)
    for step in range(30):
        paths = method.sample_paths(step)
        for layer in range(method.space.num_layers):
            assert sorted(path[layer] for path in paths) == list(range(method.space.num_candidates))
    x, labels = seeded_input((4, 1, 3, 32, 32), 0), torch.arange(4)
    paths = method.sample_paths(0)
    method(x, labels, 0)["loss"].backward()
    together = {n: g.clone() for n, g in candidate_grads(method).items() if g is not None}
    contributions: dict[str, int] = {}
    for path in paths:
        method.zero_grad()
        F.cross_entropy(method.fc(method.supernet(x[:, 0], path)), labels).backward()
        for name, grad in candidate_grads(method).items():
            if grad is not None:
                contributions[name] = contributions.get(name, 0) + 1
                if contributions[name] == 1:
                    first = grad
                    if not _shared(name):
                        torch.testing.assert_close(together[name], first, rtol=1e-4, atol=1e-6)
    assert {n for n in together if not _shared(n)} == {n for n, k in contributions.items() if k == 1}
    assert {k for n, k in contributions.items() if _shared(n)} == {method.space.num_candidates}


def _shared(name):
    """Stem, reductions, last norm and shared downsamples belong to every path."""
    return name.startswith(("conv1", "bn", "stage2.0", "stage3.0")) or "downsample" in name


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize(("method", "options"), [("spos", {}), ("fairnas", {}), ("pinas", dict(queue_size=64, dim=16))])
def test_every_method_trains_every_space(method, space, options):
    learner = make(method, space, **options)
    x = seeded_input((4, learner.num_views, 3, 32, 32), 0)
    before = copy.deepcopy(learner.learned.state_dict())
    optimizer = torch.optim.SGD([p for p in learner.parameters() if p.requires_grad], lr=0.1)
    for step in range(3):
        out = learner(x, torch.arange(4), step)
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        assert torch.isfinite(out["loss"])
    assert any(not torch.equal(before[n], t) for n, t in learner.learned.state_dict().items())
    assert (learner.classifier is not None) == learner.supervised == (method != "pinas")


def test_spos_draws_every_candidate_as_often():
    method = make("spos")
    counts = torch.zeros(6, 5)
    for step in range(2000):
        (path,) = method.sample_paths(step)
        counts[torch.arange(6), list(path)] += 1
    assert (counts / 2000 - 0.2).abs().max() < 0.04


def scans(count):
    """scikit-learn's digits: count x 3 x 8 x 8, and labels."""
    digits = load_digits()
    images = torch.tensor(digits.images[:count] / 16, dtype=torch.float32).sub(0.3).unsqueeze(1).expand(-1, 3, -1, -1)
    return images, torch.tensor(digits.target[:count])


@pytest.mark.parametrize("method", ["spos", "fairnas"])
def test_supervised_methods_learn_digits(method):
    """Above 40% on training digits within 60 steps, random paths each, where guessing has 10%."""
    images, labels = scans(512)
    learner = make(method, build_space(dict(type="nasbench201", channels=8, cells=1, operations=CONVS)))
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.1 if method == "spos" else 0.03, momentum=0.9)
    right = []
    for step in range(60):
        rows = torch.randint(512, (64,), generator=torch.Generator().manual_seed(step))
        out = learner(images[rows].unsqueeze(1), labels[rows], step)
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        right.append(float(out["accuracy"]))
    assert sum(right[-10:]) / 10 > 0.4


# Π-NAS: Table 7's switches ------------------------------------------------------------------------------------------


def test_cross_path_off_is_one_path_twice():
    on, off = make("pinas", queue_size=8), make("pinas", queue_size=8, cross_path=False)
    for step in range(50):
        i, j = on.sample_paths(step)
        assert all(a != b for a, b in zip(i, j, strict=True))
        assert off.sample_paths(step) == (i, i)


def test_mean_teacher_off_is_the_student_without_gradient():
    """The loss equals that of a mean teacher that moves all the way (momentum 0); no second copy is kept."""
    x = seeded_input((4, 4, 3, 16, 16), 0)
    off, follows = (
        make("pinas", queue_size=8, dim=8, mean_teacher=False),
        make("pinas", queue_size=8, dim=8, momentum=0.0),
    )
    a, b = off(x, x, 0)["loss"], follows(x, x, 0)["loss"]
    torch.testing.assert_close(a, b)
    a.backward()
    b.backward()
    for (name, p), (_, q) in zip(off.student.named_parameters(), follows.student.named_parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            torch.testing.assert_close(p.grad, q.grad, msg=name)
    assert not any(name.startswith("teacher") for name in off.state_dict())


def test_negatives_off_only_draws_together():
    method = make("pinas", queue_size=8, dim=4, negatives=False)
    a = F.normalize(torch.randn(5, 4), dim=1)
    b = F.normalize(torch.randn(5, 4), dim=1)
    torch.testing.assert_close(method.contrast(a, b, method.queue), (a - b).square().sum(1).mean())
    before = method.queue.clone()
    x = seeded_input((4, 4, 3, 16, 16), 0)
    method(x, x, 0)
    assert torch.equal(method.queue, before)


def test_without_augmented_views_the_four_passes_share_one():
    one, four = make("pinas", queue_size=8, augmented_views=False), make("pinas", queue_size=8)
    assert (one.num_views, four.num_views) == (1, 4)
    x = seeded_input((4, 1, 3, 16, 16), 0)
    torch.testing.assert_close(one(x, x, 0)["loss"], four(x.repeat(1, 4, 1, 1, 1), x, 0)["loss"])


def test_shared_downsample_is_a_switch_of_the_space():
    assert build_space({**SPACES["resnest50"], "shared_downsample": False}).shared_downsample is False


def test_spread_is_one_for_uniform_outputs_and_zero_for_alike():
    uniform = F.normalize(torch.randn(4096, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    assert diagnostics.spread(uniform).item() == pytest.approx(1, abs=0.02)
    assert diagnostics.spread(uniform[:1].expand(64, -1)).item() == 0


def run_steps(method, steps, images, lr=0.1):
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=lr, momentum=0.9)
    for step in range(steps):
        out = method(images + 0.1 * seeded_input(tuple(images.shape), step), images, step)
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
    return out


def test_collapse_is_reported_and_kept_by_the_checkpoint(monkeypatch):
    """Without negatives and teacher, outputs of all images become one, which is the paper's model collision."""
    space = build_space(dict(type="nasbench201", channels=4, cells=1, operations=CONVS))
    monkeypatch.setattr(diagnostics, "PATIENCE", 20)
    images = scans(16)[0].unsqueeze(1).expand(-1, 4, -1, -1, -1)
    method = make("pinas", space, dim=8, queue_size=8, negatives=False, mean_teacher=False)
    assert method.warning() is None
    run_steps(method, 60, images)
    assert "collapsed" in (method.warning() or "")
    assert "negatives=True" in method.warning()
    again = make("pinas", space, dim=8, queue_size=8, negatives=False, mean_teacher=False)
    again.load_state_dict(method.state_dict())
    assert again.warning() == method.warning()


def test_a_loss_at_chance_is_reported_and_recovery_forgotten():
    method = make("pinas", queue_size=15, dim=8)
    spread, chance = torch.tensor(1.0), 2 * torch.tensor(16.0).log()
    for _ in range(diagnostics.PATIENCE):
        assert method.warning() is None
        diagnostics.count_low_steps(method.low_steps, spread, chance, float(chance))
    assert "guessing" in (method.warning() or "")
    diagnostics.count_low_steps(method.low_steps, spread, chance * 0.9, float(chance))
    assert method.warning() is None


def test_learning_is_no_trouble(monkeypatch):
    monkeypatch.setattr(diagnostics, "PATIENCE", 20)
    images = F.interpolate(scans(32)[0], size=32).unsqueeze(1).expand(-1, 4, -1, -1, -1)
    method = make("pinas", "resnest50", dim=8, queue_size=64, warm_queue=True, temperature=0.1)
    out = run_steps(method, 40, images, lr=0.03)
    assert method.warning() is None
    assert out["spread"] > 0.3


@pytest.mark.parametrize("options", [dict(label_smoothing=1.0), dict(smoothing=0.1)])
def test_wrong_options_of_a_supervised_method(options):
    with pytest.raises(UserError, match="smoothing"):
        make("spos", **options)
