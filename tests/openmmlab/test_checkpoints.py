"""Weights come from everywhere by one loader, whole or not at all; mmengine's own checkpoints resume as data."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("mmdet")
from mmengine.logging import HistoryBuffer
from mmengine.registry import MODELS
from mmengine.runner import load_checkpoint

import pinas_zoo
from pinas_zoo.errors import HubError, NotPublished, NotSafetensors, UserError, WeightsMissing, WrongShapes
from pinas_zoo.openmmlab.checkpoints import CheckpointCheckHook, allow_resuming, read_weights
from tests.networks import TINY, tiny_folder


def backbone(checkpoint: str | None = None, **kwargs: Any) -> Any:
    init_cfg = None if checkpoint is None else dict(type="Pretrained", checkpoint=checkpoint)
    model = MODELS.build({"type": "PiNAS", "arch": "3013", **TINY, "init_cfg": init_cfg, **kwargs})
    model.init_weights()
    return model


def holds(model: Any, network: Any) -> bool:
    theirs = network.state_dict()
    return all(torch.equal(t, theirs[name]) for name, t in model.state_dict().items())


def test_every_scheme_gives_the_same_weights(tmp_path: Path, zoo_home: Path) -> None:
    folder, network = tiny_folder(tmp_path / "my winner", seed=3)
    pinas_zoo.register("found", folder=folder)
    file = folder / "model.safetensors"
    torch.save({"state_dict": network.state_dict()}, tmp_path / "plain.pth")
    torch.save({f"backbone.{k}": v for k, v in network.state_dict().items()}, tmp_path / "detector.pth")
    for checkpoint in (
        f"local-dir:{folder}",
        "pinas:found",
        str(file),
        str(tmp_path / "plain.pth"),
        str(tmp_path / "detector.pth"),
    ):
        assert holds(backbone(checkpoint), network), checkpoint
    other = backbone()
    assert not holds(other, network)
    load_checkpoint(other, str(file), strict=False)  # mmengine's own function, as a `checkpoint=` anywhere uses it
    assert holds(other, network)
    cut = backbone("pinas:found", out_indices=(0, 1))
    assert holds(cut, network)


def test_a_prefix_picks_one_of_several(tmp_path: Path) -> None:
    _, network = tiny_folder(tmp_path / "winner", seed=4)
    state = {f"teacher.{k}": v for k, v in network.state_dict().items()}
    state |= {f"student.{k}": torch.zeros_like(v) for k, v in network.state_dict().items()}
    torch.save(state, tmp_path / "both.pth")
    model = MODELS.build(
        dict(
            type="PiNAS",
            arch="3013",
            **TINY,
            init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "both.pth"), prefix="teacher."),
        )
    )
    model.init_weights()
    assert holds(model, network)


def test_what_cannot_be_loaded_is_one_line(tmp_path: Path, zoo_home: Path) -> None:
    folder, _ = tiny_folder(tmp_path / "winner", arch="0000")
    (tmp_path / "empty").mkdir()
    (tmp_path / "pickle").mkdir()
    (tmp_path / "pickle" / "model.bin").write_bytes(b"x")
    for checkpoint, kind in (
        (f"local-dir:{folder}", WrongShapes),  # another backbone
        (f"local-dir:{tmp_path / 'empty'}", WeightsMissing),
        ("pinas:pinas_cls", NotPublished),
        ("pinas:nobody", NotPublished),
        ("hf-hub:nobody/nothing", HubError),
        (str(tmp_path / "gone.safetensors"), WeightsMissing),
    ):
        with pytest.raises(kind) as error:
            backbone(checkpoint)
        assert "\n" not in str(error.value)
    assert issubclass(NotSafetensors, UserError)


def runner_of(model: Any, train: bool) -> Any:
    from mmengine.runner import BaseLoop

    loop = BaseLoop.__new__(type("Loop", (BaseLoop,), {"run": lambda self: None})) if train else {}
    return SimpleNamespace(model=model, _load_from="somewhere.pth", _train_loop=loop, _resume=False)


class Detector(torch.nn.Module):
    def __init__(self, arch: str = "3013", classes: int = 4):
        super().__init__()
        self.backbone = MODELS.build(dict(type="PiNAS", arch=arch, **TINY))
        self.head = torch.nn.Linear(512, classes)


def test_load_from_takes_a_zoo_network_as_the_backbone(tmp_path: Path) -> None:
    _, network = tiny_folder(tmp_path / "winner", seed=5)
    checkpoint = {"state_dict": dict(network.state_dict())}
    model = Detector()
    CheckpointCheckHook().after_load_checkpoint(runner_of(model, train=True), checkpoint)
    model.load_state_dict(checkpoint["state_dict"], strict=False)
    assert holds(model.backbone, network)
    with pytest.raises(WrongShapes, match="whole model"):  # its heads are random: nothing to test
        CheckpointCheckHook().after_load_checkpoint(runner_of(model, train=False), dict(checkpoint))


def test_load_from_refuses_another_backbone_and_in_testing_other_heads() -> None:
    hook = CheckpointCheckHook()
    good = {"state_dict": Detector().state_dict()}
    for train in (True, False):
        hook.after_load_checkpoint(runner_of(Detector(), train), dict(good))
        with pytest.raises(WrongShapes, match="another backbone"):
            hook.after_load_checkpoint(runner_of(Detector("0000"), train), dict(good))
    hook.after_load_checkpoint(runner_of(Detector(classes=9), train=True), dict(good))  # fine-tuning
    with pytest.raises(WrongShapes, match=r"head\.weight"):
        hook.after_load_checkpoint(runner_of(Detector(classes=9), train=False), dict(good))


def test_loss_histories_resume_as_data(tmp_path: Path) -> None:
    history = HistoryBuffer()
    for value in (3.0, 2.0, 1.0):
        history.update(value)
    torch.save({"message_hub": {"loss": history}, "weight": torch.ones(2)}, tmp_path / "iter.pth")
    content = torch.load(tmp_path / "iter.pth", weights_only=True)
    assert content["message_hub"]["loss"].mean() == 2.0
    assert content["message_hub"]["loss"].statistics("min") == 1.0


class Evil:
    def __init__(self, *call: Any):
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    "call",
    [
        (getattr, HistoryBuffer, "__init__"),
        (getattr, HistoryBuffer, "__subclasses__"),
        (getattr, torch.Tensor, "mean"),
        (eval, "1 + 1"),
    ],
)
def test_nothing_else_may_be_asked_for(call: Any, tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2), "evil": Evil(*call)}, tmp_path / "evil.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "evil.pth", weights_only=True)


def test_a_second_call_allows_nothing_more() -> None:
    before = set(torch.serialization.get_safe_globals())
    allow_resuming()
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_zip_file_that_unpacks_to_more_than_it_can_hold(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(2**20)}}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as source,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for member in source.infolist():
            bomb.writestr(member.filename, source.read(member))
    assert read_weights(str(tmp_path / "a.pth"))["state_dict"]["a"].numel() == 2**20
    with pytest.raises(UserError, match="do not trust its source"):
        read_weights(str(tmp_path / "bomb.pth"))
