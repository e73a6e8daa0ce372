"""transformers' models on our backbones, by name and from the Hub: a training step and an inference each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

pytest.importorskip("transformers", reason="the extra `transformers` is not installed")
import transformers

import pinas_zoo
from tests.hub_server import HubServer
from tests.networks import ROOT, TINY, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")
CLASSES = 3
HEADS = {"num_queries": 5, "d_model": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
FFN = {"encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "decoder_layers": 1, "encoder_layers": 1}
BOXES = [{"class_labels": torch.tensor([0]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.2]])}] * 2
MODELS: dict[str, tuple[list[int], dict[str, Any], dict[str, Any]]] = {  # out_indices, of the config, targets of a step
    "UperNetForSemanticSegmentation": (
        [1, 2, 3, 4],
        {"hidden_size": 16, "auxiliary_in_channels": 256, "auxiliary_channels": 16},
        {"labels": torch.zeros(2, 64, 64, dtype=torch.int64)},
    ),
    "Mask2FormerForUniversalSegmentation": (
        [1, 2, 3, 4],
        {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 32,
         "dim_feedforward": 32, "encoder_layers": 1, "decoder_layers": 2, "num_attention_heads": 2, "num_queries": 5},
        {"mask_labels": [torch.ones(1, 64, 64)] * 2, "class_labels": [torch.tensor([1])] * 2},
    ),
    "DetrForObjectDetection": ([4], {**HEADS, **FFN}, {"labels": BOXES}),
    "RTDetrForObjectDetection": (
        [2, 3, 4],
        {**HEADS, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "decoder_layers": 1, "encoder_hidden_dim": 32,
         "encoder_in_channels": [128, 256, 512], "decoder_in_channels": [32] * 3, "num_denoising": 4},
        {"labels": BOXES},
    ),
}  # fmt: skip


def build(name: str, backbone: str) -> Any:
    indices, settings, _ = MODELS[name]
    config = getattr(transformers, re.sub("For(Object|Sem|Univ).*", "Config", name))
    chosen = transformers.TimmBackboneConfig(backbone=backbone, out_indices=indices)
    torch.manual_seed(0)
    return getattr(transformers, name)(config(backbone_config=chosen, num_labels=CLASSES, **settings))


def body_of(model: Any) -> Any:
    """timm's network inside, of which DETR drops the wrapper."""
    return next(module for module in model.modules() if hasattr(module, "feature_info"))


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_and_an_inference(name: str, tmp_path: Path) -> None:
    folder, trained = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    model = build(name, "mine").train()
    body = body_of(model)
    source = timm.create_model("mine", pretrained=True, features_only=True)
    missing, _ = body.load_state_dict(source.state_dict(), strict=False)  # as docs/transformers.md
    assert not missing
    assert torch.equal(body.state_dict()["layer4.0.conv3.weight"], trained.layer4[0].conv3.weight)

    images = torch.randn(2, 3, 64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loss = model(pixel_values=images, **MODELS[name][2]).loss
    loss.backward()
    assert torch.isfinite(loss)
    before = {n: p.detach().clone() for n, p in body.named_parameters()}
    optimizer.step()
    assert any(not torch.equal(before[n], p) for n, p in body.named_parameters())  # the backbone learns

    with torch.no_grad():
        out = model.eval()(pixel_values=images)
    shape = {
        "UperNetForSemanticSegmentation": (2, CLASSES, 64, 64),
        "Mask2FormerForUniversalSegmentation": (2, 5, CLASSES + 1),
        "DetrForObjectDetection": (2, 5, CLASSES + 1),
        "RTDetrForObjectDetection": (2, 5, CLASSES),
    }[name]
    logits = out.class_queries_logits if "Mask2Former" in name else out.logits
    assert tuple(logits.shape) == shape
    assert torch.isfinite(logits).all()


def test_hidden_states_and_options(zoo_home: Path) -> None:
    pinas_zoo.register("mine", arch="3013", **TINY)
    config = transformers.TimmBackboneConfig(
        backbone="mine", out_indices=[2, 4], output_stride=16, freeze_batch_norm_2d=True, num_channels=1
    )
    out = transformers.TimmBackbone(config)(torch.randn(1, 1, 64, 64), output_hidden_states=True)
    assert [tuple(maps.shape) for maps in out.feature_maps] == [(1, 128, 8, 8), (1, 512, 4, 4)]


FROM_THE_HUB = """
import sys
import torch
from transformers import TimmBackbone, UperNetConfig, UperNetForSemanticSegmentation
import pinas_zoo
from safetensors.torch import load_file

weights = load_file(sys.argv[1] + "/model.safetensors")
backbone = TimmBackbone.from_pretrained("hf-hub:us/net", out_indices=[1, 2, 3, 4])
found = backbone._backbone.state_dict()
assert len(found) > 50 and all(torch.equal(found[n], weights[n]) for n in found)
config = UperNetConfig(backbone_config=backbone.config, num_labels=3, hidden_size=16, auxiliary_in_channels=256,
                       auxiliary_channels=16)
model = UperNetForSemanticSegmentation(config)
model.backbone = backbone
images = torch.randn(2, 3, 64, 64)
model.train()(images, labels=torch.zeros(2, 64, 64, dtype=torch.int64)).loss.backward()
assert all(p.grad is not None for n, p in model.backbone.named_parameters())
model.eval().save_pretrained(sys.argv[1] + "/upernet")
again = UperNetForSemanticSegmentation.from_pretrained(sys.argv[1] + "/upernet").eval()
with torch.no_grad():
    torch.testing.assert_close(again(images).logits, model(images).logits)
print("loaded")
"""


def test_by_hf_hub(tmp_path: Path) -> None:
    """In a process of its own, since huggingface_hub reads the address when it is imported."""
    folder, _ = tiny_folder(tmp_path / "w")
    with HubServer() as hub:
        hub.add("us/net", {path.name: path.read_bytes() for path in folder.iterdir()})
        result = subprocess.run(
            [sys.executable, "-c", FROM_THE_HUB, str(folder)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "hub")},
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert result.returncode == 0, result.stderr[-3000:]
        assert result.stdout.endswith("loaded\n")
        assert any("us/net" in line for line in hub.requests)
