"""The network that is trained stand-alone, compiled and not."""

from __future__ import annotations

import copy
import shutil
import sys

import pytest
import timm
import torch

from pinas_zoo.engine.compiler import check_compiler
from pinas_zoo.engine.trainable import Batch
from pinas_zoo.errors import UserError
from pinas_zoo.search.config import parse_config
from pinas_zoo.search.context import Context
from pinas_zoo.search.pipeline import run as run_stages
from pinas_zoo.train.classifier import Classifier
from pinas_zoo.train.config import Recipe

TINY = dict(arch="0312", depths=[1, 1, 1, 1], widths=[16, 16, 16, 16], stem_width=8)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile wants a C++ compiler, found no g++")
def test_a_compiled_step_is_the_same_but_for_rounding():
    torch.manual_seed(0)
    model = timm.create_model("pinas", num_classes=3, **TINY)
    x, labels = torch.randn(8, 1, 3, 32, 32), torch.arange(8) % 3
    plain, compiled = (
        Classifier(copy.deepcopy(model), Recipe(compile=compiles), labels, 3, 1).train() for compiles in (False, True)
    )
    losses = []
    for network in (plain, compiled):
        loss = network.losses(Batch(x, labels), 0, network.phases[0])["loss"]
        loss.backward()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for (name, expected), got in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        assert (got.grad - expected.grad).norm() <= 1e-3 * expected.grad.norm() + 1e-5, name
    for name, expected in plain.named_buffers():
        torch.testing.assert_close(compiled.get_buffer(name), expected, rtol=1e-4, atol=1e-5)
    assert not torch._dynamo.utils.counters["graph_break"]


def test_without_a_compiler_the_cure_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    config = parse_config({"name": "tiny", "data": {"type": "digits"}, "train": {"compile": True}})
    with pytest.raises(UserError, match=r"C\+\+ compiler for train\.compile=True, found none as (g|clang)\+\+;"):
        run_stages(Context.of(config, tmp_path / "run"))
    assert not (tmp_path / "run").exists()  # before anything is trained
    (tmp_path / "clang++").touch(mode=0o755)  # torch takes g++ unless CXX says otherwise
    if sys.platform != "darwin":
        with pytest.raises(UserError, match="found none as g"):
            check_compiler("train.compile")
    (tmp_path / "mine").touch(mode=0o755)
    monkeypatch.setenv("CXX", "mine")
    check_compiler("train.compile")
