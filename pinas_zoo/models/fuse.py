"""A network for inference alone: batch norms folded, activations and shortcuts computed inside the convolutions.

    fused = pinas_zoo.fuse(model)      # eval mode, channels-last; the original is left as it is

Exact up to rounding: a batch norm in eval mode is an affine map of its convolution's output, so it goes into that
convolution's weight and bias (in fp64, then rounded once). What remains, ReLU and the sum with the shortcut, is done by
oneDNN as it writes the convolution's output, with weights kept in oneDNN's own layout; that is for fp32 on a CPU
without gradients. Elsewhere (GPU, half precision, autocast, gradients to the input, tracing, scripting,
``torch.compile``, ``torch.export``, ONNX) the same modules compute the same numbers by ordinary operators.

Measured by ``benchmarks/inference.py``.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from timm.models import FeatureDictNet
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pinas_zoo.models.blocks import PiNASBlock, SplitAttention
from pinas_zoo.models.pinas import PiNAS
from pinas_zoo.weights.timm_private import FeatureGetterNet

__all__ = ["FusedBlock", "FusedConv2d", "fuse"]

T = TypeVar("T", bound=nn.Module)
PACKED_SIZES = 2  # input sizes, such as a full and a last batch, for which a layer keeps its weight packed
_ONEDNN = torch.backends.mkldnn.is_available() and all(
    hasattr(torch.ops.mkldnn, op)
    for op in ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")
)


def fuse(model: T) -> T:
    """An eval-mode copy that infers faster and cannot be trained; the original is left as it is.

    For any :class:`~pinas_zoo.models.pinas.PiNAS`, also inside timm's ``features_only=True`` (feature classes list,
    dict and getter). State-dict names of what is left are unchanged. An activation other than ReLU stays as it is. On
    a CPU the weights are kept up to three times, as parameters and in oneDNN's layout for two input sizes; changes of
    a parameter's ``.data`` are not seen after that.

    Raises:
        TypeError: Not a Π-NAS network, or inside a feature wrapper that hooks, traces or flattens it.
        ValueError: Already fused, or its norms are not batch norms with running statistics.
    """
    net = model.model if isinstance(model, FeatureGetterNet) else model
    if any(isinstance(m, FusedConv2d) for m in model.modules()):
        raise ValueError("expected a network as built or trained, got one that is already fused; use it as it is")
    wrapped = (
        isinstance(net, FeatureDictNet) and "conv1" in net and any(isinstance(m, PiNASBlock) for m in net.modules())
    )
    if not isinstance(net, PiNAS) and not wrapped:
        raise TypeError(
            "expected a Π-NAS network, or one with features_only=True and feature_cls 'list', 'dict' or 'getter', "
            f"got {type(model).__name__}; fuse before any other wrapping"
        )
    with torch.inference_mode(False), torch.no_grad():
        fused = copy.deepcopy(model).eval()
        net = fused.model if isinstance(fused, FeatureGetterNet) else fused
        _fuse_stem(net)
        for name, module in list(fused.named_modules()):
            if isinstance(module, PiNASBlock):
                parent, _, child = name.rpartition(".")
                setattr(fused.get_submodule(parent), child, FusedBlock(module))
        for parameter in fused.parameters():
            parameter.requires_grad_(False)
        if hasattr(net, "drop_rate"):
            setattr(net, "drop_rate", 0.0)  # noqa: B010
        return fused.to(memory_format=torch.channels_last).eval()


class FusedConv2d(nn.Conv2d):
    """Convolution, then the sum with ``shortcut`` where one is given, then ReLU where asked for."""

    def __init__(self, conv: nn.Conv2d, weight: torch.Tensor, bias: torch.Tensor, relu: bool):
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            conv.groups,
            device="meta",
        )
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.relu = relu
        self.training = False

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, relu={self.relu}"

    def forward(self, x: torch.Tensor, shortcut: torch.Tensor | None = None, overwrite: bool = False) -> torch.Tensor:
        """``overwrite``: nothing else uses the shortcut, so its memory may take the result."""
        if not torch.jit.is_scripting():  # noqa: SIM102  the script compiler skips what is inside, not the rest of a line
            if self._onednn_can(x):
                packed = self._packed_weight(x)
                if packed is not None:
                    return self._onednn(x, packed, shortcut, overwrite)
        out = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        if shortcut is not None:
            out = out + shortcut
        return F.relu(out) if self.relu else out

    def _onednn_can(self, x: torch.Tensor) -> bool:
        return (
            _ONEDNN
            and not torch.compiler.is_compiling()
            and type(x) is torch.Tensor  # and no proxy, fake or functional tensor: those trace
            and x.dtype is torch.float32
            and self.weight.dtype is torch.float32
            and x.device.type == "cpu"
            and x.ndim == 4
            and x.numel() > 0
            and not (torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad))
            and bool(torch.backends.mkldnn.enabled)
            and not torch.jit.is_tracing()
            and not torch.is_autocast_enabled("cpu")
            and torch._C._functorch.maybe_current_level() is None  # vmap, jvp: what they wrap looks like a tensor
            and torch.autograd.forward_ad._current_level < 0
        )

    def _onednn(
        self, x: torch.Tensor, packed: torch.Tensor, shortcut: torch.Tensor | None, overwrite: bool
    ) -> torch.Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        args = (packed, self.bias, self.padding, self.stride, self.dilation, self.groups)
        relu = "relu" if self.relu else None
        if shortcut is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *args, relu or "none", [], "")
        shortcut = shortcut.contiguous(memory_format=torch.channels_last)
        if overwrite:
            return torch.ops.mkldnn._convolution_pointwise_.binary(shortcut, x, *args, "add", 1.0, relu, [], "")
        return torch.ops.mkldnn._convolution_pointwise.binary(x, shortcut, *args, "add", 1.0, relu, [], "")

    def _packed_weight(self, x: torch.Tensor) -> torch.Tensor | None:
        """The weight in the layout that oneDNN wants for this input size; None where packing would not pay.

        A layout of another size costs more than none: packed for one image, four take longer than unfused. So each of
        a few sizes has its own; when there is no room, a new one gets it at its second call in a row.
        """
        version = -1 if self.weight.is_inference() else self.weight._version
        state, size = (self.weight.data_ptr(), version), tuple(x.shape)
        again = self.__dict__.get("_last_size") == size
        self.__dict__["_last_size"] = size
        # (state, size, weight) each; tuples, which scripting passes over
        packed = tuple(entry for entry in self.__dict__.get("_packed", ()) if entry[0] == state)
        for _, its_size, weight in packed:
            if its_size == size:
                return weight
        if len(packed) >= PACKED_SIZES and not again:
            return None
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            self.weight, self.padding, self.stride, self.dilation, self.groups, list(size)
        )
        self.__dict__["_packed"] = (*packed[1 - PACKED_SIZES :], (state, size, weight))
        return weight

    def _apply(self, fn: Any, recurse: bool = True) -> FusedConv2d:
        self.__dict__.pop("_packed", None)  # a weight that moves may come to lie where another one lay
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {
            k: v for k, v in self.__dict__.items() if k not in ("_packed", "_last_size")
        }  # oneDNN's layout is of this machine

    def train(self, mode: bool = True) -> FusedConv2d:
        """Refuses training mode: the batch norms are gone.

        Raises:
            RuntimeError: ``mode`` is True.
        """
        if mode:
            raise RuntimeError("a fused network is for inference: it has no batch norms to train; train the original")
        return super().train(mode)


class FusedBlock(nn.Module):
    """A :class:`PiNASBlock` without norms: the last convolution adds the shortcut and applies the ReLU."""

    def __init__(self, block: PiNASBlock):
        super().__init__()
        self.conv1, self.act1 = _fold(block.conv1, block.bn1, block.act1)
        self.conv2 = _fuse_attention(block.conv2)
        self.avd_last = block.avd_last
        self.conv3, self.act3 = _fold(block.conv3, block.bn3, block.act3)
        self.downsample = None if block.downsample is None else _fuse_sequence(block.downsample)
        self.training = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.avd_last(self.conv2(self.act1(self.conv1(x))))
        return self.act3(self.conv3(out, shortcut, self.downsample is not None))


def _fuse_stem(net: nn.Module) -> None:
    """Fold the deep stem's batch norms; the third belongs to ``bn1`` and ``act1`` of the network."""
    stem = net.conv1
    assert isinstance(stem, nn.Sequential)
    last = len(stem) - 1
    stem[last], net.act1 = _fold(stem[last], net.get_submodule("bn1"), net.get_submodule("act1"))
    net.bn1 = nn.Identity()
    net.conv1 = _fuse_sequence(stem)


def _fuse_sequence(sequence: nn.Module) -> nn.Sequential:
    """Fold each convolution with the norm, and the activation, that come after it; places and names stay."""
    assert isinstance(sequence, nn.Sequential)
    for i, module in enumerate(sequence):
        if type(module) is nn.Conv2d:
            act = sequence[i + 2] if i + 2 < len(sequence) else nn.Identity()
            sequence[i], act = _fold(module, sequence[i + 1], act)
            sequence[i + 1] = nn.Identity()
            if i + 2 < len(sequence):
                sequence[i + 2] = act
    return sequence


def _fuse_attention(attention: SplitAttention) -> SplitAttention:
    attention.conv, attention.act0 = _fold(attention.conv, attention.bn0, attention.act0)
    attention.fc1, attention.act1 = _fold(attention.fc1, attention.bn1, attention.act1)
    attention.fc2, _ = _fold(attention.fc2, nn.Identity(), nn.Identity())
    attention.bn0 = attention.bn1 = attention.drop = nn.Identity()
    return attention


def _fold(conv: nn.Module, norm: nn.Module, act: nn.Module) -> tuple[FusedConv2d, nn.Module]:
    """The convolution with its norm and, if it is a ReLU, its activation; and what is left of the activation."""
    assert isinstance(conv, nn.Conv2d)
    relu = type(act) is nn.ReLU
    weight, bias = conv.weight.double(), torch.zeros_like(conv.weight[:, 0, 0, 0], dtype=torch.float64)
    if conv.bias is not None:
        bias = conv.bias.double()
    if type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm):  # not those of timm that end with an activation
        assert isinstance(norm, _BatchNorm)
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("expected batch norms with running statistics, got track_running_stats=False")
        scale = torch.rsqrt(norm.running_var.double() + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight.double()
        bias = (bias - norm.running_mean.double()) * scale
        if norm.bias is not None:
            bias = bias + norm.bias.double()
        weight = weight * scale.view(-1, 1, 1, 1)
    elif not isinstance(norm, nn.Identity):
        raise ValueError(f"expected batch norms, which can be folded, got {type(norm).__name__}")
    dtype = conv.weight.dtype
    return FusedConv2d(conv, weight.to(dtype), bias.to(dtype), relu), nn.Identity() if relu else act
