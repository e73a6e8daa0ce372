"""segmentation_models_pytorch with our networks as its timm encoders: a training step, an inference, the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

pytest.importorskip("segmentation_models_pytorch", reason="the extra `smp` is not installed")
import segmentation_models_pytorch as smp

import pinas_zoo
from pinas_zoo.errors import NotPublished
from tests.networks import TINY, same_weights, tiny_folder

pytestmark = pytest.mark.usefixtures("zoo_home")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DeepLabV3", {"encoder_output_stride": 8, "decoder_channels": 16}),
        ("DeepLabV3Plus", {"encoder_output_stride": 16, "decoder_channels": 16}),
        ("Unet", {"decoder_channels": (16,) * 5}),
        ("FPN", {}),
        ("UPerNet", {"decoder_channels": 16}),
    ],
)
def test_a_step_and_an_inference(name: str, options: dict[str, Any]) -> None:
    pinas_zoo.register("small", arch="3013", **TINY)
    model = getattr(smp, name)("tu-small", encoder_weights=None, classes=3, **options)
    images, labels = torch.randn(2, 3, 64, 64), torch.randint(0, 3, (2, 64, 64))
    loss = smp.losses.DiceLoss("multiclass")(model(images), labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None for p in model.encoder.model.layer1.parameters())
    with torch.no_grad():
        assert model.eval()(images).shape == (2, 3, 64, 64)


def test_weights_and_the_papers_names(tmp_path: Path) -> None:
    folder, _ = tiny_folder(tmp_path / "w")
    pinas_zoo.register("mine", folder=folder)
    body = smp.Unet("tu-mine", encoder_weights=True, classes=2).encoder.model
    assert same_weights(body, timm.create_model("mine", pretrained=True, features_only=True))
    with torch.device("meta"):
        encoder = smp.DeepLabV3("tu-pinas_trans", encoder_weights=None, classes=150).encoder
    assert encoder.out_channels == [3, 64, 256, 512, 1024, 2048]
    with pytest.raises(NotPublished):
        smp.Unet("tu-pinas_trans", encoder_weights=True)


def test_any_architecture() -> None:
    model = smp.Unet("tu-pinas", encoder_weights=None, classes=2, arch="0123", **TINY)
    assert (
        model.encoder.model.state_dict().keys()
        == timm.create_model("pinas", arch="0123", features_only=True, **TINY).state_dict().keys()
    )
