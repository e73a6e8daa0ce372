"""A search stops at a loss, weight or score of NaN or infinity; the last checkpoint stays, nothing is registered."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pinas_zoo.engine.checkpoint import CHECKPOINT, load_checkpoint
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from pinas_zoo.search.run_folder import STAGES, is_done
from pinas_zoo.zoo import registry

CONFIG: dict[str, Any] = dict(
    name="finite",
    space=dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4),
    data=dict(type="digits", image_size=16, val_per_class=10),
    learn=dict(options=dict(queue_size=32, dim=16), steps=6, batch_size=16, checkpoint_every=2),
    linear=dict(steps=2, batch_size=16, lr=1.0),
    explore=dict(evaluations=4, recalibration_images=32, batch_size=64),
    train=dict(epochs=1, batch_size=64),
)


def run(folder, **overrides: Any) -> None:
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    search(CONFIG, work_dir=folder, overrides=changes, say=lambda text: None)


@pytest.mark.parametrize("log_every", [1, 100])
def test_learn_with_a_huge_rate_is_not_complete(tmp_path, zoo_home, log_every):
    """Also when no step is logged before the weights are saved."""
    with pytest.raises(UserError, match=r"learn stopped after step \d: expected .* learning rate .*lower learn\.lr"):
        run(tmp_path, learn__lr=1e9, learn__log_every=log_every)
    assert not is_done(tmp_path, "learn")
    assert not (tmp_path / "learn" / CHECKPOINT).exists()
    assert not (tmp_path / "learn" / "supernet.safetensors").exists()


def test_the_checkpoint_before_is_kept(tmp_path, zoo_home, monkeypatch):
    from pinas_zoo.search.methods.pinas import PiNASMethod

    losses = PiNASMethod.losses

    def failing(self, batch, step, phase):
        found = losses(self, batch, step, phase)
        return {**found, "loss": found["loss"] * (torch.nan if step == 4 else 1.0)}

    monkeypatch.setattr(PiNASMethod, "losses", failing)
    with pytest.raises(UserError, match=r"after step 6: .*finite.*the checkpoint of step 4 is kept"):
        run(tmp_path, learn__log_every=100)
    state = load_checkpoint(tmp_path / "learn")
    assert state is not None
    assert state["step"] == 4
    assert all(tensor.isfinite().all() for tensor in state["model"].values() if tensor.is_floating_point())
    monkeypatch.undo()
    run(tmp_path, learn__log_every=100, until="learn")
    assert is_done(tmp_path, "learn")


def test_a_network_that_training_ruined_is_not_registered(tmp_path, zoo_home):
    with pytest.raises(UserError, match=r"(train stopped after|in) step \d.* lower train\.lr and search in another"):
        run(tmp_path, train__lr=1e9)
    assert [is_done(tmp_path, stage) for stage in STAGES] == [True, True, True, True, False]
    assert not (tmp_path / "trained").exists()
    assert registry.known() == []
