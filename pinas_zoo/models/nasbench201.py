"""NAS-Bench-201 networks as timm models (Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural
Architecture Search", ICLR 2020): ``timm.create_model("nasbench201", arch="|nor_conv_3x3~0|+|…|+|…|")``.

A cell has four nodes; each of the six edges between them carries one of five operations, the same in every cell of the
network. Node 0 is the cell's input, node 3 its output, and a node is the sum of what its edges bring. The benchmark's
own skeleton has 16 channels and three stages of five cells, with a residual block that halves the resolution between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import create_classifier
from timm.models import generate_default_cfgs, register_model
from torch import nn

from pinas_zoo.arch import Arch
from pinas_zoo.errors import UserError
from pinas_zoo.models.pooling import average_pool
from pinas_zoo.weights import builder, entry_points
from pinas_zoo.weights.entry_points import EntryPoint, FunctionArg, check_flags, check_pool, check_shares
from pinas_zoo.weights.size_limits import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_LAYERS,
    check_count,
    check_parameters,
    shortened,
)

__all__ = ["EDGES", "OPERATIONS", "NASBench201", "arch_string", "parse_arch"]

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")  # the benchmark's order
NONE, SKIP, CONV_1X1, CONV_3X3, POOL = range(5)
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (from, to), in the order of architecture strings
STAGES = 3
KERNELS = {CONV_1X1: 1, CONV_3X3: 3}
EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"


def parse_arch(text: str | int | Sequence[int] | Arch) -> Arch:
    """Read the benchmark's architecture string, or six digits 0-4 (one an edge, in :data:`OPERATIONS`' order).

    Raises:
        UserError: Another form, an unknown operation or an edge that is not there; says what was expected.
    """
    if not isinstance(text, str) or "|" not in text:
        try:
            return Arch.parse(text, num_layers=len(EDGES), num_candidates=len(OPERATIONS))
        except ValueError as error:
            raise UserError(f"{error}; or give an architecture string such as {EXAMPLE}") from None
    nodes = text.strip().split("+")
    if len(nodes) != 3:
        raise UserError(
            f"expected three nodes joined by '+', such as {EXAMPLE}, got {len(nodes)} in {shortened(text, 200)}"
        )
    choices: list[int] = []
    for node, part in enumerate(nodes, start=1):
        terms = part.strip()[1:-1].split("|")
        if not part.strip().startswith("|") or not part.strip().endswith("|") or len(terms) != node:
            raise UserError(
                f"expected {node} edge(s) into node {node} as |operation~source|…|, got {shortened(part, 200)}"
            )
        for source, term in enumerate(terms):
            operation, sign, origin = term.partition("~")
            if not sign or origin != str(source):
                raise UserError(
                    f"expected operation~{source} as edge {source} into node {node}, got {shortened(term, 200)}"
                )
            if operation not in OPERATIONS:
                raise UserError(
                    f"expected one of {', '.join(OPERATIONS)}, got {shortened(operation)} in {shortened(text, 200)}"
                )
            choices.append(OPERATIONS.index(operation))
    return Arch(tuple(choices))


def arch_string(arch: str | Sequence[int] | Arch) -> str:
    """The benchmark's string of an architecture of six digits 0-4.

    Raises:
        UserError: As :func:`parse_arch`.
    """
    nodes: dict[int, list[str]] = {}
    for choice, (source, to) in zip(parse_arch(arch), EDGES, strict=True):
        nodes.setdefault(to, []).append(f"{OPERATIONS[choice]}~{source}")
    return "+".join(f"|{'|'.join(terms)}|" for terms in nodes.values())


@cache
def cell_plan(operations: tuple[int, ...]) -> tuple[tuple[int, tuple[tuple[int, int | None, int], ...]], ...]:
    """What a cell has to compute: per node that the output needs, its edges as (edge, source, operation).

    Left out are ``none``, and pooling or skipping of a node that nothing reaches, which are zero. A convolution of such
    a node is not (its norm adds a constant): its source is None.
    """
    incoming: dict[int, list[tuple[int, int | None, int]]] = {1: [], 2: [], 3: []}
    zero = dict.fromkeys(range(4), False)
    for node in (1, 2, 3):
        for edge, (source, to) in enumerate(EDGES):
            operation = operations[edge]
            if to != node or operation == NONE or (zero[source] and operation not in KERNELS):
                continue
            incoming[node].append((edge, None if zero[source] else source, operation))
        zero[node] = not incoming[node]
    needed = {3}
    for node in (3, 2):
        if node in needed:
            needed |= {source for _, source, _ in incoming[node] if source is not None}
    return tuple((node, tuple(incoming[node])) for node in (1, 2, 3) if node in needed)


def prune(operations: tuple[int, ...]) -> tuple[int, ...]:
    """Six operations with ``none`` on every edge that lies on no path from the cell's input to its output."""
    kept = [operation != NONE for operation in operations]
    forward, back = {0}, {EDGES[-1][1]}  # nodes that the input reaches, and that reach the output
    for edge, (source, to) in enumerate(EDGES):  # edges are sorted by the node that they lead to
        if kept[edge] and source in forward:
            forward.add(to)
    for edge, (source, to) in reversed(list(enumerate(EDGES))):
        if kept[edge] and to in back:
            back.add(source)
    on_path = [source in forward and to in back for source, to in EDGES]
    return tuple(op if on else NONE for op, on in zip(operations, on_path, strict=True))


class ConvNorm(nn.Module):
    """Convolution without bias and batch norm; the caller rectifies what goes in, once for all edges of a node."""

    def __init__(self, in_chs: int, out_chs: int, kernel: int, stride: int, affine: bool, **dd: Any):
        super().__init__()
        self.conv = nn.Conv2d(in_chs, out_chs, kernel, stride, padding=kernel // 2, bias=False, **dd)
        self.norm = nn.BatchNorm2d(out_chs, affine=affine, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x))


class Cell(nn.Module):
    """All candidates of the six edges of one cell: the supernet's, or one an edge in a network alone.

    Edge ``e`` of operation ``op`` is ``edge{e}.{op}``. Only convolutions have weights.

    Args:
        channels: Of every node.
        candidates: Operations per edge, as indices into :data:`OPERATIONS`.
        affine: Whether batch norms have weights.

    Attributes:
        reuses_activations: Whether a node is rectified once for all of its edges, each of which has a rectifier of its
            own in the benchmark. NASWOT, which counts rectifiers, switches it off.
    """

    reuses_activations = True

    def __init__(self, channels: int, candidates: Sequence[Sequence[int]], affine: bool, **dd: Any):
        super().__init__()
        self.channels = channels
        for edge, operations in enumerate(candidates):
            convs = {
                OPERATIONS[op]: ConvNorm(channels, channels, KERNELS[op], 1, affine, **dd)
                for op in operations
                if op in KERNELS
            }
            self.add_module(f"edge{edge}", nn.ModuleDict(convs))

    def conv(self, edge: int, operation: int) -> ConvNorm:
        return self._modules[f"edge{edge}"]._modules[OPERATIONS[operation]]  # type: ignore[union-attr,return-value]

    def forward(self, x: torch.Tensor, operations: tuple[int, ...]) -> torch.Tensor:
        """N x channels x H x W along six operations; rectifies and pools a node once, however many edges ask for it."""
        nodes: dict[int, torch.Tensor] = {0: x}
        rectified: dict[int, torch.Tensor] = {}
        pooled: dict[int, torch.Tensor] = {}
        for node, edges in cell_plan(operations):
            total = None
            for edge, source, operation in edges:
                if source is None:
                    # a zero map, as small as broadcasts; a single image's norm wants more than one value a channel
                    shape = x.shape if len(x) == 1 else (len(x), self.channels, 1, 1)
                    term = self.conv(edge, operation).norm(x.new_zeros(shape))
                elif operation == SKIP:
                    term = nodes[source]
                elif operation == POOL:
                    if source not in pooled:
                        pooled[source] = average_pool(nodes[source], 3, 1, 1, count_include_pad=False)
                    term = pooled[source]
                else:
                    if source not in rectified or not self.reuses_activations:
                        rectified[source] = F.relu(nodes[source])
                    term = self.conv(edge, operation)(rectified[source])
                total = term if total is None else total + term
            nodes[node] = torch.zeros_like(x) if total is None else total.expand_as(x)
        return nodes[3]


class FixedCell(Cell):
    """A cell of one architecture."""

    def __init__(self, channels: int, operations: tuple[int, ...], affine: bool, **dd: Any):
        super().__init__(channels, [(op,) for op in operations], affine, **dd)
        self.operations = operations

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x, self.operations)


class Reduction(nn.Module):
    """The residual block between stages: half the resolution, twice the channels."""

    def __init__(self, in_chs: int, affine: bool, **dd: Any):
        super().__init__()
        self.conv1 = ConvNorm(in_chs, 2 * in_chs, 3, 2, affine, **dd)
        self.conv2 = ConvNorm(2 * in_chs, 2 * in_chs, 3, 1, affine, **dd)
        # rounded up as the convolution does; the same as the benchmark's for even sizes
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        self.downsample = nn.Conv2d(in_chs, 2 * in_chs, 1, bias=False, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(F.relu(self.conv1(F.relu(x))))  # N x 2*in_chs x H/2 x W/2
        return y + self.downsample(self.pool(x))


def stage_widths(channels: int) -> list[int]:
    return [channels * 2**stage for stage in range(STAGES)]


class NASBench201(nn.Module):
    """A network of the benchmark, alone.

    An operation whose result no edge brings to the output is kept, as in the benchmark, but not computed; its weights
    get no gradient.

    Args:
        arch: The benchmark's architecture string, or six digits 0-4.
        channels: Of the first stage; doubled in each later one.
        cells: Per stage.
        affine: Whether the cells' batch norms have weights.

    Raises:
        UserError: ``arch`` that is none, or sizes below 1.
    """

    def __init__(
        self,
        arch: str | Sequence[int] | Arch = EXAMPLE,
        channels: int = 16,
        cells: int = 5,
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        check_sizes(channels, cells, num_classes, in_chans)
        dd = {"device": device, "dtype": dtype}
        operations = parse_arch(arch).choices
        self.arch = str(Arch(operations))
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.conv1 = nn.Conv2d(in_chans, channels, 3, padding=1, bias=False, **dd)
        self.bn1 = nn.BatchNorm2d(channels, **dd)
        self.feature_info = []
        for stage, width in enumerate(stage_widths(channels)):
            layers: list[nn.Module] = [Reduction(width // 2, affine, **dd)] if stage else []
            layers += [FixedCell(width, operations, affine, **dd) for _ in range(cells)]
            self.add_module(f"stage{stage + 1}", nn.Sequential(*layers))
            self.feature_info.append(dict(num_chs=width, reduction=2**stage, module=f"stage{stage + 1}"))
        self.num_features = self.head_hidden_size = stage_widths(channels)[-1]
        self.bn2 = nn.BatchNorm2d(self.num_features, **dd)
        self.act2 = nn.ReLU(inplace=True)
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool, **dd)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return dict(stem=r"^conv1|bn1", blocks=r"^stage(\d+)" if coarse else r"^stage(\d+)\.(\d+)")

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        if enable:
            raise UserError("expected no gradient checkpointing: networks this small have none; leave it off")

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.fc

    def reset_classifier(self, num_classes: int, global_pool: str = "avg") -> None:
        self.num_classes = num_classes
        self.global_pool, self.fc = create_classifier(self.num_features, num_classes, pool_type=global_pool)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """N x in_chans x H x W to N x num_features x H/4 x W/4."""
        x = self.bn1(self.conv1(x))
        for stage in range(STAGES):
            x = self._modules[f"stage{stage + 1}"](x)  # type: ignore[misc]
        return self.act2(self.bn2(x))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.global_pool(x)  # N x num_features
        x = F.dropout(x, self.drop_rate, self.training) if self.drop_rate else x
        return x if pre_logits else self.fc(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def check_sizes(channels: int, cells: int, num_classes: int = 0, in_chans: int = 3) -> None:
    """Check the sizes of a skeleton, and by arithmetic how many parameters it has at most; nothing is built.

    Raises:
        UserError: One is out of range or of another type.
    """
    try:
        channels = check_count("channels", channels, 1, MAX_CHANNELS)
        cells = check_count("cells", cells, 1, MAX_LAYERS)
        num_classes = check_count("num_classes", num_classes, 0, MAX_CLASSES)
        in_chans = check_count("in_chans", in_chans, 1, MAX_CHANNELS)
        convolutions = [width * width * 9 * (len(EDGES) * cells + 2) for width in stage_widths(channels)]
        outside = 9 * in_chans * channels + num_classes * stage_widths(channels)[-1]
        check_parameters(sum(convolutions) + outside, "a network")
    except ValueError as error:
        raise UserError(str(error)) from None


def create(variant: str, pretrained: bool | str = False, **kwargs: Any) -> NASBench201:
    """A network under a registered name; weights by this package's rules (:mod:`pinas_zoo.weights.builder`)."""
    if kwargs.get("features_only"):
        kwargs["feature_cfg"] = {"out_indices": tuple(range(STAGES)), **(kwargs.get("feature_cfg") or {})}
    return builder.build(NASBench201, variant, pretrained, **kwargs)


def check_args(args: Mapping[str, Any]) -> None:
    """Check arguments of :class:`NASBench201` without building a network.

    Raises:
        ValueError: An unknown argument, no architecture, or sizes below 1.
    """
    entry_points.check_parameters(args, NASBench201)
    parse_arch(args.get("arch", EXAMPLE))
    check_sizes(args.get("channels", 1), args.get("cells", 1), args.get("num_classes", 10), args.get("in_chans", 3))
    check_flags(args, ("affine",))
    check_pool(args)
    check_shares(args, ("drop_rate",))


default_cfgs = generate_default_cfgs(
    {
        "nasbench201": {
            "url": "",
            "num_classes": 10,
            "input_size": (3, 32, 32),
            "pool_size": (8, 8),
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "mean": (0.4914, 0.4822, 0.4465),  # CIFAR-10
            "std": (0.2470, 0.2435, 0.2616),
            "first_conv": "conv1",
            "classifier": "fc",
            "license": "apache-2.0",
            "paper_name": "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
            "paper_ids": "arXiv:2001.00326",
        }
    }
)
ENTRY_POINT = EntryPoint(
    name="nasbench201",
    build=create,
    default_cfg=default_cfgs["nasbench201"].default.to_dict(),
    function_args={"global_pool": FunctionArg("avg", callers_choice=True)},
    parse_arch=parse_arch,
    check_args=check_args,
)
entry_points.declare(ENTRY_POINT)


@register_model
def nasbench201(pretrained: bool | str = False, **kwargs: Any) -> NASBench201:
    """Any of the benchmark's 15,625 networks: ``arch="|nor_conv_3x3~0|+|…|"`` or six digits 0-4."""
    return create("nasbench201", pretrained, **kwargs)
