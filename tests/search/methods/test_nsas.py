"""NSAS: the archived paths' cross-entropy is part of the loss and of its gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pinas_zoo.engine.trainable import Batch
from pinas_zoo.search.methods.base import build_method
from pinas_zoo.search.spaces.base import build_space
from tests.golden import seeded_input

SPACE = build_space(dict(type="nasbench201", channels=4, cells=1, operations=("nor_conv_1x1", "nor_conv_3x3")))
BATCH = Batch(seeded_input((6, 1, 3, 16, 16), 0), torch.arange(6))


def make(name: str, **options):
    torch.manual_seed(0)
    return build_method(name, options, SPACE, 10, 0).train()


def trained(name: str, steps: int = 4, **options):
    """A method whose archive has the paths of some steps."""
    method = make(name, **options)
    for step in range(steps):
        method.after_update(step, method.phases[0])
    return method


@pytest.mark.parametrize("name", ["nsas", "gdas_nsas"])
def test_the_loss_and_its_gradient_are_those_of_the_formula(name):
    method = trained(name, archive_size=3, strength=0.4)
    (path,), archived = method.sample_paths(9), method.archive.paths
    assert len(archived) == 3
    weights = [p for key, p in method.named_parameters() if key != "arch.logits"]

    def cross_entropy(of):
        return F.cross_entropy(method.fc(method.supernet(BATCH.views[:, 0], of)), BATCH.labels)

    expected = 0.6 * cross_entropy(path) + 0.4 * (sum(cross_entropy(of) for of in archived) / 3)
    found = method.losses(BATCH, 9, method.phases[0])["loss"]
    torch.testing.assert_close(found, expected)
    wanted = torch.autograd.grad(expected, weights, allow_unused=True)
    for one, other in zip(torch.autograd.grad(found, weights, allow_unused=True), wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_weights_of_archived_paths_alone_receive_a_gradient():
    """It would be missing with a regulariser that is detached."""
    method = trained("nsas", steps=1, archive_size=1, strength=0.5)
    (archived,), (path,) = method.archive.paths, method.sample_paths(9)
    layers = [k for k in range(6) if archived[k] != path[k]]
    assert layers
    method.losses(BATCH, 9, method.phases[0])["loss"].backward()
    cell = method.supernet.get_submodule("stage1.0")
    for k in layers:
        operation = SPACE.operations[archived[k]]
        gradient = cell.get_submodule(f"edge{k}.{operation}").conv.weight.grad
        assert gradient is not None
        assert gradient.abs().max() > 0


def test_without_strength_it_is_spos():
    method, spos = trained("nsas", strength=0.0), make("spos")
    spos.load_state_dict(method.state_dict(), strict=False)
    for step in range(3):
        assert method.sample_paths(step) == spos.sample_paths(step)
        one, other = (m.losses(BATCH, step, m.phases[0])["loss"] for m in (method, spos))
        torch.testing.assert_close(one, other)


def test_an_empty_archive_leaves_the_loss_as_it_is():
    method, spos = make("nsas"), make("spos")
    torch.testing.assert_close(
        method.losses(BATCH, 0, method.phases[0])["loss"], spos.losses(BATCH, 0, spos.phases[0])["loss"]
    )


def test_logits_of_gdas_are_not_regularised():
    method = trained("gdas_nsas")
    values = method.losses(BATCH, 9, method.phases[1])
    assert "archived" not in values
    before = list(method.archive.paths)
    method.after_update(9, method.phases[1])
    assert method.archive.paths == before
