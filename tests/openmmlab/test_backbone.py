"""The backbone is the zoo's network: its features, its weights, and what frozen, dilated and checkpointed mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

pytest.importorskip("mmdet")
from mmdet.registry import MODELS as DET_MODELS
from mmengine.registry import MODELS
from mmseg.registry import MODELS as SEG_MODELS
from torch.nn.modules.batchnorm import _BatchNorm

import pinas_zoo
from pinas_zoo.errors import UserError
from pinas_zoo.openmmlab.backbone import PiNASBackbone
from tests.golden import fill_, seeded_input
from tests.golden_runs import (
    STORED,
    STRIDES,
    arrays,
    backbone_input,
    backbone_reference,
    pooled_and_first,
    relative_error,
)
from tests.models.test_exactness import TOLERANCE
from tests.networks import TINY, tiny_folder


def backbone(**kwargs: Any) -> Any:
    return MODELS.build({"type": "PiNAS", "arch": "3013", **TINY, **kwargs})


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("output_stride", STRIDES)
def test_features_are_the_references(name: str, output_stride: int) -> None:
    """In fp64, since the authors' numbers are rounded to fp32 already."""
    arch = arrays(f"backbone_{name}.npz")["arch"].tolist()
    model = fill_(MODELS.build(dict(type="PiNAS", arch=arch, output_stride=output_stride))).double().eval()
    with torch.inference_mode():
        features = model(backbone_input(name, torch.float64))
    reference = backbone_reference(name)
    for stage, feature in enumerate(features, start=1):
        assert list(feature.shape) == arrays(f"backbone_{name}.npz")[f"os{output_stride}_layer{stage}_shape"].tolist()
        for part, values in pooled_and_first(feature).items():
            expected = reference[f"os{output_stride}_layer{stage}_{part}"]
            assert relative_error(values, expected) < TOLERANCE[part]


@pytest.mark.parametrize("registry", [DET_MODELS, SEG_MODELS], ids=["mmdet", "mmseg"])
def test_both_libraries_build_it_with_the_zoos_names(registry: Any) -> None:
    model = registry.build(dict(type="PiNAS", arch="pinas_trans"))
    assert isinstance(model, PiNASBackbone)
    theirs = timm.create_model("pinas_trans", num_classes=0)
    assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


def test_every_form_of_arch(tmp_path: Path, zoo_home: Path) -> None:
    folder, network = tiny_folder(tmp_path / "winner")
    pinas_zoo.register("found", folder=folder)
    images = seeded_input((1, 3, 32, 32), 0)
    for arch in ("found", str(folder), f"local-dir:{folder}"):
        model = MODELS.build(dict(type="PiNAS", arch=arch)).eval()
        state = {k: v for k, v in network.state_dict().items() if not k.startswith("fc.")}
        model.load_state_dict(state, strict=True)
        with torch.inference_mode():
            assert torch.equal(model(images)[-1], network.forward_features(images))
    assert backbone(arch="0123").arch == backbone(arch=123).arch == backbone(arch=[0, 1, 2, 3]).arch == "0123"
    assert MODELS.build(dict(type="PiNAS", arch=13231203213032)).arch == "0013231203213032"  # as --cfg-options gives it


def test_stages_that_are_not_asked_for_are_not_built() -> None:
    model = backbone(out_indices=(1,))
    assert [tuple(t.shape) for t in model(torch.zeros(2, 3, 64, 64))] == [(2, 128, 8, 8)]
    assert not [name for name in model.state_dict() if name.startswith(("layer3", "layer4", "fc"))]
    sum(t.sum() for t in model(torch.randn(2, 3, 64, 64))).backward()
    assert all(p.grad is not None for p in model.parameters())  # as DDP asks


@pytest.mark.parametrize("frozen", [-1, 0, 2, 4])
def test_frozen_stages_neither_learn_nor_count(frozen: int) -> None:
    model = backbone(frozen_stages=frozen)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad] or [torch.nn.Parameter()], lr=0.1)
    out = model(torch.randn(4, 3, 64, 64))
    if frozen < 4:
        sum(t.square().mean() for t in out).backward()
        optimizer.step()
    for name, tensor in model.state_dict().items():
        stage = int(name[5]) if name.startswith("layer") else 0
        if stage <= frozen:
            assert torch.equal(tensor, before[name])
        elif name.endswith("running_mean"):
            assert not torch.equal(tensor, before[name])


def test_norm_eval_and_norm_cfg() -> None:
    model = backbone(norm_eval=True, norm_cfg=dict(type="SyncBN", requires_grad=False, eps=1e-3)).train()
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    assert norms
    assert all(isinstance(m, MODELS.get("SyncBN")) and m.eps == 1e-3 for m in norms)
    assert not any(m.training or m.weight.requires_grad for m in norms)
    assert model.training


def test_checkpointed_blocks_give_the_same_step() -> None:
    steps = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = backbone(with_cp=with_cp).train()
        sum(t.square().mean() for t in model(seeded_input((2, 3, 64, 64), 1))).backward()
        steps.append([*(p.grad for p in model.parameters()), *model.buffers()])
    assert all(torch.equal(a, b) for a, b in zip(*steps, strict=True))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        (dict(arch="pinas_beta"), "pinas-zoo register"),
        (dict(arch="no_such_name"), "no_such_name"),
        (dict(arch="012"), "4"),
        (dict(arch="0129"), "9"),
        (dict(out_indices=(4,)), "out_indices"),
        (dict(frozen_stages=5), "frozen_stages"),
        (dict(output_stride=12), "output_stride"),
        (dict(norm_cfg=dict(type="GN")), "GN"),
        (dict(arch="pinas_cls"), "depths"),
    ],
)
def test_wrong_arguments_are_one_line(kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        backbone(**kwargs)
    assert "\n" not in str(error.value)
