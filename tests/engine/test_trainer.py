"""Settings of the engine change how a step is computed, not what: precision, order in memory."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import PARAM_SCHEDULERS

from pinas_zoo.data.augmentation import BatchViews
from pinas_zoo.data.images import Images, ViewsOptions
from pinas_zoo.data.loader import BatchPart
from pinas_zoo.engine.trainable import Phase
from pinas_zoo.engine.trainer import RunnerModel, cosine
from pinas_zoo.search.config import Views
from pinas_zoo.search.methods.pinas import PiNASMethod
from pinas_zoo.search.spaces.resnest50 import ResNeSt50Space

TINY = dict(depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8)


def step(precision: str, channels_last: bool, views_made: bool = True) -> tuple[float, PiNASMethod]:
    torch.manual_seed(0)
    method = PiNASMethod(ResNeSt50Space(**TINY), queue_size=32, dim=16)
    views = BatchViews(Views(), (0.5,) * 3, (0.25,) * 3)
    trainee = RunnerModel(method, views, precision, channels_last).train()
    generator = torch.Generator().manual_seed(1)
    made = torch.randint(0, 256, (8, 4, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images, part = Images(made[:, 0], torch.zeros(8, dtype=torch.long)), BatchPart(3, 0, list(range(8)))
    batch = images.step_batch(part, ViewsOptions(Views(), 4, seed=0))
    if views_made:
        batch = {"views": made, "labels": batch["labels"]}
    losses = trainee(step=3, **batch)
    losses["loss"].backward()
    assert losses["loss"].dtype == torch.float32
    return losses["loss"].item(), method


@pytest.mark.parametrize("views_made", [True, False])
def test_channels_last_changes_nothing_but_rounding(views_made):
    loss, method = step("fp32", False, views_made)
    other_loss, other = step("fp32", True, views_made)
    assert other_loss == pytest.approx(loss, rel=1e-4)
    norm = torch.stack([p.grad.norm() for p in method.student.parameters() if p.grad is not None])
    other_norm = torch.stack([p.grad.norm() for p in other.student.parameters() if p.grad is not None])
    torch.testing.assert_close(other_norm, norm, rtol=2e-2, atol=1e-4)
    conv = next(m for m in other.modules() if isinstance(m, torch.nn.Conv2d))
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)


def test_bf16_is_close_and_keeps_statistics_teacher_and_queue_in_fp32():
    loss, method = step("fp32", False)
    half_loss, half = step("bf16", True)
    assert half_loss == pytest.approx(loss, rel=0.02)
    assert half_loss != loss
    assert {t.dtype for t in half.state_dict().values()} == {torch.float32, torch.long}
    on = [p.grad for p in method.student.parameters()], [p.grad for p in half.student.parameters()]
    assert all((a is None) == (b is None) for a, b in zip(*on, strict=True))
    flat, half_flat = (torch.cat([g.flatten() for g in grads if g is not None]) for grads in on)
    assert torch.nn.functional.cosine_similarity(flat, half_flat, dim=0) > 0.95


@pytest.mark.parametrize(("steps", "warmup"), [(20, 0.05), (20, 0.1), (10, 0.96), (2, 0.9), (1, 0.9), (10, 0.0)])
def test_a_warm_up_of_any_length_reaches_the_full_rate(steps, warmup):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = [
        PARAM_SCHEDULERS.build(dict(by_epoch=False, optimizer=optimizer, **part)) for part in cosine(steps, warmup)
    ]
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for part in schedule:
            part.step()
    assert max(rates) == pytest.approx(1)
    assert min(rates) > 0


def test_the_rate_of_a_phase_reaches_its_final_multiple_at_the_end_of_the_phase():
    phase = Phase("arch", optim=dict(type="Adam", lr=0.5), start=0.25, stop=0.75, final_lr=10.0)
    (part,) = phase.schedule(16)
    assert (part["begin"], part["end"]) == (4, 12)
    assert part["gamma"] ** 8 == pytest.approx(10)
    assert Phase("arch", optim=dict(type="Adam")).schedule(16) == []
