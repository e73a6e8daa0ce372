"""What a network costs: parameters and multiply-adds, by formula (any of the 4^16) or counted by hooks (any module).

Multiply-adds are those of convolutions and linear layers, one multiplication with its addition counted once and biases
not at all. Norms, activations, pooling and the weighting of the splits are left out. Parameters are all of them, norms
and biases included. The paper's FLOPs are those of a flops counter, a little more: :func:`count_operations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.adaptive_avgmax_pool import adaptive_pool_feat_mult
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.models.pinas import CANDIDATES, DEPTHS, EXPANSION, STEM_WIDTH, WIDTHS, Candidate, LayerSpec, layer_specs

ImageSize = int | tuple[int, int]
_Rule = Callable[[Any, torch.Tensor, torch.Tensor], int]  # module, its input, its output


@dataclass(frozen=True)
class Cost:
    """Parameters and multiply-adds (of one image) of a part of a network; parts add up with ``+`` and ``sum``."""

    params: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        if not isinstance(other, Cost):
            return NotImplemented
        return Cost(self.params + other.params, self.macs + other.macs)

    def __radd__(self, other: object) -> Cost:
        return self if other == 0 else NotImplemented  # sum() starts from 0


def layer_costs(
    depths: Sequence[int] = DEPTHS,
    widths: Sequence[int] = WIDTHS,
    stem_width: int = STEM_WIDTH,
    image_size: ImageSize = 224,
    in_chans: int = 3,
    output_stride: int = 32,
) -> list[tuple[Cost, ...]]:
    """One cost per layer and candidate: ``costs[layer][choice]``.

    Build it once; an architecture's layers then cost ``sum(row[c] for row, c in zip(costs, arch))``. The layers do not
    depend on ``in_chans``, which is accepted so that all costs of a network take the same arguments.

    Raises:
        ValueError: Sizes that no network has; see :func:`pinas_zoo.models.pinas.layer_specs`.
    """
    specs = layer_specs(depths, widths, stem_width, output_stride)
    sizes = layer_sizes(depths, widths, stem_width, image_size, output_stride)
    return [
        tuple(_block_cost(spec, candidate, size_in, size_out) for candidate in CANDIDATES)
        for spec, (size_in, size_out) in zip(specs, sizes, strict=True)
    ]


def stem_cost(stem_width: int = STEM_WIDTH, image_size: ImageSize = 224, in_chans: int = 3) -> Cost:
    """The deep stem: three 3x3 convolutions at half the image's size, and their norms."""
    size = _down(_hw(image_size), 2)
    return (
        _conv(in_chans, stem_width, 3, size)
        + _conv(stem_width, stem_width, 3, size)
        + _conv(stem_width, stem_width * 2, 3, size)
        + _norm(stem_width * 4)
    )


def head_cost(widths: Sequence[int] = WIDTHS, num_classes: int = 1000, global_pool: str = "avg") -> Cost:
    """The classifier: one linear layer; nothing for ``num_classes=0``."""
    return _conv(head_width(widths, global_pool), num_classes, 1, (1, 1), bias=True)


def head_width(widths: Sequence[int] = WIDTHS, global_pool: str = "avg") -> int:
    """Features that the classifier reads: those of the last stage, twice where the pool joins two of them."""
    return widths[-1] * EXPANSION * adaptive_pool_feat_mult(global_pool)


def network_cost(
    arch: str | Sequence[int] | Arch,
    depths: Sequence[int] = DEPTHS,
    widths: Sequence[int] = WIDTHS,
    stem_width: int = STEM_WIDTH,
    num_classes: int = 1000,
    in_chans: int = 3,
    image_size: ImageSize = 224,
    output_stride: int = 32,
    global_pool: str = "avg",
) -> Cost:
    """A whole network for one image of ``in_chans x image_size``.

    Raises:
        ValueError: ``arch`` does not fit ``depths``, or sizes that no network has.
    """
    costs = layer_costs(depths, widths, stem_width, image_size, in_chans, output_stride)
    choices = Arch.parse(arch, num_layers=len(costs), num_candidates=len(CANDIDATES))
    layers = sum((row[choice] for row, choice in zip(costs, choices, strict=True)), Cost())
    return stem_cost(stem_width, image_size, in_chans) + layers + head_cost(widths, num_classes, global_pool)


def layer_sizes(
    depths: Sequence[int] = DEPTHS,
    widths: Sequence[int] = WIDTHS,
    stem_width: int = STEM_WIDTH,
    image_size: ImageSize = 224,
    output_stride: int = 32,
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Height and width of each layer's input and output maps: ``[((H, W), (H, W)), ...]``."""
    size = _down(_down(_hw(image_size), 2), 2)  # stem, max pool
    sizes = []
    for spec in layer_specs(depths, widths, stem_width, output_stride):
        out = _down(size, spec.stride)
        sizes.append((size, out))
        size = out
    return sizes


def count_module(model: nn.Module, input_size: Sequence[int]) -> Cost:
    """Count any network by running it once: ``numel`` of its parameters, multiply-adds of its nn.Conv2d and nn.Linear.

    Cheapest on the meta device (``timm.create_model(name, device="meta")``), where nothing is computed. The model's
    mode is put back. Products outside of such modules (attention's matrix products, say) are not seen.

    Args:
        model: Any module that takes one batch of images.
        input_size: C, H, W of one image.
    """
    macs = _run_counting(model, input_size, {nn.Conv2d: _conv_macs, nn.Linear: _linear_macs})
    return Cost(sum(p.numel() for p in model.parameters()), macs)


def count_operations(model: nn.Module, input_size: Sequence[int]) -> int:
    """FLOPs of one image as flops counters such as ptflops and mmcv's print them: :func:`count_module`'s and more.

    Added are: the biases of convolutions, two operations an element of a batch norm's output, one an element of a
    ReLU's output, one an element that goes into a pooling module. Not seen: whatever is not a module of these kinds.
    """
    pools = (nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d)
    return _run_counting(
        model,
        input_size,
        {
            nn.Conv2d: lambda module, x, y: _conv_macs(module, x, y) + (y.numel() if module.bias is not None else 0),
            nn.Linear: _linear_macs,
            nn.BatchNorm2d: lambda module, x, y: 2 * y.numel(),
            nn.ReLU: lambda module, x, y: y.numel(),
            **{pool: lambda module, x, y: x.numel() for pool in pools},
        },
    )


def _run_counting(model: nn.Module, input_size: Sequence[int], rules: Mapping[type[nn.Module], _Rule]) -> int:
    """Sum of the rules over the modules of one forward pass of one image; a module called twice counts twice."""
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        total += next(rule for kind, rule in rules.items() if isinstance(module, kind))(module, inputs[0], output)

    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, tuple(rules))]
    parameter = next(model.parameters(), torch.empty(0))
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            model(torch.zeros(1, *input_size, device=parameter.device, dtype=parameter.dtype))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return total


def _conv_macs(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return y.numel() * module.weight[0].numel()  # output elements, each of in_channels / groups * kernel products


def _linear_macs(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return y.numel() * module.in_features


def _block_cost(spec: LayerSpec, candidate: Candidate, size_in: tuple[int, int], size_out: tuple[int, int]) -> Cost:
    """One bottleneck; its 3x3 convolution runs at the input's size, since the stride is in the pooling after it."""
    width, splits = candidate.width(spec.planes), candidate.width(spec.planes) * candidate.radix
    attn = max(splits // 4, 32)
    parts = [
        _conv(spec.in_chs, width, 1, size_in) + _norm(width),
        _conv(width, splits, 3, size_in, groups=candidate.cardinality * candidate.radix) + _norm(splits),
        _conv(width, attn, 1, (1, 1), groups=candidate.cardinality, bias=True) + _norm(attn),
        _conv(attn, splits, 1, (1, 1), groups=candidate.cardinality, bias=True),
        _conv(width, spec.out_chs, 1, size_out) + _norm(spec.out_chs),
    ]
    if spec.downsample:
        parts.append(_conv(spec.in_chs, spec.out_chs, 1, size_out) + _norm(spec.out_chs))
    return sum(parts, Cost())


def _conv(in_chs: int, out_chs: int, kernel: int, size_out: Iterable[int], groups: int = 1, bias: bool = False) -> Cost:
    weights = out_chs * (in_chs // groups) * kernel * kernel
    height, width = size_out
    return Cost(weights + (out_chs if bias else 0), weights * height * width)


def _norm(channels: int) -> Cost:
    return Cost(2 * channels)


def _hw(image_size: ImageSize) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])


def _down(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Every strided operation of the family rounds up."""
    return -(-size[0] // stride), -(-size[1] // stride)
