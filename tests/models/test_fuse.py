"""A fused network computes what the original computes, and is what it says: an inference copy."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import pinas_zoo
from pinas_zoo.models.fuse import FusedConv2d
from tests.golden import fill_, seeded_input

TINY: dict[str, Any] = dict(arch="01233", depths=(1, 1, 2, 1), widths=(16, 32, 48, 64), stem_width=8, num_classes=5)
TOLERANCE = 1e-3  # relative to the largest magnitude


def tiny(**kwargs: Any) -> Any:
    return fill_(timm.create_model("pinas", **{**TINY, **kwargs})).eval()


def assert_close(found: Any, expected: Any, tolerance: float = TOLERANCE) -> None:
    found, expected = (list(v.values()) if isinstance(v, dict) else v for v in (found, expected))
    if isinstance(expected, torch.Tensor):
        found, expected = [found], [expected]
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert ((a - b).abs().max() / b.abs().max()).item() < tolerance


def norms(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm)]


@pytest.fixture
def images() -> torch.Tensor:
    return seeded_input((2, 3, 64, 64), seed=1)


@pytest.mark.parametrize("name", timm.list_models(module="pinas"))
def test_every_registered_name(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, zero_init_last=False).eval()
    for norm in norms(model):  # trained statistics, of a size that does not amplify rounding from layer to layer
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.75, 1.25)  # type: ignore[arg-type]
    images = seeded_input((2, 3, 96, 96), seed=2)
    fused = pinas_zoo.fuse(model)
    assert len(norms(model)) > 60
    assert norms(fused) == []
    with torch.inference_mode():
        assert_close(fused(images), model(images))
        assert_close(fused.forward_features(images), model.forward_features(images))


@pytest.mark.parametrize("arch", ["00000", "11111", "22222", "33333"])
@pytest.mark.parametrize("output_stride", [32, 8])
def test_fold_is_exact(arch: str, output_stride: int, images: torch.Tensor) -> None:
    model = tiny(arch=arch, output_stride=output_stride).double()
    assert_close(pinas_zoo.fuse(model)(images.double()), model(images.double()), 1e-12)


@pytest.mark.parametrize("no_grad", [True, False])
def test_onednn_and_ordinary_operators_agree(no_grad: bool, images: torch.Tensor) -> None:
    fused = pinas_zoo.fuse(tiny())
    with torch.set_grad_enabled(not no_grad):
        fast = fused(images)
        with torch.backends.mkldnn.flags(enabled=False):
            assert_close(fused(images), fast)
    packed = [m for m in fused.modules() if "_packed" in vars(m)]
    assert bool(packed) == torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("shape", [(1, 3, 33, 47), (3, 3, 64, 64), (2, 3, 128, 32)])
def test_any_size_after_the_first(shape: tuple[int, ...], images: torch.Tensor) -> None:
    model = tiny()
    fused = pinas_zoo.fuse(model)
    fused(images)
    x = seeded_input(shape, seed=3)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        assert_close(fused(x.to(memory_format=memory_format)), model(x))


@pytest.mark.parametrize("feature_cls", ["list", "dict", "getter"])
def test_features_only(feature_cls: str, images: torch.Tensor) -> None:
    model = tiny(features_only=True, feature_cls=feature_cls)
    fused = pinas_zoo.fuse(model)
    assert norms(fused) == []
    expected = model(images)
    assert_close(fused(images), expected)
    first = [f.clone() for f in (lambda o: o.values() if isinstance(o, dict) else o)(fused(images))]
    fused(images)
    assert_close(first, expected)  # no later layer writes into a feature that was handed out


def test_intermediates_are_not_overwritten_where_a_stage_starts_with_an_identity_shortcut() -> None:
    model = tiny(arch="0123", depths=(1, 1, 1, 1), widths=(16, 32, 64, 128), stem_width=32)
    assert model.layer1[0].downsample is None
    x = seeded_input((1, 3, 64, 64), seed=1)
    with torch.inference_mode():
        assert_close(pinas_zoo.fuse(model).forward_intermediates(x)[1], model.forward_intermediates(x)[1])


def test_other_activations_and_frozen_or_synchronised_norms(images: torch.Tensor) -> None:
    model = tiny(act_layer="silu")
    assert_close(pinas_zoo.fuse(model)(images), model(images))
    assert_close(pinas_zoo.fuse(nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model)))(images), model(images))


def test_the_original_is_left_alone(images: torch.Tensor) -> None:
    model = tiny(drop_rate=0.5, drop_path_rate=0.2, drop_block_rate=0.2).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fused = pinas_zoo.fuse(model)
    assert not any(m.training for m in fused.modules())
    assert all(m.training for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())
    assert all(p.is_contiguous() for p in model.parameters())
    fused(images)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert_close(fused(images), model.eval()(images))


def test_names_that_remain_are_the_originals() -> None:
    model = tiny()
    names = {k for k, _ in pinas_zoo.fuse(model).named_parameters() if k.endswith("weight")}
    assert names == {k for k, p in model.named_parameters() if p.ndim > 1}


def test_refusals(images: torch.Tensor) -> None:
    model = tiny()
    fused = pinas_zoo.fuse(model)
    with pytest.raises(ValueError, match="already fused"):
        pinas_zoo.fuse(fused)
    with pytest.raises(RuntimeError, match=r"for inference.*train the original"):
        fused.train()
    assert not any(m.training for m in fused.modules())
    assert_close(fused(images), model(images))
    assert_close(fused.eval()(images), model(images))
    with pytest.raises(TypeError, match=r"expected a Π-NAS network.*got ResNet"):
        pinas_zoo.fuse(timm.create_model("resnet18"))
    for feature_cls in ("hook", "fx"):
        with pytest.raises(TypeError, match="feature_cls 'list', 'dict' or 'getter'"):
            pinas_zoo.fuse(tiny(features_only=True, feature_cls=feature_cls))
    with pytest.raises(ValueError, match="expected batch norms, which can be folded, got GroupNorm1"):
        pinas_zoo.fuse(timm.create_model("pinas", **TINY, norm_layer="groupnorm1"))


def test_weights_changed_in_place_are_used(images: torch.Tensor) -> None:
    fused = pinas_zoo.fuse(tiny())
    before = fused(images)
    other = pinas_zoo.fuse(tiny())
    for parameter in other.parameters():
        parameter.mul_(0.9)
    fused.load_state_dict(other.state_dict())
    assert not torch.allclose(fused(images), before)
    assert_close(fused(images), other(images))


def test_gradient_to_the_input(images: torch.Tensor) -> None:
    model, grads = tiny(), []
    for net in (model, pinas_zoo.fuse(model)):
        x = images.clone().requires_grad_()
        net(x).square().mean().backward()
        grads.append(x.grad)
    assert_close(grads[1], grads[0], 1e-2)


def test_half_precision_and_autocast(images: torch.Tensor) -> None:
    model = tiny()
    fused = pinas_zoo.fuse(model)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert fused.forward_features(images).dtype == torch.bfloat16
    low = pinas_zoo.fuse(model.to(torch.bfloat16))
    assert {p.dtype for p in low.parameters()} == {torch.bfloat16}
    assert_close(low(images.bfloat16()).float(), fused(images), 0.1)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_carry_no_packed_weights(clone: Any, images: torch.Tensor) -> None:
    fused = pinas_zoo.fuse(tiny())
    expected = fused(images)
    again = clone(fused)
    assert not any("_packed" in vars(m) for m in again.modules() if isinstance(m, FusedConv2d))
    assert torch.equal(again(images), expected)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_script_trace_fx_export_compile_onnx(images: torch.Tensor, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    fused = pinas_zoo.fuse(tiny())
    expected = fused(images)
    torch._dynamo.reset()
    with torch.no_grad():
        assert_close(torch.jit.script(fused)(images), expected)
        assert_close(torch.jit.trace(fused, images)(images), expected)
        assert_close(torch.fx.symbolic_trace(fused)(images), expected)
        assert_close(torch.compile(fused, backend="aot_eager", fullgraph=True)(images), expected)
        batch = ({0: torch.export.Dim("batch", min=1)},)
        assert_close(
            torch.export.export(fused, (images,), dynamic_shapes=batch).module()(images[:1]), fused(images[:1])
        )
        torch.onnx.export(fused, (images,), tmp_path / "fused.onnx", dynamo=True, dynamic_shapes=batch, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "fused.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert isinstance(found, np.ndarray)
    assert_close(torch.from_numpy(found), expected)


def test_each_input_size_has_its_own_packing_and_few_are_kept() -> None:
    """Packed for one image, a weight made four slower than unfused; and memory must not grow with sizes."""
    from pinas_zoo.models.fuse import PACKED_SIZES

    eager = timm.create_model("pinas", arch="0123", depths=(1, 1, 1, 1), widths=(16, 16, 16, 16), stem_width=8).eval()
    fused = pinas_zoo.fuse(eager)
    conv = next(m for m in fused.modules() if isinstance(m, FusedConv2d))
    with torch.inference_mode():
        # the third size has no room until it comes again; the first then gives way
        one, four, two = (1, 3, 64, 64), (4, 3, 64, 64), (2, 3, 96, 96)
        for size, sizes in ((one, [one]), (four, [one, four]), (two, [one, four]), (two, [four, two])):
            images = torch.randn(size)
            torch.testing.assert_close(fused(images), eager(images), rtol=1e-3, atol=1e-4)
            packed = conv.__dict__.get("_packed", ())
            assert len(packed) <= PACKED_SIZES
            assert not packed or [kept for _, kept, _ in packed] == sizes


def test_forward_derivatives_and_vmap_take_the_ordinary_operators(images: torch.Tensor) -> None:
    model = tiny()
    fused = pinas_zoo.fuse(model)
    tangent = seeded_input(tuple(images.shape), seed=7)
    with torch.no_grad():
        fused(images)  # packed
    (_, found), (_, expected) = (torch.func.jvp(m, (images,), (tangent,)) for m in (fused, model))
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(
            torch.func.vmap(fused)(images[:, None]).squeeze(1), fused(images), rtol=1e-4, atol=1e-5
        )


def test_a_copy_within_inference_mode_runs(images: torch.Tensor) -> None:
    fused = pinas_zoo.fuse(tiny())
    with torch.inference_mode():
        torch.testing.assert_close(copy.deepcopy(fused)(images), fused(images))


def test_weights_that_were_moved_are_packed_anew(images: torch.Tensor) -> None:
    fused = pinas_zoo.fuse(tiny())
    with torch.no_grad():
        fused(images)
        fused.to(torch.bfloat16).to(torch.float32)
        torch.testing.assert_close(fused(images), copy.deepcopy(fused)(images))


def test_norms_with_an_activation_of_their_own_are_refused() -> None:
    with pytest.raises(ValueError, match="BatchNormAct2d"):
        pinas_zoo.fuse(tiny(norm_layer=timm.layers.BatchNormAct2d))


def test_many_sizes_in_turn_do_not_pack_again_and_again() -> None:
    fused = pinas_zoo.fuse(tiny())
    conv = next(m for m in fused.modules() if isinstance(m, FusedConv2d))
    sizes = [seeded_input((1, 3, side, side), seed=side) for side in (32, 48, 64)]
    kept = []
    with torch.no_grad():
        for _ in range(3):
            for x in sizes:
                fused(x)
            kept.append([id(weight) for *_, weight in conv.__dict__["_packed"]])
    assert kept[0] == kept[1] == kept[2]
