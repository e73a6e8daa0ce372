"""Activations counted on the meta device are those that a real pass keeps, and the plan says them."""

from __future__ import annotations

import pytest
import torch

from pinas_zoo.arch import Arch
from pinas_zoo.engine.memory import live_mib, saved_mib
from pinas_zoo.search.plan import path_mib, scoring_mib
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

TINY = dict(depths=(1, 2, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


@pytest.mark.parametrize("path", ["00000", "33333", "31203"])
def test_counted_without_running_equals_counted_in_a_real_pass(path):
    space, arch = ResNeSt50Space(**TINY), Arch.parse(path)
    real = space.supernet().train()
    x = torch.zeros(3, 3, 32, 32)
    with torch.device("meta"):
        empty = space.supernet()
    counted = path_mib(empty, arch, 3, 32)
    assert counted == pytest.approx(saved_mib(real, lambda: real(x, arch)), rel=1e-6)
    assert counted > 0.5
    assert path_mib(empty, arch, 6, 32) == pytest.approx(2 * counted, rel=0.02)  # all but batch statistics doubles


def test_live_memory_is_that_of_the_tensors_that_exist_at_one_time():
    layers = torch.nn.Sequential(*(torch.nn.Conv2d(4, 4, 1, device="meta") for _ in range(5)))
    one = 4 * 8 * 4 * 16 * 16 / 2**20  # of 8 x 4 x 16 x 16 values

    def run(keep: bool) -> list[torch.Tensor]:
        outputs = [torch.empty(8, 4, 16, 16, device="meta")]
        for layer in layers:
            x = layer(outputs[-1])
            outputs = [*outputs, x] if keep else [x]
            x.view(-1)  # shares the storage
        return outputs

    assert live_mib(layers, lambda: run(keep=True)) == 6 * one
    assert live_mib(layers, lambda: run(keep=False)) == 2 * one  # input and output of a layer


@pytest.mark.parametrize("path", ["00000", "31203"])
def test_memory_of_scoring_counted_without_running_equals_that_of_a_real_pass(path):
    space, arch = ResNeSt50Space(**TINY), Arch.parse(path)
    real = space.supernet().eval()
    x = torch.zeros(4, 3, 32, 32)

    def run() -> None:
        outputs = [x.clone()]
        for piece in real.pieces(arch):
            outputs.append(piece.run(outputs[-1]))

    with torch.device("meta"):
        empty = space.supernet()
    counted = scoring_mib(empty, arch, 4, 32)
    assert counted == pytest.approx(live_mib(real, run), rel=0.02)
    assert scoring_mib(empty, arch, 8, 32) == pytest.approx(2 * counted, rel=0.02)
    assert counted < path_mib(empty, arch, 4, 32)


@pytest.mark.slow
def test_a_pass_of_the_papers_space_takes_what_was_counted():
    """Growth of this process's resident memory over one forward pass, against the count."""
    import gc

    from pinas_zoo.operating_system import peak_memory_mib

    space, arch = ResNeSt50Space(), Arch.parse("3013231203213032")
    with torch.device("meta"):
        counted = path_mib(space.supernet(), arch, 16, 224)
    real = space.supernet().train()
    real(torch.zeros(2, 3, 224, 224), arch)  # what the first pass allocates once
    gc.collect()
    before = peak_memory_mib()
    output = real(torch.zeros(16, 3, 224, 224), arch)
    grown = peak_memory_mib() - before
    assert output.requires_grad
    assert counted > 500
    assert 0.8 * counted < grown < 1.4 * counted
