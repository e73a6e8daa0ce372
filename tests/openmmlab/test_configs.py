"""Every config builds, says what the paper's recipe says, and reads images as its backbone was trained to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml

pytest.importorskip("mmdet")
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

import pinas_zoo.openmmlab  # noqa: F401
from pinas_zoo.analysis.cost import count_operations
from pinas_zoo.analysis.paper_tables import TABLES
from pinas_zoo.models.pinas import ALIASES, ARCHS
from tests.openmmlab.small import CONFIGS, ROOT

IDS = [path.stem for path in CONFIGS]


def read(path: Path) -> Config:
    cfg = Config.fromfile(str(path))
    init_default_scope(cfg.default_scope)
    return cfg


def test_the_tables_are_complete() -> None:
    backbones = ("r50", "resnest50", "pinas_cls", "pinas_trans", "pinas")
    names = {f"mask-rcnn_{b}_fpn_syncbn_1x_coco" for b in backbones}
    for data in ("120e_ade20k-480x480", "240e_cityscapes-768x768"):
        names |= {f"deeplabv3_{b}-d8_{data}" for b in backbones}
    assert set(IDS) == names


@pytest.mark.parametrize("path", CONFIGS, ids=IDS)
def test_it_builds_and_is_the_recipe(path: Path) -> None:
    cfg = read(path)
    with torch.device("meta"):  # names and shapes, no numbers
        model: Any = MODELS.build(cfg.model)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(m, MODELS.get("SyncBN")) for m in norms)
    assert all(p.requires_grad for p in model.parameters())  # nothing frozen
    batch = cfg.train_dataloader.batch_size * 8
    assert batch == 16
    iterations = cfg.train_cfg.max_iters
    if path.parent.name == "det":
        assert (iterations, cfg.optim_wrapper.optimizer.lr) == (90_000, 0.02)
        assert cfg.param_scheduler[1].milestones == [60_000, 80_000]
        assert [s for _, s in cfg.train_dataloader.dataset.pipeline[2].scales] == [640, 672, 704, 736, 768, 800]
        box = model.roi_head.bbox_head
        assert (len(box.shared_convs), len(box.shared_fcs)) == (4, 1)
    else:
        images, epochs, crop, classes = (20_210, 120, 480, 150) if "ade20k" in path.stem else (2975, 240, 768, 19)
        per_gpu = -(-images // 8)  # PyTorch's DistributedSampler repeats images; the loader drops an incomplete batch
        assert iterations == per_gpu // cfg.train_dataloader.batch_size * epochs == cfg.param_scheduler[0].end
        assert cfg.optim_wrapper.optimizer.lr == 0.01
        heads = cfg.optim_wrapper.paramwise_cfg.custom_keys
        assert {name: part.lr_mult for name, part in heads.items()} == {"decode_head": 10, "auxiliary_head": 10}
        assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (crop, crop)
        assert model.decode_head.num_classes == model.auxiliary_head.num_classes == classes
        assert (model.decode_head.channels, model.decode_head.dilations) == (256, (1, 12, 24, 36))


@pytest.mark.parametrize("path", [path for path in CONFIGS if "_r50" in path.stem], ids=lambda path: path.stem)
def test_resnet50_is_the_plain_one_of_table_2(path: Path) -> None:
    with torch.device("meta"):
        backbone: Any = MODELS.build(read(path).model.backbone)
        plain = timm.create_model("resnet50")
    shapes = {name: tensor.shape for name, tensor in plain.state_dict().items() if not name.startswith("fc.")}
    assert {name: tensor.shape for name, tensor in backbone.state_dict().items()} == shapes
    params = f"{sum(p.numel() for p in plain.parameters()) / 1e6:.1f}M"
    flops = f"{count_operations(plain, (3, 224, 224)) / 1e9:.2f}G"
    assert (params, flops) == (TABLES[2].cell("ResNet-50", "Params"), TABLES[2].cell("ResNet-50", "FLOPs"))
    assert f"({params} parameters, {flops} FLOPs)" in path.read_text()


@pytest.mark.parametrize("path", CONFIGS, ids=IDS)
def test_images_are_prepared_as_the_backbone_expects(path: Path) -> None:
    cfg = read(path)
    backbone = cfg.model.backbone
    if backbone.type == "PiNAS":
        name = backbone.arch if backbone.arch in ALIASES else "pinas"
        assert backbone.arch in (*ALIASES, *ARCHS) or backbone.arch == "1" * 16
    else:
        name = "resnet50.tv_in1k"
    wanted = timm.get_pretrained_cfg(name)
    given = cfg.model.data_preprocessor
    assert given.bgr_to_rgb  # opencv reads blue first
    assert given.mean == pytest.approx([255 * m for m in wanted.mean], abs=1e-2)
    assert given.std == pytest.approx([255 * s for s in wanted.std], abs=1e-2)


@pytest.mark.parametrize("path", CONFIGS, ids=IDS)
def test_the_file_is_short_and_its_head_says_how(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) < 40
    head = "\n".join(line for line in lines if line.startswith("#"))
    assert f"tools/dist_train.sh configs/{path.parent.name}/{path.name} 8" in head
    assert "Memory" in head
    says_weights = "AugMix (sec. 4.2), which are not public" in " ".join(head.replace("#", "").split())
    assert says_weights == bool(re.search("_r50|_resnest50", path.stem))


def test_the_index_names_every_config() -> None:
    for task in ("det", "seg"):
        index = yaml.safe_load((ROOT / "configs" / task / "metafile.yml").read_text())
        configs = [model["Config"] for model in index["Models"]]
        assert sorted(configs) == sorted(f"configs/{task}/{p.name}" for p in CONFIGS if p.parent.name == task)
        for model in index["Models"]:
            assert model["Name"] == Path(model["Config"]).stem
            assert model["In Collection"] in [collection["Name"] for collection in index["Collections"]]
            cfg = read(ROOT / model["Config"])
            assert model["Metadata"]["Iterations"] == cfg.train_cfg.max_iters
