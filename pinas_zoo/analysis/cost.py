"""The cost of a network: parameters and multiply-adds, by formula (the Π-NAS space) or counted by hooks (any module).

Multiply-adds are those of convolutions and linear layers, one multiplication with its addition counted once and biases
not at all. Norms, activations, pooling and the weighting of the splits are left out. Parameters are all of them, norms
and biases included. The paper's FLOPs are those of a flops counter, a little more: :func:`count_operations`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers.adaptive_avgmax_pool import adaptive_pool_feat_mult
from torch import nn

from pinas_zoo.models.blocks import CANDIDATES, EXPANSION, STEM_WIDTH, Candidate, LayerSpec
from pinas_zoo.models.pinas import spec_of
from pinas_zoo.models.spec import NetworkSpec
from pinas_zoo.weights.entry_points import on_meta

ImageSize = int | tuple[int, int]
Rule = Callable[[Any, torch.Tensor, torch.Tensor], int]  # of a layer, its input and its output
Rules = Mapping[type[nn.Module], Rule]


def flops_unit(flops_g: float) -> tuple[str, float]:
    """The unit in which multiply-adds are shown, and how many of it are 10^9: G, or M below a million.

    Four decimals of G would leave networks for images of a few pixels one digit or none.
    """
    return ("G", 1.0) if flops_g >= 1e-3 else ("M", 1e3)


def shown_flops(flops_g: float, decimals: int = 4) -> str:
    """Multiply-adds in billions as text with a unit.

    Example:
        >>> shown_flops(0.00404), shown_flops(0.000119)
        ('0.0040 G', '0.1190 M')
    """
    unit, factor = flops_unit(flops_g)
    return f"{flops_g * factor:.{decimals}f} {unit}"


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


def layer_costs(layers: Sequence[LayerSpec], image_size: ImageSize = 224) -> list[tuple[Cost, ...]]:
    """One cost per layer and candidate: ``costs[layer][choice]``.

    Build it once; an architecture's layers then cost ``sum(row[c] for row, c in zip(costs, arch))``.

    Args:
        layers: Of :func:`pinas_zoo.models.blocks.layer_specs` or :meth:`NetworkSpec.layers`.
        image_size: Height and width of the image, or the side of a square one.
    """
    return [
        tuple(_block_cost(layer, candidate, size_in, size_out) for candidate in CANDIDATES)
        for layer, (size_in, size_out) in zip(layers, layer_sizes(layers, image_size), strict=True)
    ]


def stem_cost(stem_width: int = STEM_WIDTH, image_size: ImageSize = 224, in_chans: int = 3) -> Cost:
    """The deep stem: three 3x3 convolutions at half the image's size, and their norms."""
    size = _down(_hw(image_size), 2)
    return (
        conv_cost(in_chans, stem_width, 3, size)
        + conv_cost(stem_width, stem_width, 3, size)
        + conv_cost(stem_width, stem_width * 2, 3, size)
        + norm_cost(stem_width * 4)
    )


def head_cost(spec: NetworkSpec) -> Cost:
    """The classifier: one linear layer; nothing for ``num_classes=0``."""
    return conv_cost(head_width(spec), spec.num_classes, 1, (1, 1), bias=True)


def head_width(spec: NetworkSpec) -> int:
    """Features that the classifier reads: those of the last stage, twice where the pool joins two of them."""
    return spec.widths[-1] * EXPANSION * adaptive_pool_feat_mult(spec.global_pool)


def network_cost(spec: NetworkSpec, image_size: ImageSize = 224) -> Cost:
    """A whole network for one image of ``in_chans x image_size``, by formula."""
    costs = layer_costs(spec.layers(), image_size)
    layers = sum((row[choice] for row, choice in zip(costs, spec.arch, strict=True)), Cost())
    return stem_cost(spec.stem_width, image_size, spec.in_chans) + layers + head_cost(spec)


def cost_of(architecture: str, args: Mapping[str, Any], input_size: Sequence[int]) -> Cost:
    """Any network by its entry point and arguments: by formula where there is one, else counted on the meta device.

    Args:
        architecture: timm's entry point.
        args: Its arguments.
        input_size: C, H, W of one image.

    Raises:
        ValueError: The arguments describe no network.
    """
    spec = spec_of(architecture, args)
    if spec is not None:
        return network_cost(spec, (input_size[1], input_size[2]))
    return count_module(on_meta(architecture, args), input_size)


def layer_sizes(
    layers: Sequence[LayerSpec], image_size: ImageSize = 224
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Height and width of each layer's input and output maps: ``[((H, W), (H, W)), ...]``."""
    size = _down(_down(_hw(image_size), 2), 2)  # stem, max pool
    sizes = []
    for layer in layers:
        out = _down(size, layer.stride)
        sizes.append((size, out))
        size = out
    return sizes


def count_module(model: nn.Module, input_size: Sequence[int]) -> Cost:
    """Count any network by running it once: ``numel`` of its parameters, and :data:`MULTIPLY_ADDS` of its layers.

    Cheapest on the meta device (``timm.create_model(name, device="meta")``), where nothing is computed. The model's
    mode is put back. Products outside of such modules (attention's matrix products, say) are not counted.

    Args:
        model: Any module that takes one batch of images.
        input_size: C, H, W of one image.
    """
    macs = _run_counting(model, input_size, MULTIPLY_ADDS)
    return Cost(sum(p.numel() for p in model.parameters()), macs)


def count_operations(model: nn.Module, input_size: Sequence[int]) -> int:
    """FLOPs of one image as flops counters such as ptflops and mmcv's print them: :func:`count_module`'s and more.

    Added are: the biases of convolutions, two operations an element of a batch norm's output, one an element of a
    ReLU's output, one an element that goes into a pooling module. Operations outside of such modules are not
    counted.
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


@contextmanager
def counting(parts: Mapping[str, nn.Module], rules: Rules) -> Iterator[Counter[str]]:
    """Within the block, sum the rules over every call of a part's layers; a layer called twice counts twice.

    Args:
        parts: Modules by the names under which they are counted.
        rules: Kind of layer: what is counted for one call of it.
    """
    totals: Counter[str] = Counter()

    def hook(part: str) -> Any:
        def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            rule = next(rule for kind, rule in rules.items() if isinstance(module, kind))
            totals[part] += rule(module, inputs[0], output)

        return count

    hooks = [
        layer.register_forward_hook(hook(part))
        for part, module in parts.items()
        for layer in module.modules()
        if isinstance(layer, tuple(rules))
    ]
    try:
        yield totals
    finally:
        for handle in hooks:
            handle.remove()


def _run_counting(model: nn.Module, input_size: Sequence[int], rules: Rules) -> int:
    """Sum of the rules over the modules of one forward pass of one image."""
    parameter = next(model.parameters(), torch.empty(0))
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad(), counting({"": model}, rules) as totals:
            model(torch.zeros(1, *input_size, device=parameter.device, dtype=parameter.dtype))
    finally:
        for module, training in modes.items():
            module.training = training
    return totals[""]


def _conv_macs(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return y.numel() * module.weight[0].numel()  # output elements, each of in_channels / groups * kernel products


def _transposed_macs(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return x.numel() * module.weight[0].numel()  # input elements, each of out_channels / groups * kernel products


def _linear_macs(module: Any, x: torch.Tensor, y: torch.Tensor) -> int:
    return y.numel() * module.in_features


MULTIPLY_ADDS: Rules = {nn.Conv2d: _conv_macs, nn.ConvTranspose2d: _transposed_macs, nn.Linear: _linear_macs}


def _block_cost(layer: LayerSpec, candidate: Candidate, size_in: tuple[int, int], size_out: tuple[int, int]) -> Cost:
    """One bottleneck; its 3x3 convolution runs at the input's size, since the stride is in the pooling after it."""
    width, splits = candidate.width(layer.planes), candidate.width(layer.planes) * candidate.radix
    attn = candidate.attention_width(layer.planes)
    parts = [
        conv_cost(layer.in_chs, width, 1, size_in) + norm_cost(width),
        conv_cost(width, splits, 3, size_in, groups=candidate.cardinality * candidate.radix) + norm_cost(splits),
        conv_cost(width, attn, 1, (1, 1), groups=candidate.cardinality, bias=True) + norm_cost(attn),
        conv_cost(attn, splits, 1, (1, 1), groups=candidate.cardinality, bias=True),
        conv_cost(width, layer.out_chs, 1, size_out) + norm_cost(layer.out_chs),
    ]
    if layer.downsample:
        parts.append(conv_cost(layer.in_chs, layer.out_chs, 1, size_out) + norm_cost(layer.out_chs))
    return sum(parts, Cost())


def conv_cost(
    in_chs: int, out_chs: int, kernel: int, size_out: Iterable[int], groups: int = 1, bias: bool = False
) -> Cost:
    """A square convolution whose output has height and width ``size_out``; a linear layer is one of 1x1 at 1 x 1."""
    weights = out_chs * (in_chs // groups) * kernel * kernel
    height, width = size_out
    return Cost(weights + (out_chs if bias else 0), weights * height * width)


def norm_cost(channels: int) -> Cost:
    """A batch norm with weights and biases."""
    return Cost(2 * channels)


def _hw(image_size: ImageSize) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else (image_size[0], image_size[1])


def _down(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Every strided operation of these networks rounds up."""
    return -(-size[0] // stride), -(-size[1] // stride)
