"""A learned supernet beside its first weights: too few steps warn and keep the name free, enough steps do neither."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pinas_zoo.data.images import Images
from pinas_zoo.errors import UserError
from pinas_zoo.search import search
from pinas_zoo.search.context import Context
from pinas_zoo.search.pipeline import finish_stage, open_context
from pinas_zoo.search.spaces.base import build_space
from pinas_zoo.search.stages import stage_warnings
from pinas_zoo.search.stages.result import StageResult
from pinas_zoo.search.stages.untrained_probe import probe_beside_untrained, probed_paths

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


class Torn(Images):
    """Images that cannot be decoded."""

    def batches(self, size: int) -> Iterator[dict[str, torch.Tensor]]:
        raise UserError("expected an image in 7.png,\ngot a file that cannot be decoded")


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
    if not torch.cuda.is_available():
        return
    on_card = torch.cuda.get_rng_state()
    probe_beside_untrained(context)
    assert torch.equal(torch.cuda.get_rng_state(), on_card)


def test_a_probe_that_fails_is_a_note_and_the_stage_complete(tmp_path):
    facts, _ = learn(tmp_path / "run", steps=2, **PINAS)
    said: list[str] = []
    opened = open_context(tmp_path / "run", "learn")
    context = Context(opened.config, opened.folder, opened.space, said.append)
    held_out = context.splits.val
    assert isinstance(held_out, Images)
    vars(context)["splits"] = replace(context.splits, val=Torn(held_out.pixels, held_out.labels))
    finish_stage(context, "learn", StageResult("learned", 1.0, {}))
    done = json.loads((tmp_path / "run" / "learn" / "done.json").read_text())
    assert done["warnings"] == []
    assert "probed" not in done
    assert "unchecked" not in done
    (note,) = [line for line in said if line.startswith("note ")]
    assert note.endswith(done["not_probed"])
    assert "7.png, got a file" in note
    assert facts["probed"]  # with images that can be decoded


def test_a_stop_during_the_probes_costs_no_training(tmp_path, monkeypatch):
    def stopped(context: Context) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage_warnings, "probe_beside_untrained", stopped)
        with pytest.raises(KeyboardInterrupt):
            learn(tmp_path / "run", steps=2, **PINAS)
    stored = json.loads((tmp_path / "run" / "learn" / "done.json").read_text())
    assert stored["unchecked"]
    facts, said = learn(tmp_path / "run", steps=2, **PINAS)
    assert "learn    complete already" in said
    assert "unchecked" not in facts
    assert f"probes   {facts['probed']['text']}" in said
    assert facts["warnings"][0]["check"] == "no better than untrained"
    assert facts["seconds"] == stored["seconds"]


def test_probed_paths_see_the_image():
    """Of 15,625 cells of NAS-Bench-201, 341 have an output that does not depend on it; of these operations, half."""
    space = build_space(dict(type="nasbench201", operations=("none", "nor_conv_3x3"), channels=4, cells=1))
    for seed in range(30):
        paths = probed_paths(space, seed)
        assert len(set(paths)) == len(paths) == 2
        assert all(space.sees_image(path) for path in paths)
    nothing = build_space(dict(type="nasbench201", operations=("none",), channels=4, cells=1))
    assert probed_paths(nothing, 0) == []
