"""timm's requirements for registered models, checked at full size for every name that this package registers.

timm's own suite runs on these names with one command, in a folder with a copy of its ``tests/test_models.py`` (from
https://github.com/huggingface/pytorch-image-models; not in its checkout, whose timm would be imported instead)::

    python -m pytest -p pinas_zoo -p no:cacheprovider test_models.py -k pinas

``-p pinas_zoo`` imports the package before timm's tests list the registry. A name of one's own is added by
``-k "pinas or my_name"``. timm runs its two tests of ``forward_intermediates`` by module name and so not on other
packages' models; :func:`test_intermediates` asserts the same here.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import FeatureInfo, get_pretrained_cfg
from torch import nn

from pinas_zoo.models import pinas as family
from tests.golden import seeded_input

NAMES = timm.list_models(module="pinas")  # none is written down here: a new entry point is held to this too
CHANNELS, REDUCTIONS = [64, 256, 512, 1024, 2048], [2, 4, 8, 16, 32]
by_name = pytest.mark.parametrize("name", NAMES)


def build(name: str, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return timm.create_model(name, **kwargs).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return seeded_input((1, 3, 64, 64), seed=1)


def test_every_entry_point_is_listed() -> None:
    entry_points = {
        name for name, f in vars(family).items() if inspect.isfunction(f) and f.__module__ == family.__name__
    }
    assert set(NAMES) == {name for name in entry_points if timm.is_model(name)}
    assert set(NAMES) >= {"pinas", "pinas_alpha", "pinas_gamma", "pinas_cls", "pinas_trans"}
    assert set(family.default_cfgs) == set(NAMES)


@by_name
def test_forward_and_gradient_checkpointing(name: str, images: torch.Tensor) -> None:
    model = build(name)
    logits = model(images)
    assert logits.shape == (1, 1000)
    assert torch.isfinite(logits).all()
    model.set_grad_checkpointing()
    assert torch.equal(model(images), logits)


@by_name
def test_backward_reaches_every_parameter(name: str) -> None:
    model = build(name, num_classes=42).train()
    logits = model(seeded_input((2, 3, 64, 64), seed=1))
    assert logits.shape == (2, 42)
    logits.mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert torch.isfinite(parameter.grad).all(), key


@by_name
def test_default_cfg_is_true(name: str) -> None:
    model = build(name)
    cfg = model.default_cfg
    state_dict = model.state_dict()
    assert f"{cfg['classifier']}.weight" in state_dict
    assert state_dict[f"{cfg['first_conv']}.weight"].shape[1] == cfg["input_size"][0]
    assert cfg["num_classes"] == model.num_classes == 1000
    assert cfg["license"] == "apache-2.0"
    assert get_pretrained_cfg(name).architecture == name
    assert model.num_features == model.head_hidden_size == 2048
    assert resolve_model_data_config(model)["input_size"] == cfg["input_size"]
    unpooled = model.forward_features(torch.zeros(1, *cfg["input_size"]))
    assert unpooled.shape == (1, model.num_features, *cfg["pool_size"])


@by_name
def test_head(name: str, images: torch.Tensor) -> None:
    model = build(name)
    unpooled = model.forward_features(images)
    pooled = model.forward_head(unpooled, pre_logits=True)
    assert pooled.shape == (1, model.head_hidden_size)
    assert torch.equal(model.forward_head(unpooled), model(images))
    model.reset_classifier(0)
    assert model.num_classes == 0
    assert torch.equal(model(images), pooled)
    model.reset_classifier(0, "")
    assert torch.equal(model(images), unpooled)
    headless = build(name, num_classes=0, global_pool="")
    assert headless(images).shape == unpooled.shape
    assert not isinstance(headless.get_classifier(), nn.Linear)


@by_name
def test_features(name: str, images: torch.Tensor) -> None:
    model = build(name, features_only=True)
    assert (model.feature_info.channels(), model.feature_info.reduction()) == (CHANNELS, REDUCTIONS)
    for feature, channels, reduction in zip(model(images), CHANNELS, REDUCTIONS, strict=True):
        assert feature.shape == (1, channels, 64 // reduction, 64 // reduction)
        assert torch.isfinite(feature).all()


@by_name
def test_intermediates(name: str, images: torch.Tensor) -> None:
    model = build(name)
    info = FeatureInfo(model.feature_info, len(model.feature_info))
    final, intermediates = model.forward_intermediates(images, output_fmt="NCHW")
    shapes = [tuple(i.shape) for i in intermediates]
    assert shapes == [(1, c, 64 // r, 64 // r) for c, r in zip(info.channels(), info.reduction(), strict=True)]
    assert torch.equal(final, model.forward_features(images))
    model.set_grad_checkpointing()
    assert torch.equal(model.forward_intermediates(images)[0], final)
    getter = build(name, features_only=True, feature_cls="getter")
    assert [tuple(f.shape) for f in getter(images)] == shapes


@by_name
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_torchscript(name: str, images: torch.Tensor) -> None:
    with timm.layers.set_scriptable(True):
        model = build(name)
    torch.testing.assert_close(torch.jit.script(model)(images), model(images))


@by_name
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_fx_forward_backward_and_script(name: str, images: torch.Tensor) -> None:
    model = build(name)
    traced = timm.layers.create_feature_extractor(model, ["layer4", "fc"])
    found = traced(images)
    assert torch.equal(found["fc"], model(images))
    assert torch.equal(found["layer4"], model.forward_features(images))
    torch.testing.assert_close(torch.jit.script(traced)(images)["fc"], found["fc"])
    traced.train()(seeded_input((2, 3, 64, 64), seed=1))["fc"].mean().backward()
    assert all(p.grad is not None for p in traced.parameters())


@by_name
def test_meta_device_costs_no_memory_and_same_names(name: str) -> None:
    on_meta, real = build(name, device="meta"), build(name)
    assert all(p.is_meta for p in on_meta.parameters())
    assert {k: v.shape for k, v in on_meta.state_dict().items()} == {k: v.shape for k, v in real.state_dict().items()}


@by_name
def test_without_weights_pretrained_is_an_error_and_never_random(name: str) -> None:
    if get_pretrained_cfg(name).has_weights:
        pytest.skip("weights are published: loading them is tested in tests/test_weights.py")
    with pytest.raises(ValueError, match="weights"):
        timm.create_model(name, pretrained=True)


@by_name
def test_classifier_can_be_sized_by_keyword_and_input_by_channels(name: str) -> None:
    model = build(name, num_classes=5, in_chans=1)
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 5)
    assert (model.num_classes, model.in_chans) == (5, 1)
