"""What a training starts from: workers, a batch of one, checkpoints, weights. Each works, or is refused in one line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("mmdet")
from mmengine.registry import MODELS

import pinas_zoo.openmmlab  # noqa: F401  before mmdet
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.batch_of_one import allow_one_value
from pinas_zoo.openmmlab.failures import in_one_line
from pinas_zoo.openmmlab.loader_checks import fit_loaders
from pinas_zoo.openmmlab.resume import checkpoint_to_resume
from pinas_zoo.openmmlab.sync_bn import SyncBN
from pinas_zoo.openmmlab.weight_checks import check_initial_weights, initial_weights
from tests.networks import TINY, tiny_folder
from tests.openmmlab.made_up_data import ade, error_of
from tests.openmmlab.small import SEG, SEG_OPTIONS, tool
from tests.openmmlab.test_checkpoints import Evil, holds

OPTIONS = [o for o in SEG_OPTIONS if "_workers" not in o and "max_iters" not in o]
OPTIONS += ["train_cfg.val_interval=9", "default_hooks.checkpoint.interval=1"]


def arguments(root: Path, work_dir: Path, *options: str, iterations: int = 2, more: tuple[str, ...] = ()) -> list[str]:
    args = [str(SEG), "--data-root", str(root), "--work-dir", str(work_dir), *more, "--cfg-options", *OPTIONS]
    return [*args, f"train_cfg.max_iters={iterations}", "train_dataloader.num_workers=0", *options]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data and the work folder of a segmenter that was trained for 2 iterations, one image a batch, without workers."""
    folder = tmp_path_factory.mktemp("run")
    labels = np.tile(np.arange(40, dtype=np.uint8), (30, 1))
    root = ade(folder / "ade", lambda i: labels)
    args = arguments(root, folder / "work", "train_dataloader.batch_size=1", "train_dataloader.persistent_workers=True")
    assert tool("train").main(args) == 0
    return root, folder / "work"


def moved(run: tuple[Path, Path], tmp_path: Path) -> Path:
    """The work folder, copied; ``last_checkpoint`` names a file in a folder that is gone."""
    copied = Path(shutil.copytree(run[1], tmp_path / "copied"))
    (copied / "last_checkpoint").write_text(str(tmp_path / "gone" / "iter_2.pth"))
    return copied


def test_one_image_a_batch_without_workers_and_a_moved_folder(run: tuple[Path, Path], tmp_path: Path) -> None:
    log = next(run[1].glob("*/*.log")).read_text()
    assert "decode.loss_ce: " in log
    copied = moved(run, tmp_path)
    options = ("train_dataloader.batch_size=1",)
    assert tool("train").main(arguments(run[0], copied, *options, iterations=3, more=("--resume",))) == 0
    assert "resumed epoch: 0, iter: 2" in "".join(path.read_text() for path in copied.glob("*/*.log"))
    assert (copied / "iter_3.pth").is_file()


def test_the_last_checkpoint(run: tuple[Path, Path], tmp_path: Path) -> None:
    copied = moved(run, tmp_path)
    assert checkpoint_to_resume(copied, None) == str(copied / "iter_2.pth")
    assert checkpoint_to_resume(tmp_path / "new", str(copied)) == str(copied / "iter_2.pth")
    assert checkpoint_to_resume(tmp_path / "new", None) is None
    (copied / "iter_2.pth").unlink()
    with pytest.raises(UserError, match=r"iter_2.pth', which .*last_checkpoint names.* --resume .*iter_1.pth"):
        checkpoint_to_resume(copied, None)
    (copied / "last_checkpoint").unlink()
    with pytest.raises(UserError, match=r"expected the file last_checkpoint.* --resume .*iter_1.pth"):
        checkpoint_to_resume(copied, None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"found none"):
        checkpoint_to_resume(copied, str(tmp_path / "empty"))


def test_checkpoints_that_cannot_be_resumed(
    run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = moved(run, tmp_path)
    last = copied / "iter_2.pth"
    last.write_bytes(last.read_bytes()[:20_000])
    text = error_of(tool("train").main, arguments(run[0], copied, more=("--resume",)), capsys)
    assert f"got a broken or truncated one in {last}" in text
    assert f"--resume {copied / 'iter_1.pth'}" in text
    gone = ("--resume", str(tmp_path / "gone.pth"))
    assert "not there" in error_of(tool("train").main, arguments(run[0], copied, more=gone), capsys)
    torch.save({"state_dict": {"weight": torch.ones(1)}}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"without epoch, iter, optimizer, message_hub; .*load_from="):
        checkpoint_to_resume(copied, str(tmp_path / "weights.pth"))
    torch.save(torch.ones(2), tmp_path / "tensor.pth")
    with pytest.raises(UserError, match=r"got a Tensor"):
        checkpoint_to_resume(copied, str(tmp_path / "tensor.pth"))


def test_resuming_runs_nothing_of_a_checkpoint(run: tuple[Path, Path], tmp_path: Path) -> None:
    copied, mark = moved(run, tmp_path), tmp_path / "it ran"
    content = torch.load(copied / "iter_2.pth", weights_only=True)
    content["meta"]["config"] = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    torch.save(content, copied / "iter_2.pth")
    assert tool("train").main(arguments(run[0], copied, iterations=2, more=("--resume",))) == 0
    assert not mark.exists()


def test_weights_that_a_training_starts_from(
    run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], zoo_home: Path
) -> None:
    torch.save({"weight": torch.ones(2), "evil": Evil(eval, "1 + 1")}, tmp_path / "evil.pth")
    (tmp_path / "torn.pth").write_bytes((run[1] / "iter_2.pth").read_bytes()[:20_000])
    work = tmp_path / "work"
    for option, words in (
        (f"load_from={tmp_path / 'evil.pth'}", "load_from: .*a pickle that wants .*eval; nothing of it was run"),
        (f"load_from={tmp_path / 'torn.pth'}", "load_from: .*broken or truncated one in .*torn.pth"),
        (f"load_from={tmp_path / 'gone.pth'}", "load_from: .*gone.pth, which is not there"),
    ):
        text = error_of(tool("train").main, arguments(run[0], work, option), capsys)
        assert re.search(words, text), text
    assert not work.exists()


def test_every_place_that_names_weights(tmp_path: Path, zoo_home: Path) -> None:
    (tmp_path / "torn.pth").write_bytes(b"PK torn")
    torn = dict(type="Pretrained", checkpoint=str(tmp_path / "torn.pth"))
    for model, place in (
        (dict(backbone=dict(init_cfg=torn)), "model.backbone.init_cfg.checkpoint"),
        (dict(backbone=dict(init_cfg=[dict(type="Kaiming"), torn])), "model.backbone.init_cfg.1.checkpoint"),
        (dict(roi_head=dict(bbox_head=[dict(init_cfg=torn)])), "model.roi_head.bbox_head.0.init_cfg.checkpoint"),
        (dict(pretrained=str(tmp_path / "torn.pth")), "model.pretrained"),
        (dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint="pinas:nobody"))), "model.backbone.init_cfg"),
    ):
        ((found, _),) = initial_weights(model)
        assert found.startswith(place)
        cfg = type("Config", (dict,), {"model": model})()
        with pytest.raises(UserError, match=rf"{place}.*random weights: --cfg-options model"):
            check_initial_weights(cfg)


def test_init_cfg_as_a_list(tmp_path: Path) -> None:
    folder, network = tiny_folder(tmp_path / "winner", seed=3)
    inits = [
        dict(type="Pretrained", checkpoint=f"local-dir:{folder}"),
        dict(type="Constant", layer="Conv2d", val=7.0),  # first, wherever it stands
    ]
    model: Any = MODELS.build(dict(type="PiNAS", arch="3013", **TINY, init_cfg=inits))
    model.init_weights()
    assert holds(model, network)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError):
        model.init_weights()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm, SyncBN])
def test_one_value_per_channel_is_normalised_as_in_evaluation(norm: type[nn.Module]) -> None:
    torch.manual_seed(0)
    layer: Any = norm(4)
    layer.running_mean.normal_()
    layer.running_var.uniform_(0.5, 2)
    one, many = torch.randn(1, 4, 1, 1, requires_grad=True), torch.randn(3, 4, 1, 1)
    wanted_many = nn.functional.batch_norm(many, None, None, layer.weight, layer.bias, True)
    wanted_one = layer.eval()(one)
    layer.train()
    allow_one_value(layer)
    before = layer.running_mean.clone()
    torch.testing.assert_close(layer(one), wanted_one)
    assert layer.training
    assert torch.equal(layer.running_mean, before)
    layer(one).sum().backward()
    assert layer.weight.grad is not None
    if norm is not nn.SyncBatchNorm:  # torch's wants a GPU for more
        torch.testing.assert_close(layer(many), wanted_many)
        assert not torch.equal(layer.running_mean, before)


def test_the_backbone_learns_from_one_image() -> None:
    model: Any = MODELS.build(dict(type="PiNAS", arch="3013", **TINY, zero_init_last=False))
    model.train()
    with pytest.raises(ValueError, match=r"more than 1 value per channel"):
        model(torch.randn(1, 3, 64, 64))
    allow_one_value(model)
    model(torch.randn(1, 3, 64, 64))[-1].square().sum().backward()
    assert all(module.training for module in model.modules())
    assert model.layer1[0].conv2.fc1.weight.grad.abs().sum() > 0


def test_workers_and_batches() -> None:
    cfg = {"train_dataloader": {"num_workers": 0, "persistent_workers": True, "prefetch_factor": 2, "batch_size": 1}}
    fit_loaders(cfg, ["train_dataloader", "val_dataloader"])
    assert cfg["train_dataloader"] == {"num_workers": 0, "persistent_workers": False, "batch_size": 1}
    for wrong in ({"num_workers": -1}, {"num_workers": "two"}, {"batch_size": 0}, {"batch_size": True}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            fit_loaders({"train_dataloader": wrong}, ["train_dataloader"])


def test_failures_of_data_that_the_checks_did_not_read() -> None:
    torn = AssertionError("Caught AssertionError in DataLoader worker process 0.\n… failed to load image: a/b.jpg")
    assert "a/b.jpg" in str(in_one_line(torn))
    assert "got 18" in str(in_one_line(IndexError("Target 18 is out of bounds.")))
    assert in_one_line(ValueError("something else")) is None
    head = ValueError("Expected more than 1 value per channel when training, got input size torch.Size([1, 8, 1, 1])")
    assert "batch_size=2" in str(in_one_line(head))


def test_a_work_folder_that_is_a_file_is_one_line(
    run: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work").touch()
    assert tool("train").main(arguments(run[0], tmp_path / "work")) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("train.py: ")
    assert last.endswith("; give another place, or change its permissions")
