"""A learned supernet beside its first weights: too few steps warn and keep the name free, enough steps do neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pinas_zoo.search import search
from pinas_zoo.search.pipeline import open_context
from pinas_zoo.search.stages.untrained import probe_beside_untrained

PINAS = dict(
    method="pinas", options=dict(queue_size=512, temperature=0.2, dim=64, warm_queue=True, momentum=0.99), lr=0.03
)
SPOS = dict(method="spos", lr=0.1)


def learn(folder: Path, **options: Any) -> tuple[dict[str, Any], str]:
    """Learn a small supernet of digits as the demo does. Returns the stage's facts, and what was printed."""
    said: list[str] = []
    views = dict(scale=(0.5, 1.0), flip=0.0, jitter_p=0.0, gray_p=0.0, blur_p=0.0)
    config = dict(
        name="small",
        space=dict(type="resnest50", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=4),
        data=dict(type="digits", image_size=16, val_per_class=70),
        views=views,
        learn=dict(batch_size=64, log_every=1, **options),
        explore=dict(recalibration_images=512),
        until="learn",
        log=dict(tensorboard=False),
    )
    search(config, work_dir=folder, say=said.append)
    return json.loads((folder / "learn" / "done.json").read_text()), "\n".join(said)


def test_few_steps_warn(tmp_path):
    facts, said = learn(tmp_path / "run", steps=2, **{**PINAS, "lr": 1e-3})
    (warning,) = facts["warnings"]
    assert warning["check"] == "no better than untrained"
    assert warning["blocks"]
    assert f"warning  {warning['text']}" in said


@pytest.mark.parametrize("options", [PINAS, SPOS])
def test_more_steps_do_not(tmp_path, options):
    facts, said = learn(tmp_path / "run", steps=70, **options)
    assert facts["warnings"] == []
    assert facts["probed"]["learned"] > facts["probed"]["untrained"] + 0.08
    assert f"probes   {facts['probed']['text']}" in said


def test_probes_repeat_and_leave_the_run_as_it_is(tmp_path):
    facts, _ = learn(tmp_path / "run", steps=2, **{**PINAS, "lr": 1e-3})
    context = open_context(tmp_path / "run", "learn")
    _ = context.splits
    before = torch.get_rng_state()
    probed = probe_beside_untrained(context)
    assert probed is not None
    assert (probed.learned, probed.untrained) == (facts["probed"]["learned"], facts["probed"]["untrained"])
    assert torch.equal(torch.get_rng_state(), before)
    assert "supernet" not in vars(context)  # the linear stage builds it after its own seed
