"""Uses of a timm model, at tiny widths: build, train, extract features, script, trace, compile, export."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.data import resolve_model_data_config
from timm.layers import DropBlock2d, DropPath
from timm.models import checkpoint_seq, group_parameters, save_for_hf
from timm.optim import param_groups_layer_decay
from torch import nn

import pinas_zoo
from pinas_zoo.models.pinas import ALIASES, ARCHS, CANDIDATES, PiNASBlock, layer_specs
from tests.golden import fill_, seeded_input

TINY: dict[str, Any] = dict(arch="01233", depths=(1, 1, 2, 1), widths=(16, 32, 48, 64), stem_width=8, num_classes=5)
STAGES = [64, 128, 192, 256]


def tiny(**kwargs: Any) -> Any:
    """A tiny network with no trivial weight, in eval mode."""
    return fill_(timm.create_model("pinas", **{**TINY, **kwargs})).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return seeded_input((2, 3, 64, 64), seed=1)


# Construction


@pytest.mark.parametrize("arch", ["01233", [0, 1, 2, 3, 3], pinas_zoo.Arch.parse("01233")])
def test_arch_as_text_sequence_or_value(arch: Any) -> None:
    assert timm.create_model("pinas", **{**TINY, "arch": arch}).arch == "01233"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(arch="0123"), "architecture of 5 layers, got 4"),
        (dict(arch="01234"), "candidates 0 to 3 in every layer, got 4"),
        (dict(arch=1233), "a number keeps no leading zeros"),
        (dict(in_chans=0), "in_chans of at least 1"),
        (dict(output_stride=4), "output_stride 8, 16 or 32, got 4"),
        (dict(depths=(1, 1, 2)), "four stages"),
        (dict(widths=(16, 32, 48, 60)), "every candidate"),
    ],
)
def test_wrong_arguments_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timm.create_model("pinas", **{**TINY, **wrong})


def test_in_chans_and_num_classes() -> None:
    model = tiny(in_chans=5, num_classes=7)
    assert model(seeded_input((1, 5, 64, 64), seed=1)).shape == (1, 7)
    assert tiny(num_classes=0)(seeded_input((1, 3, 64, 64), seed=1)).shape == (1, 256)
    assert tiny(num_classes=0, global_pool="")(seeded_input((1, 3, 64, 64), seed=1)).shape == (1, 256, 2, 2)
    assert tiny(global_pool="catavgmax").fc.in_features == 512


def test_act_and_norm_layers_reach_every_block() -> None:
    model = timm.create_model("pinas", **TINY, act_layer="silu", norm_layer="groupnorm1")
    kinds = {type(m).__name__ for m in model.modules()}
    assert {"SiLU", "GroupNorm1"} <= kinds
    assert not kinds & {"ReLU", "BatchNorm2d"}


def test_dtype_and_device() -> None:
    model = timm.create_model("pinas", **TINY, dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.eval()(torch.zeros(1, 3, 32, 32, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert {t.device.type for t in timm.create_model("pinas", **TINY, device="meta").state_dict().values()} == {"meta"}


def test_from_meta_to_a_usable_network() -> None:
    model = timm.create_model("pinas", **TINY, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(float("nan") if tensor.is_floating_point() else 77)
    model.init_weights()
    built = timm.create_model("pinas", **TINY)
    for (name, tensor), expected in zip(model.state_dict().items(), built.state_dict().values(), strict=True):
        assert torch.isfinite(tensor).all(), name
        if ".bn" in name or name.startswith("bn") or "running" in name or "tracked" in name:
            assert torch.equal(tensor, expected), name
        elif tensor.numel() > 100:
            assert tensor.std() == pytest.approx(expected.std().item(), rel=0.3), name


def test_zero_init_last_makes_each_block_its_shortcut(images: torch.Tensor) -> None:
    block = timm.create_model("pinas", **TINY).eval().layer3[1]
    x = seeded_input((1, 192, 8, 8), seed=1)
    assert torch.equal(block(x), x.relu())
    assert not torch.equal(timm.create_model("pinas", **TINY, zero_init_last=False).eval().layer3[1](x), x.relu())


# Regularisation


def test_drop_rate_acts_in_training_only(images: torch.Tensor) -> None:
    model = tiny(drop_rate=0.9)
    features = model.forward_features(images)
    assert torch.equal(model.forward_head(features), model.forward_head(features))
    dropped = model.train().forward_head(features, pre_logits=True)
    assert 0.7 < (dropped == 0).float().mean() <= 1


def test_drop_path_drops_the_residual_branch_and_keeps_the_shortcut() -> None:
    first, second = layer_specs((1, 1, 2, 1), (16, 32, 48, 64), 8)[2:4]
    for spec in (first, second):
        downsample = nn.Conv2d(spec.in_chs, spec.out_chs, 1, stride=spec.stride) if spec.downsample else None
        block = PiNASBlock(spec, CANDIDATES[3], downsample, drop_path=1.0).train()
        x = seeded_input((2, spec.in_chs, 8, 8), seed=1)
        shortcut = x if downsample is None else downsample(x)
        assert torch.equal(block(x), shortcut.relu())
        assert not torch.equal(block.eval()(x), shortcut.relu())


def test_drop_path_rate_grows_linearly_over_the_layers() -> None:
    model = timm.create_model("pinas", **TINY, drop_path_rate=0.4)
    rates = [
        b.drop_path.drop_prob if isinstance(b.drop_path, DropPath) else 0.0
        for b in model.modules()
        if isinstance(b, PiNASBlock)
    ]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_drop_path_is_per_sample() -> None:
    model = fill_(timm.create_model("pinas", **TINY, drop_path_rate=0.5)).train()
    block = model.layer4[0]
    dropped = []
    block.drop_path.register_forward_hook(lambda m, i, o: dropped.append((o == 0).flatten(1).all(1)))
    torch.manual_seed(0)
    block(seeded_input((40, 192, 8, 8), seed=1))
    assert 0.3 < torch.cat(dropped).float().mean() < 0.7


def test_drop_block_acts_in_the_last_two_stages_in_training_only(images: torch.Tensor) -> None:
    model = tiny(drop_block_rate=0.3)
    where = [name for name, m in model.named_modules() if isinstance(m, DropBlock2d)]
    assert where == ["layer3.0.conv2.drop", "layer3.1.conv2.drop", "layer4.0.conv2.drop"]
    assert torch.equal(model(images), tiny()(images))
    acted = []
    for name in where:
        model.get_submodule(name).register_forward_hook(lambda m, i, o: acted.append(not torch.equal(i[0], o)))
    torch.manual_seed(0)
    for _ in range(5):
        model.train()(images)
    assert any(acted)


# Features


@pytest.mark.parametrize("output_stride", [16, 8])
def test_weights_fit_at_any_output_stride_also_where_adjacent_stages_are_equally_wide(output_stride: int) -> None:
    sizes = dict(arch="0123", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8, num_classes=2)
    whole = timm.create_model("pinas", **sizes)
    dilated = timm.create_model("pinas", **sizes, output_stride=output_stride)
    dilated.load_state_dict(whole.state_dict())


@pytest.mark.parametrize("output_stride", [32, 16, 8])
@pytest.mark.parametrize("feature_cls", ["list", "dict", "hook", "fx", "getter"])
def test_features_only(images: torch.Tensor, feature_cls: str, output_stride: int) -> None:
    whole = tiny(output_stride=output_stride)
    features = timm.create_model(
        "pinas", **TINY, features_only=True, feature_cls=feature_cls, output_stride=output_stride
    ).eval()
    weights = {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    prefix = {"getter": "model.", "hook": "body.", "fx": "graph_module."}.get(feature_cls, "")
    features.load_state_dict({prefix + k: v for k, v in weights.items()}, strict=True)
    with torch.no_grad():
        outputs = features(images)
        final, expected = whole.forward_intermediates(images)
        assert torch.equal(final, whole.forward_features(images))
    outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
    assert features.feature_info.channels() == [16, *STAGES]
    reductions = [min(r, output_stride) for r in (2, 4, 8, 16, 32)]
    assert features.feature_info.reduction() == reductions
    for output, tensor, channels, reduction in zip(outputs, expected, [16, *STAGES], reductions, strict=True):
        assert output.shape == (2, channels, 64 // reduction, 64 // reduction)
        torch.testing.assert_close(output, tensor)


def test_out_indices(images: torch.Tensor) -> None:
    model = tiny(num_classes=0, features_only=True, out_indices=(1, -1))
    assert [tuple(f.shape[1:]) for f in model(images)] == [(64, 16, 16), (256, 2, 2)]
    assert model.feature_info.channels() == [64, 256]


def test_intermediates_by_index(images: torch.Tensor) -> None:
    model = tiny()
    _, every = model.forward_intermediates(images)
    last_two = model.forward_intermediates(images, indices=2, intermediates_only=True)
    assert [torch.equal(a, b) for a, b in zip(last_two, every[-2:], strict=True)] == [True, True]
    early, taken = model.forward_intermediates(images, indices=[0, 2], stop_early=True)
    assert torch.equal(early, every[2])
    assert torch.equal(taken[0], every[0])
    with pytest.raises(ValueError, match="expected output_fmt 'NCHW', got 'NLC'"):
        model.forward_intermediates(images, output_fmt="NLC")


@pytest.mark.parametrize(("indices", "kept"), [([0], 0), ([1, 2], 2), (1, 4)])
def test_prune_intermediate_layers(images: torch.Tensor, indices: Any, kept: int) -> None:
    model = tiny()
    expected = model.forward_intermediates(images, indices=indices, intermediates_only=True)
    taken = model.prune_intermediate_layers(indices)
    assert [len(getattr(model, f"layer{i}")) > 0 for i in (1, 2, 3, 4)] == [i <= kept for i in (1, 2, 3, 4)]
    assert model.num_features == [16, *STAGES][kept]
    pruned = model.forward_intermediates(images, indices=taken, intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(pruned, expected, strict=True))
    assert torch.equal(model(images), expected[-1])


def test_reset_classifier(images: torch.Tensor) -> None:
    model = tiny()
    pooled = model.forward_head(model.forward_features(images), pre_logits=True)
    model.reset_classifier(0)
    assert torch.equal(model(images), pooled)
    model.reset_classifier(9, "max")
    assert model(images).shape == (2, 9)
    assert model.num_classes == 9
    assert model.get_classifier() is model.fc
    assert model.get_classifier(name_only=True) == "fc"


def test_timms_own_checkpoint_seq_runs_the_stages(images: torch.Tensor) -> None:
    model = tiny()
    x = model.maxpool(model.act1(model.bn1(model.conv1(images))))
    layers = [model.layer1, model.layer2, model.layer3, model.layer4]
    assert torch.equal(checkpoint_seq(layers, x, flatten=True), model.forward_features(images))


# Optimisation, configuration, copies


def test_group_matcher() -> None:
    model = tiny()
    groups = group_parameters(model, model.group_matcher())
    names = [name for group in groups.values() for name in group]
    assert sorted(names) == sorted(n for n, _ in model.named_parameters())
    assert len(groups) == 1 + 5 + 1  # stem, blocks, head
    assert len(group_parameters(model, model.group_matcher(coarse=True))) == 1 + 4 + 1
    scales = [g["lr_scale"] for g in param_groups_layer_decay(model, layer_decay=0.5)]
    assert min(scales) == pytest.approx(0.5**6)
    assert max(scales) == 1


@pytest.mark.parametrize("name", ["pinas", *ARCHS, *ALIASES])
def test_data_configuration_is_that_of_the_authors_verification(name: str) -> None:
    config = resolve_model_data_config(timm.create_model(name, device="meta"))
    assert config["input_size"] == (3, 224, 224)
    assert config["crop_pct"] == 0.875
    assert config["interpolation"] == "bicubic"
    assert config["mean"] == (0.485, 0.456, 0.406)


def test_a_saved_folder_loads_by_timm(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny()
    args = {k: v for k, v in TINY.items() if k != "num_classes"}
    save_for_hf(model, tmp_path / "folder", model_args=args, safe_serialization=True)
    loaded = timm.create_model(f"local-dir:{tmp_path / 'folder'}", pretrained=True).eval()
    assert torch.equal(loaded(images), model(images))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(clone: Any, images: torch.Tensor) -> None:
    model = tiny(drop_path_rate=0.1)
    assert torch.equal(clone(model)(images), model(images))


@pytest.mark.parametrize("candidate", range(len(CANDIDATES)))
def test_memory_format_is_kept_and_changes_nothing(candidate: int, images: torch.Tensor) -> None:
    model = tiny(arch=[candidate] * 5).double()
    expected = model.forward_features(images.double())
    model.to(memory_format=torch.channels_last)
    found = model.forward_features(images.double().to(memory_format=torch.channels_last))
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("candidate", range(len(CANDIDATES)))
def test_gradients_are_the_derivatives(candidate: int) -> None:
    spec = layer_specs((1, 1, 1, 1), (16, 16, 16, 16), 8)[1]
    block = fill_(PiNASBlock(spec, CANDIDATES[candidate], nn.Conv2d(64, 64, 1, stride=2))).double().eval()
    x = seeded_input((1, 64, 4, 4), seed=1).double()
    block.act1 = block.conv2.act0 = block.conv2.act1 = block.act3 = nn.Tanh()  # smooth, for finite differences
    assert torch.autograd.gradcheck(block, x.requires_grad_(), fast_mode=True)


# Script, trace, compile, export


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("features_only", [False, True])
def test_torchscript(features_only: bool, tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny(features_only=features_only, drop_path_rate=0.2)
    torch.jit.save(torch.jit.script(model), tmp_path / "model.pt")
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.pt")(images), model(images))


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_torch_jit_trace(images: torch.Tensor) -> None:
    model = tiny()
    traced = torch.jit.trace(model, images[:1])
    torch.testing.assert_close(traced(images), model(images))


def test_fx(images: torch.Tensor) -> None:
    model = tiny(drop_path_rate=0.2, drop_block_rate=0.2)
    assert torch.equal(torch.fx.symbolic_trace(model)(images), model(images))


@pytest.mark.parametrize("checkpointing", [False, True])
def test_compile_without_graph_breaks(checkpointing: bool, images: torch.Tensor) -> None:
    torch._dynamo.reset()
    model = tiny().train()
    model.set_grad_checkpointing(checkpointing)
    compiled = copy.deepcopy(model)
    for run in (model, torch.compile(compiled, backend="aot_eager", fullgraph=True)):
        run(images).square().mean().backward()
    for (name, buffer), found in zip(model.named_buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(found, buffer, msg=name)
    for (name, parameter), other in zip(model.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-3, atol=1e-3, msg=name)


@pytest.mark.slow
def test_compile_with_inductor(images: torch.Tensor) -> None:
    torch._dynamo.reset()
    model = tiny().double()
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(model)(images.double()), model(images.double()))


def test_export_with_any_batch(images: torch.Tensor) -> None:
    model = tiny()
    exported = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    five = seeded_input((5, 3, 64, 64), seed=2)
    torch.testing.assert_close(exported.module()(five), model(five))


def export_onnx(model: nn.Module, path: Path, images: torch.Tensor) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    batch = torch.export.Dim("batch", min=1)
    torch.onnx.export(model, (images,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_onnx_with_any_batch(tmp_path: Path, images: torch.Tensor) -> None:
    model = tiny()
    session = export_onnx(model, tmp_path / "model.onnx", images)
    for batch in (1, 3):
        x = seeded_input((batch, 3, 64, 64), seed=batch)
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        np.testing.assert_allclose(found, model(x).detach().numpy(), rtol=1e-3, atol=1e-3 * model(x).abs().max().item())
