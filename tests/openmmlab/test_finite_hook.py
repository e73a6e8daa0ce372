"""A training of mmseg or mmdet whose loss or weights become NaN ends with one line, and good checkpoints stay."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("mmdet")
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner

from pinas_zoo.errors import UserError
from pinas_zoo.made_with import made_with
from pinas_zoo.openmmlab.finite_hook import OVERFLOWS, FiniteNumbersHook
from tests.openmmlab.made_up_data import ade, error_of
from tests.openmmlab.small import SEG, SEG_OPTIONS, tool

OPTIONS = [o for o in SEG_OPTIONS if "max_iters" not in o and "checkpoint" not in o]
OPTIONS += ["train_cfg.val_interval=9", "default_hooks.checkpoint.interval=1", "train_dataloader.batch_size=2"]


def arguments(root: Path, work: Path, *options: str, more: tuple[str, ...] = ()) -> list[str]:
    return [str(SEG), "--data-root", str(root), "--work-dir", str(work), *more, "--cfg-options", *OPTIONS, *options]


def test_a_segmenter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.tile(np.arange(40, dtype=np.uint8), (30, 1))
    root, work = ade(tmp_path / "ade", lambda i: labels), tmp_path / "work"
    infinite = "optim_wrapper.optimizer.lr=1e999"
    text = error_of(tool("train").main, arguments(root, work, "train_cfg.max_iters=5", infinite), capsys)
    assert text.startswith("train.py: stopped in step 1: expected finite weights, got NaN or infinity in ")
    assert "learning rate that is too high (inf in this step); no checkpoint was written" in text
    assert not list(work.glob("*.pth"))

    one = ("default_hooks.checkpoint.max_keep_ckpts=1", "train_cfg.max_iters=1")
    assert tool("train").main(arguments(root, work, *one)) == 0
    kept = (work / "iter_1.pth").read_bytes()
    config = Config.fromstring(torch.load(work / "iter_1.pth", weights_only=True)["meta"]["cfg"], ".py")
    assert config.made_with == made_with()
    shutil.copytree(work, tmp_path / "other")
    heavy = (one[0], "train_cfg.max_iters=3", "model.decode_head.loss_decode.loss_weight=1e999")
    text = error_of(tool("train").main, arguments(root, work, *heavy, more=("--resume",)), capsys)
    assert "stopped in step 2: expected a finite loss, got " in text
    assert "iter_1.pth is kept" in text
    assert (work / "iter_1.pth").read_bytes() == kept
    assert [path.name for path in work.glob("*.pth")] == ["iter_1.pth"]


class Line(BaseModel):
    """A model of one weight, whose loss is 0 and whose gradient is what the test asks for."""

    def __init__(self, gradients: list[float]) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.gradients = iter(gradients)

    def forward(self, *images: torch.Tensor, mode: str = "loss") -> dict[str, torch.Tensor]:
        return {"loss": (self.weight - self.weight.detach()).sum() * next(self.gradients)}


def train(work: Path, gradients: list[float], by_epoch: bool = False, lr: float = 0.1) -> None:
    loader = dict(dataset=[torch.zeros(1)] * 2, sampler=dict(type="DefaultSampler", shuffle=False), batch_size=2)
    loop = dict(by_epoch=by_epoch, **{"max_epochs" if by_epoch else "max_iters": len(gradients)})
    Runner(
        model=Line(gradients),
        work_dir=str(work),
        train_dataloader=loader,
        train_cfg=loop,
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=lr)),
        default_hooks=dict(checkpoint=dict(type="CheckpointHook", interval=1, by_epoch=by_epoch, max_keep_ckpts=1)),
        custom_hooks=[dict(type=FiniteNumbersHook.__name__)],
        default_scope="mmengine",
        log_level="ERROR",
        experiment_name=work.name,
    ).train()


@pytest.mark.parametrize("by_epoch", [False, True])
def test_an_update_that_is_not_finite_does_not_replace_the_only_checkpoint(by_epoch: bool, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stopped in step 3: expected finite weights, got NaN or infinity in weight;"):
        train(tmp_path / f"run_{by_epoch}", [1.0, 1.0, 3e38, 1.0], by_epoch=by_epoch, lr=100.0)
    (last,) = (tmp_path / f"run_{by_epoch}").glob("*.pth")
    assert torch.load(last, weights_only=False)["state_dict"]["weight"].isfinite()


def test_the_last_step_counts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stopped in step 1: .*no checkpoint was written"):
        train(tmp_path / "last", [float("inf")])


def test_a_few_overflows_in_fp16_are_the_loss_scalers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pinas_zoo.openmmlab.finite_hook.AmpOptimWrapper", object)  # the real one wants a GPU
    hook, nan = FiniteNumbersHook(), {"loss": torch.tensor(float("nan"))}
    runner: Any = type("Runner", (), {"iter": 0, "hooks": [], "max_iters": 99, "work_dir": str(tmp_path)})()
    runner.optim_wrapper = type("Wrapper", (), {"get_lr": staticmethod(lambda: {"lr": [0.1]})})()
    for outputs in [nan] * OVERFLOWS + [{"loss": torch.tensor(1.0)}] + [nan] * OVERFLOWS:
        hook.after_train_iter(runner, 0, outputs=outputs)
    with pytest.raises(UserError, match=r"or the range of fp16; leave out --amp"):
        hook.after_train_iter(runner, 0, outputs=nan)
